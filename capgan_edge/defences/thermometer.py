"""Thermometer encoding: a victim that sees how many of the levels each pixel reaches, and nothing finer.

Buckman et al., Thermometer Encoding: One Hot Way To Resist Adversarial Examples (ICLR 2018), section 4: a colour of a
pixel becomes `levels` channels, 1 up to its level and 0 above; the victim is trained on the code from the start. The
code is made of floor, whose gradient is 0 everywhere: an attacker who takes the gradient of this victim gets none.
What is left to them is a surrogate's gradient, the outputs alone, and a backward pass of their own (BPDA, LS-PGA).
Shapes: B batch, C channel, H height, W width, L levels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from capgan_edge.errors import ConfigError
from capgan_edge.models.victim import SimpleResNet

MAX_LEVELS = 256


class ThermometerResNet(SimpleResNet):
    """Madry's simple ResNet on the thermometer code of its images, which takes the place of the normalisation."""

    thresholds_L11: Tensor

    def __init__(self, num_classes: int = 10, *, units_per_stage: int = 5, levels: int = 16) -> None:
        if not 2 <= levels <= MAX_LEVELS:
            raise ConfigError(f"expected levels in [2, {MAX_LEVELS}], got {levels}")
        super().__init__(num_classes, units_per_stage=units_per_stage, input_channels=3 * levels)
        self.levels = levels
        del self.mean_C, self.std_C
        thresholds_L11 = torch.arange(levels).float().div(levels).view(levels, 1, 1)
        self.register_buffer("thresholds_L11", thresholds_L11, persistent=False)

    def encoded(self, x_BCHW: Tensor) -> Tensor:
        """Return the code, [B, 3 L, H, W], colour by colour."""
        return thermometer(x_BCHW, self.thresholds_L11)


def thermometer(x_BCHW: Tensor, thresholds_L11: Tensor) -> Tensor:
    """Return 1 where a colour in [0, 1] reaches a threshold, and 0 where it does not; the gradient is 0 throughout."""
    reached = (x_BCHW[:, :, None] - thresholds_L11).floor().clamp(-1, 0) + 1
    return reached.flatten(1, 2)
