"""Self-checks by small attacks of their own, whose outcome is known beforehand.

Shapes: N images, B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.record import Check
from capgan_benchmarks.threats.crafting import images_as_floats, rows_of
from capgan_benchmarks.threats.defended import Defended
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_benchmarks.threats.scenario import Scenario
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from capgan_edge.attacks import Attack

NUM_PROBED = 16
"""Images of each probe, the first ones."""
EPSILON = 8 / 255
_GAP = 20.0
"""Logits between right and planted; float32 keeps the gradient of a cross-entropy up to about 100."""
_REACHED = 0.5
"""Of the way from an image to its planted point, behind the defence: from here on the label is the planted one."""
UNBOUNDED = ("unbounded attack", "PGD-50 at epsilon 1 leaves no image right")
PLANTED = ("planted adversarial example", "every image with a planted example within 8/255 is fooled")
"""Names of the checks, and what they expect."""
MakeScenario = Callable[[Defended], Scenario]


def unbounded_check(defended: Defended, images: ImageSet, *, seed: int) -> Check:
    """An attack that may do anything must fool every image; from the images themselves, not from noise."""
    from capgan_edge.attacks import PGD

    held = rows_of(images, slice(NUM_PROBED))
    attack = PGD(epsilon=1, steps=50, step_size=0.04, has_random_start=False, seed=seed)
    name, expected = UNBOUNDED
    try:
        scenario = EndToEnd(defended=defended)
        num_right = int((scenario.labels_of(scenario.craft(attack, held).frames_NHWC) == held.labels_N).sum())
    except ConfigError as error:
        return _not_run(name, expected, error)
    return Check(name=name, state="failed" if num_right else "passed", expected=expected,
                 came=f"{num_right} of {len(held)} images still right")  # fmt: skip


def planted_check(
    defended: Defended, images: ImageSet, *, seed: int, make: MakeScenario | None = None, attack: Attack | None = None
) -> Check:
    """An adversarial example that is known to be there must be found, through the defence, rounding and scoring.

    Args:
        defended: its defence is kept, its classifier replaced by one that is right but near the planted points.
        images: the first are planted beside.
        seed: of the planted points and of the attack.
        make: how the copy is attacked and scored; end to end by default.
        attack: what has to find it; PGD-40 at 8/255 by default.
    """
    import torch

    from capgan_edge.attacks import PGD

    held = rows_of(images, slice(NUM_PROBED))
    name, expected = PLANTED
    x_NCHW = images_as_floats(held.images_NHWC, defended.device)
    points_NCHW = _points_near(x_NCHW, torch.Generator().manual_seed(seed))
    planted = Planted(defended, x_NCHW, points_NCHW, torch.from_numpy(held.labels_N).to(defended.device),
                      num_classes=len(held.class_names))  # fmt: skip
    copy = Defended(name=f"{defended.name} with planted examples", purify=defended.purify, classify=planted,
                    device=defended.device)  # fmt: skip
    scenario = EndToEnd(defended=copy) if make is None else make(copy)
    levels_NHWC = (points_NCHW * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    is_right_N, is_planted_N = (scenario.labels_of(frames_NHWC) == held.labels_N
                                for frames_NHWC in (held.images_NHWC, levels_NHWC))  # fmt: skip
    usable_N = is_right_N & ~is_planted_N
    if not usable_N.any():
        return Check(name=name, state="not run", expected=expected, came="the defence gives the planted points as the "
                     f"images that they lie beside, n={len(held)}")  # fmt: skip
    try:
        crafted = scenario.craft(attack or PGD(epsilon=EPSILON, steps=40, seed=seed), held)
    except ConfigError as error:
        return _not_run(name, expected, error)
    num_missed = int((scenario.labels_of(crafted.frames_NHWC) == held.labels_N)[usable_N].sum())
    return Check(name=name, state="failed" if num_missed else "passed", expected=expected,
                 came=f"{num_missed} of {int(usable_N.sum())} not found")  # fmt: skip


class Planted:
    """A classifier of purified images that is right, save from half-way towards a planted point on.

    How far an image has gone is measured along the line from T(x) to T(point), x the nearest of its images.
    """

    def __init__(
        self, defended: Defended, x_NCHW: Tensor, points_NCHW: Tensor, y_N: Tensor, *, num_classes: int
    ) -> None:
        import torch

        with torch.no_grad():
            self._origin_ND = defended.purify(x_NCHW).flatten(1)
            way_ND = defended.purify(points_NCHW).flatten(1) - self._origin_ND
        self._slope_ND = way_ND / way_ND.pow(2).sum(1, keepdim=True).clamp_min(1e-12)
        self._y_N, self._num_classes = y_N, num_classes

    def __call__(self, purified_BCHW: Tensor) -> Tensor:
        import torch

        flat_BD = purified_BCHW.flatten(1)
        nearest_B = torch.cdist(flat_BD.detach(), self._origin_ND).argmin(1)
        gone_B = ((flat_BD - self._origin_ND[nearest_B]) * self._slope_ND[nearest_B]).sum(1)
        y_B = self._y_N[nearest_B]
        logits_BK = torch.full((len(flat_BD), self._num_classes), -_GAP, device=flat_BD.device)
        logits_BK = logits_BK.scatter(1, y_B[:, None], 0.0)
        planted_B = (y_B + 1) % self._num_classes
        return logits_BK.scatter(1, planted_B[:, None], (_GAP * (gone_B - _REACHED))[:, None])


def _points_near(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Return a corner of the ball around each image, within [0, 1] in every pixel and of whole levels."""
    import torch

    sign_NCHW = (2 * torch.randint(2, x_NCHW.shape, generator=generator) - 1).to(x_NCHW)
    moved_NCHW = x_NCHW + EPSILON * sign_NCHW
    is_out_NCHW = (moved_NCHW < 0) | (moved_NCHW > 1)
    return torch.where(is_out_NCHW, x_NCHW - EPSILON * sign_NCHW, moved_NCHW)


def _not_run(name: str, expected: str, error: ConfigError) -> Check:
    return Check(name=name, state="not run", expected=expected, came=" ".join(str(error).split()))
