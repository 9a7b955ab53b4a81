"""From attacked frames and what the systems say of them to cells, flips and the record. Shapes: N images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.environment import read_environment
from capgan_benchmarks.records import made_now
from capgan_benchmarks.robustness.config import RobustnessConfig
from capgan_benchmarks.robustness.paired import flips_between
from capgan_benchmarks.robustness.record import (
    CLEAN,
    REPLAYED,
    Cell,
    Check,
    DataIdentity,
    Flips,
    NotTested,
    RobustnessRecord,
    Rounding,
    Spread,
    ThreatWords,
)
from capgan_benchmarks.robustness.replaying import WORDS
from capgan_benchmarks.robustness.same_frames import is_judged_elsewhere
from capgan_benchmarks.robustness.scoring import detections_of, score_of
from capgan_benchmarks.robustness.subject import FP32, Subject
from capgan_benchmarks.robustness.systems import Said
from capgan_benchmarks.robustness.worst import worst_of
from capgan_benchmarks.threats.catalogue import THREATS
from capgan_benchmarks.threats.crafted import mean_l2

if TYPE_CHECKING:
    from capgan_benchmarks.threats.crafted import CraftedSet

COMMAND = "capgan-edge benchmark robustness"
_NOTHING = Spread(total=0, median=0.0, max=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assembled:
    """A cell, and what the systems said of its frames."""

    cell: Cell
    said: Mapping[str, Said]


def clean_cell(said: Mapping[str, Said], labels_N: NDArray[np.int64]) -> Assembled:
    """Return the cell of the images that nobody attacked."""
    cell = Cell(
        scenario=CLEAN, attack=CLEAN, epsilon=None, settings={}, n=len(labels_N), seconds=0.0, queries=_NOTHING,
        gradients=_NOTHING, num_lost_queries=0, mean_l2=None, zero_gradient_percent=None,
        rounding=Rounding(judge="nobody", n=0, num_right_float=0, num_right_rounded=0), targets=tuple(said),
        scores=tuple(score_of(name, each.labels_N == labels_N) for name, each in said.items()), detections=(),
    )  # fmt: skip
    return Assembled(cell=cell, said=said)


def attacked_cell(
    crafted: CraftedSet, *, epsilon: float | None, targets: tuple[str, ...], said: Mapping[str, Said],
    clean: Mapping[str, Said], zero_gradient_percent: float | None, settings: Mapping[str, Any],
) -> Assembled:  # fmt: skip
    """Return the cell of one attack.

    Args:
        crafted: named as the record is to name it.
        epsilon: of the attack; None where it has none.
        targets: systems that the threat is about.
        said: of the attacked frames, by each system.
        clean: of the images that they were made from, and maybe of more behind them.
        zero_gradient_percent: where gradients were taken.
        settings: to add to the attack's.
    """
    n = len(crafted.labels_N)
    held = crafted.rounding
    cell = Cell(
        scenario=crafted.scenario,
        attack=crafted.name,
        epsilon=epsilon,
        settings={**crafted.settings, **settings},
        n=n,
        seconds=crafted.seconds,
        queries=_spread(crafted.queries_N),
        gradients=_spread(crafted.gradients_N),
        num_lost_queries=crafted.num_lost_queries,
        mean_l2=mean_l2(crafted) if crafted.num_fooled is not None
        else _mean_l2(crafted, [said[name] for name in targets if name in said]),
        num_confident=crafted.num_confident,
        num_fooled=crafted.num_fooled,
        zero_gradient_percent=zero_gradient_percent,
        rounding=Rounding(judge=held.judge, n=held.n, num_right_float=held.num_right_float,
                          num_right_rounded=held.num_right_rounded),
        targets=targets,
        scores=tuple(score_of(name, each.labels_N == crafted.labels_N) for name, each in said.items()),
        detections=detections_of(clean, said, crafted.labels_N),
    )  # fmt: skip
    return Assembled(cell=cell, said=said)


def _spread(counts_N: NDArray[np.int64]) -> Spread:
    return Spread(total=int(counts_N.sum()), median=float(np.median(counts_N)), max=int(counts_N.max()))


def _mean_l2(crafted: CraftedSet, said: Sequence[Said]) -> float | None:
    """Return the mean distance of the frames that fool the first target; None where none does.

    For sets that do not say which fooled what was attacked.
    """
    if not said:
        return None
    is_fooled_N = said[0].labels_N != crafted.labels_N
    return float(crafted.l2_N[is_fooled_N].mean()) if is_fooled_N.any() else None


def flips_of(
    assembled: Sequence[Assembled], artifacts: Sequence[str], labels_N: NDArray[np.int64]
) -> tuple[Flips, ...]:
    """Return how each two artifacts differ on the frames of every cell, the same frames once.

    The reference is the FP32 graph where that is one of the two, else the first.
    """
    names = sorted(artifacts, key=lambda name: name != FP32)
    cells = [each.cell for each in assembled]
    return tuple(
        flips_between(each.cell, first, other, each.said[first].labels_N, each.said[other].labels_N,
                      labels_N[: each.cell.n])
        for each in assembled for first, other in combinations(names, 2)
        if not all(is_judged_elsewhere(each.cell, name, "artifact", cells) for name in (first, other))
    )  # fmt: skip


def record_of(
    config: RobustnessConfig, subject: Subject, data: DataIdentity, labels_N: NDArray[np.int64],
    assembled: Sequence[Assembled], *, checks: tuple[Check, ...], not_tested: tuple[NotTested, ...], seconds: float,
) -> RobustnessRecord:  # fmt: skip
    """Return the record, checked."""
    cells = tuple(each.cell for each in assembled)
    ran = {cell.scenario for cell in cells}
    return RobustnessRecord(
        **made_now(command=COMMAND, environment=asdict(read_environment(config.threads))),
        subject=subject.name,
        tier=config.tier,
        seed=config.seed,
        batch=config.batch,
        data=data,
        systems=tuple(system.identity for system in subject.systems),
        threats=(*(ThreatWords(name=threat.name, gradient_by=threat.gradient_by, scored=threat.scored,
                               knows=threat.knows) for threat in THREATS if threat.name in ran),
                 *((WORDS,) if REPLAYED in ran else ())),
        cells=cells,
        worst=worst_of(cells),
        flips=flips_of(assembled, [system.name for system in subject.artifact_systems], labels_N),
        checks=checks,
        not_tested=not_tested,
        seconds=seconds,
    )  # fmt: skip
