"""Frames under attack, as a camera would give them: 8 bits a colour.

Shapes: N frames, B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.config import EPSILON, FGSM_NAME, PGD_NAME, PGD_STEPS, STEP

if TYPE_CHECKING:
    from capgan_edge.attacks import LinfAttack
    from capgan_edge.attacks.base import Model
    from capgan_edge.data.images import ImageSet

BATCH = 64
Advance = Callable[[int], None]
"""Told how many more frames are done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackedFrames:
    """What an attack made of the clean frames."""

    name: str
    frames_NHWC: NDArray[np.uint8]
    """Rounded to 8 bits."""
    is_fooled_before_rounding_N: NDArray[np.bool_]
    """Whether the attacked model's label was wrong on the float images."""
    settings: dict[str, Any]


def make_attacks(seed: int) -> dict[str, LinfAttack]:
    """Return the demo's attacks by name."""
    from capgan_edge.attacks import FGSM, PGD

    return {
        FGSM_NAME: FGSM(epsilon=EPSILON, seed=seed),
        PGD_NAME: PGD(epsilon=EPSILON, seed=seed, steps=PGD_STEPS, step_size=STEP),
    }


def attack_frames(
    name: str, attack: LinfAttack, model: Model, images: ImageSet, *, gradient_of: str, advance: Advance
) -> AttackedFrames:
    """Attack every image with its true label, batch by batch, and round to 8 bits.

    A batch's random start is seeded by the attack's seed and the batch's number.
    """
    import dataclasses

    import torch

    parts, fooled = [], []
    for start in range(0, len(images), BATCH):
        seeded = dataclasses.replace(attack, seed=1_000 * attack.seed + start // BATCH)
        x_BHWC = torch.from_numpy(images.images_NHWC[start : start + BATCH])
        x_BCHW = x_BHWC.permute(0, 3, 1, 2).float() / 255  # stays channels last, in which convolutions are fastest
        y_B = torch.from_numpy(images.labels_N[start : start + BATCH])
        attacked = seeded(model, x_BCHW, y_B)
        levels_BCHW = (attacked.images_BCHW * 255).round().to(torch.uint8)
        parts.append(levels_BCHW.permute(0, 2, 3, 1).contiguous().numpy())
        fooled.append(attacked.is_fooled_B.numpy())
        advance(len(y_B))
    return AttackedFrames(
        name=name,
        frames_NHWC=np.concatenate(parts),
        is_fooled_before_rounding_N=np.concatenate(fooled),
        settings=attack_settings(name, gradient_of),
    )


def attack_settings(name: str, gradient_of: str) -> dict[str, Any]:
    """Return what a figure says of its attack."""
    steps = {} if name == FGSM_NAME else {"steps": PGD_STEPS, "step": "2/255", "restarts": 1, "random_start": True}
    return {"attack": name, "norm": "linf", "epsilon": "8/255", **steps, "gradient_of": gradient_of,
            "label": "true", "rounded_to_bits": 8}  # fmt: skip
