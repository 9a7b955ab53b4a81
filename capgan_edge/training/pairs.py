"""The pairs that a purifier is trained on. Shapes: B batch, C channel, H height, W width, K classes."""

from __future__ import annotations

from typing import NamedTuple

from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.attacks.fgsm import fgsm_with_logits


class Pair(NamedTuple):
    """A batch of both domains: the same augmented images, clean and attacked."""

    x_BCHW: Tensor
    a_BCHW: Tensor
    x_logits_BK: Tensor
    """f(x): the teacher of the clean domain."""


def fgsm_pair(victim: nn.Module, x_BCHW: Tensor, y_B: Tensor, epsilon: float, fabric: Fabric) -> Pair:
    """Attack the clean batch on f alone (FGSM, true labels); every image is kept, fooled or not."""
    with fabric.autocast():
        a_BCHW, x_logits_BK = fgsm_with_logits(victim, x_BCHW, y_B, epsilon)
    return Pair(x_BCHW, a_BCHW, x_logits_BK)
