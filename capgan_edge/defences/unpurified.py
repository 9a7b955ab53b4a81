"""No purifier: what stands before a victim that defends itself, or that nothing defends.

With it an adversarially trained victim, a thermometer's, or an ordinary one is a pair like every other, so that it is
exported, quantised, built, gated and attacked by the same commands. Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from capgan_edge.defences.change import EVEN_LEVELS
from capgan_edge.models.purifier import Purifier, PurifierConfig, Translated


@dataclass(frozen=True, kw_only=True, slots=True)
class UnpurifiedConfig(PurifierConfig):
    """Nothing to set: the settings of a purifier that it has are without effect."""

    kind: Literal["none"] = "none"
    """Tells these settings from a purifier's where they are stored."""
    ngf: int = 1
    num_blocks: int = 0
    end_kernel_px: int = 1


class Unpurified(Purifier):
    """The identity, by the contract of a `Purifier`; it has no parameters.

    The domain logit is the one of an image that APE-GAN or HGD would have left as it is, -4 (a suspicion of 0.018): the
    same for every image, since nothing looks at it.
    """

    config: UnpurifiedConfig

    def __init__(self, config: UnpurifiedConfig | None = None) -> None:
        nn.Module.__init__(self)  # not Purifier's, whose layers are those of CAP-GAN
        self.config = config or UnpurifiedConfig()

    def translate(self, x_BCHW: Tensor) -> Translated:
        """Return the batch as it is."""
        nothing_BHW = 0 * x_BCHW[:, 0, ::4, ::4]
        return Translated(x_BCHW, nothing_BHW[:, 0, :1] - EVEN_LEVELS, nothing_BHW)
