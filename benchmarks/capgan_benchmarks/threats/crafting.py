"""Put images through an attack, batch by batch, each with a seed of its own; then round, and see what that cost.

Shapes: N images, B batch, C channel, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.threats.crafted import CraftedSet, joined
from capgan_benchmarks.threats.rounding import RoundingLoss, epsilon_of, frames_within
from capgan_benchmarks.threats.scenario import Scenario, Threat
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks import Attack
    from capgan_edge.attacks.base import Model

BATCH = 64
_SEED_STRIDE = 1_000_003
"""Between the seeds of two runs lie those of the batches of one."""
_LARGEST_SEED = 2**63
"""What a generator takes is below."""
Advance = Callable[[str, int], None]
"""Told which attack it is, and how many more images of it are done."""


def craft_all(
    scenario: Scenario, attack: Attack, images: ImageSet, *, batch: int = BATCH, advance: Advance | None = None
) -> CraftedSet:
    """Attack every image, `batch` at once. The frames depend on `batch`: a random start is drawn for all of it."""
    if not len(images) or batch < 1:
        raise ConfigError(
            f"expected images and a batch of at least 1, got {len(images)} in {images.name} and a batch of {batch}; "
            f"pass test images; the usual batch is {BATCH}"
        )
    parts = []
    for number, start in enumerate(range(0, len(images), batch)):
        chosen = rows_of(images, slice(start, start + batch))
        parts.append(scenario.craft(attack, chosen, number=number))
        if advance is not None:
            advance(attack_title(attack), len(chosen))
    return joined(parts)


def craft_on(
    attack: Attack,
    images: ImageSet,
    *,
    number: int,
    threat: Threat,
    target: Model,
    judge: Model,
    judge_name: str,
    device: str = "cpu",
) -> CraftedSet:
    """Attack one batch on `target`.

    Args:
        attack: seeded for this batch here.
        images: one batch.
        number: of the batch.
        threat: what the set is called after.
        target: what the attack sees.
        judge: whose labels tell what rounding cost; takes floats.
        judge_name: what figures call it.
        device: where the images go; target and judge are there already.
    """
    import torch

    started_s = time.monotonic()
    x_BCHW = images_as_floats(images.images_NHWC, device)
    y_B = torch.from_numpy(images.labels_N).to(device)
    attacked = seeded(attack, number)(target, x_BCHW, y_B)
    frames_NHWC = frames_within(attacked.images_BCHW, images.images_NHWC, epsilon_of(attack))
    rounded_BCHW = images_as_floats(frames_NHWC, device)
    num_right = [int((labels_by(judge, each) == y_B).sum()) for each in (attacked.images_BCHW, rounded_BCHW)]
    title = attack_title(attack)
    l2_N = (rounded_BCHW - x_BCHW).double().flatten(1).norm(dim=1).cpu().numpy()
    is_fooled_N = attacked.is_fooled_B.cpu().numpy()
    return CraftedSet(
        name=title,
        knowledge=threat.gradient_by,
        scenario=threat.name,
        settings={"attack": title, **asdict(attack)},
        x_NCHW=attacked.images_BCHW.cpu(),
        frames_NHWC=frames_NHWC,
        labels_N=images.labels_N,
        queries_N=attacked.queries_B.cpu().numpy(),
        gradients_N=attacked.gradients_B.cpu().numpy(),
        l2_N=l2_N,
        rounding=RoundingLoss(judge=judge_name, n=len(images), num_right_float=num_right[0],
                              num_right_rounded=num_right[1]),
        num_confident=int(attacked.is_enough_B.sum()) if attack.margin else None,
        num_fooled=int(is_fooled_N.sum()),
        sum_l2_fooled=float(l2_N[is_fooled_N].sum()),
        seconds=time.monotonic() - started_s,
    )  # fmt: skip


def seeded(attack: Attack, number: int) -> Attack:
    """Return the attack with the seed of batch `number`."""
    return replace(attack, seed=(_SEED_STRIDE * attack.seed + number) % _LARGEST_SEED)


def attack_title(attack: Attack) -> str:
    """Return the attack's name with its steps or queries, as in `PGD-40` and `Square-5000`."""
    from capgan_edge.attacks import EOT

    if isinstance(attack, EOT):
        return f"EOT-{attack.samples} of {attack_title(attack.attack)}"
    length = getattr(attack, "steps", getattr(attack, "queries", None))
    return type(attack).__name__ + (f"-{length}" if length else "")


def rows_of(images: ImageSet, rows: slice) -> ImageSet:
    """Return some of the images."""
    return replace(images, images_NHWC=images.images_NHWC[rows], labels_N=images.labels_N[rows])


def images_as_floats(frames_NHWC: NDArray[np.uint8], device: str = "cpu") -> Tensor:
    """Return frames as float32 [N, C, H, W] in [0, 1]."""
    import torch

    return torch.from_numpy(frames_NHWC).to(device).permute(0, 3, 1, 2).float().div(255)


def labels_by(model: Model, x_NCHW: Tensor) -> Tensor:
    """Return the classes that a torch model gives."""
    import torch

    with torch.no_grad():
        return torch.cat([model(x_BCHW).argmax(1) for x_BCHW in torch.split(x_NCHW, BATCH)])


def labels_of_frames(model: Model, frames_NHWC: NDArray[np.uint8], device: str = "cpu") -> NDArray[np.int64]:
    """Return the classes that a torch model gives 8-bit frames."""
    labels_N: NDArray[np.int64] = labels_by(model, images_as_floats(frames_NHWC, device)).cpu().numpy()
    return labels_N
