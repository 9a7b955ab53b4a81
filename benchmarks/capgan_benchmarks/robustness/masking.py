"""Is a gradient masked, or does the benchmark miss what is there? Self-checks that every record carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.boundless import boundless_check
from capgan_benchmarks.robustness.cell_checks import effort_check, query_check, transfer_check, zero_gradient_check
from capgan_benchmarks.robustness.probes import PLANTED, UNBOUNDED, planted_check, unbounded_check
from capgan_benchmarks.robustness.record import REPLAYED, Cell, Check
from capgan_benchmarks.threats.crafting import BATCH, images_as_floats
from capgan_benchmarks.threats.defended import Defended
from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from capgan_edge.attacks.base import Model

_NO_PAIR = "no pair in torch, whose gradients it takes"


def zero_gradient_percent(model: Model, images: ImageSet, *, device: str = "cpu") -> float:
    """Return the share of images whose cross-entropy has a gradient of exactly 0 everywhere, in float32.

    Raises:
        ConfigError: the model gives no gradient, or one that is NaN.
    """
    import torch

    from capgan_edge.attacks.base import CountedModel

    assert len(images)
    x_NCHW, y_N = images_as_floats(images.images_NHWC, device), torch.from_numpy(images.labels_N).to(device)
    num_zero = 0
    for x_BCHW, y_B in zip(torch.split(x_NCHW, BATCH), torch.split(y_N, BATCH), strict=True):
        gradient_BCHW = CountedModel(model, y_B).cross_entropy_gradient(x_BCHW, y_B)
        num_zero += int((gradient_BCHW == 0).flatten(1).all(1).sum())
    return 100 * num_zero / len(images)


def self_checks(cells: Sequence[Cell], *, defended: Defended | None, images: ImageSet, seed: int) -> tuple[Check, ...]:
    """Return what the cells, and two small attacks of known outcome, say about the benchmark itself.

    Args:
        cells: attacked ones; that of the clean images may be among them.
        defended: what end-to-end attacks; None where there is no pair in torch, or its classifier has no gradients.
        images: those of the cells, of which the first few are attacked once more.
        seed: of these attacks.
    """
    # A replayed set was crafted on another subject, so that it may well fool less, or more, than what is crafted here.
    cells = [cell for cell in cells if cell.scenario != REPLAYED]
    held = (query_check(cells), transfer_check(cells), effort_check(cells), boundless_check(cells),
            zero_gradient_check(cells))  # fmt: skip
    probed: tuple[Check, ...]
    if defended is not None:
        probed = (unbounded_check(defended, images, seed=seed), planted_check(defended, images, seed=seed))
    else:
        probed = tuple(Check(name=name, state="not run", expected=expected, came=_NO_PAIR) for name, expected in
                       (UNBOUNDED, PLANTED))  # fmt: skip
    return (*held, *probed)
