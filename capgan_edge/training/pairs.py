"""The pairs that a purifier is trained on. Shapes: B batch, C channel, H height, W width, K classes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.attacks.fgsm import fgsm_with_logits
from capgan_edge.training.config import PurifierRunConfig


class Pair(NamedTuple):
    """A batch of both domains: the same augmented images, clean and attacked."""

    x_BCHW: Tensor
    a_BCHW: Tensor
    x_logits_BK: Tensor
    """f(x): the teacher of the clean domain."""


def fgsm_pair(victim: nn.Module, x_BCHW: Tensor, y_B: Tensor, config: PurifierRunConfig, fabric: Fabric) -> Pair:
    """Attack the clean batch on f alone (FGSM, true labels); every image is kept, fooled or not."""
    with fabric.autocast():
        a_BCHW, x_logits_BK = fgsm_with_logits(victim, x_BCHW, y_B, sizes_of(config, x_BCHW, fabric))
    return Pair(x_BCHW, a_BCHW, x_logits_BK)


def sizes_of(config: PurifierRunConfig, x_BCHW: Tensor, fabric: Fabric) -> float | Tensor:
    """Return the epsilon of all images, or where the settings want it one of each, [B, 1, 1, 1].

    Drawn on the CPU from torch's own generator, which the run seeds anew each epoch: a resumed run draws the same, and
    the processes of a run draw for the whole batch and take their images' share, as they do of the batch itself.
    """
    if config.smallest_epsilon is None:
        return config.epsilon
    share_B111 = torch.rand(len(x_BCHW) * fabric.world_size, 1, 1, 1)[fabric.global_rank :: fabric.world_size]
    return (config.smallest_epsilon + (config.epsilon - config.smallest_epsilon) * share_B111).to(x_BCHW.device)
