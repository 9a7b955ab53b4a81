"""Records of a robustness benchmark by hand: bits are given, every other figure follows. Shapes: N images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import (
    CLEAN,
    Cell,
    DataIdentity,
    RobustnessRecord,
    Rounding,
    Score,
    Spread,
    SystemIdentity,
    packed,
)
from capgan_benchmarks.statistics import wilson_interval_percent

VICTIM, PAIR, INT8 = "bare victim", "purified (torch)", "model.int8.onnx"
KINDS: dict[str, Any] = {VICTIM: "victim", PAIR: "pair", INT8: "artifact"}
EPSILON = 8 / 255
N = 200


def rights(n: int, num_right: int) -> NDArray[np.bool_]:
    """The first `num_right` of n are right."""
    return np.arange(n) < num_right


def score(system: str, right_N: NDArray[np.bool_]) -> Score:
    num_right, n = int(right_N.sum()), len(right_N)
    return Score(system=system, n=n, num_right=num_right, percent=100 * num_right / n,
                 interval_95=wilson_interval_percent(num_right, n), right=packed(right_N))  # fmt: skip


def cell(
    right: dict[str, NDArray[np.bool_]],
    *,
    scenario: str = "end-to-end",
    attack: str = "PGD-40",
    epsilon: float | None = EPSILON,
    targets: Sequence[str] = (PAIR,),
    seconds: float = 3.0,
    **settings: Any,
) -> Cell:
    n = len(next(iter(right.values())))
    spread = Spread(total=n, median=1.0, max=1)
    return Cell(
        scenario=scenario, attack=attack, epsilon=epsilon, settings={"attack": attack, "steps": 40, **settings}, n=n,
        seconds=seconds, queries=spread, gradients=spread, num_lost_queries=0, mean_l2=None,
        zero_gradient_percent=None, rounding=Rounding(judge="f(T(.))", n=n, num_right_float=0, num_right_rounded=0),
        targets=tuple(targets), scores=tuple(score(name, right_N) for name, right_N in right.items()), detections=(),
    )  # fmt: skip


def clean(right: dict[str, NDArray[np.bool_]]) -> Cell:
    held = cell(right, scenario=CLEAN, attack="clean", epsilon=None, targets=tuple(right), seconds=0.0)
    return held.model_copy(update={"settings": {}})


def record(
    *cells: Cell, systems: Sequence[str] = (PAIR, INT8), sha256: str = "a" * 64, **changes: Any
) -> RobustnessRecord:
    n = cells[0].n if cells else 1
    held = RobustnessRecord(
        date="2026-01-02T03:04:05+00:00", code="test", environment={}, command="benchmark robustness", arguments=(),
        subject="tiny", tier="quick", seed=0, batch=16,
        data=DataIdentity(name="signs-32/test", n=n, num_available=n, seed=0, sha256="d" * 64),
        systems=tuple(SystemIdentity(name=name, kind=KINDS[name], sha256=sha256, precision="fp32", device="cpu")
                      for name in systems),
        threats=(), cells=cells, worst=(), flips=(), checks=(), not_tested=(), seconds=1.0,
    )  # fmt: skip
    return held.model_copy(update=changes)


def of_right(num_pair: int, num_int8: int = 150, *, n: int = N, **changes: Any) -> RobustnessRecord:
    """A record with clean images and one attack, whose first images are right."""
    attacked = cell({PAIR: rights(n, num_pair), INT8: rights(n, num_int8)})
    return record(clean({PAIR: rights(n, n - 10), INT8: rights(n, n - 10)}), attacked, **changes)
