"""Refuse a baseline before hours of attacks where the plan alone tells that it cannot be compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from capgan_benchmarks.robustness.comparable import require_same_options, require_same_systems
from capgan_benchmarks.robustness.config import RobustnessConfig, epsilon_text
from capgan_benchmarks.robustness.record import CLEAN, REPLAYED, RobustnessRecord
from capgan_benchmarks.robustness.running import Prepared, cell_name
from capgan_edge.errors import ConfigError

_REMEDY = "run with the baseline's options, or make a new one"


def refuse_other_plan(
    baseline: RobustnessRecord, config: RobustnessConfig, prepared: Prepared, systems: Sequence[str]
) -> None:
    """Raise ConfigError where images, options, systems or attacks are not those of the baseline.

    What is left, settings of attacks and replayed sets, is compared afterwards.
    """
    require_same_options(baseline, data=prepared.data, tier=config.tier, seed=config.seed, batch=config.batch)
    require_same_systems(baseline, systems)
    before = [f"{cell.title} at {epsilon_text(cell.epsilon)}, n={cell.n}" for cell in baseline.cells
              if cell.scenario not in (CLEAN, REPLAYED)]  # fmt: skip
    now = [f"{cell_name(job, config)} ({job.scenario}) at {epsilon_text(job.epsilon)}, n={job.n}"
           for job in prepared.plan.jobs]  # fmt: skip
    _refuse_difference("attack", before, now)


def _refuse_difference(what: str, before: Sequence[str], now: Sequence[str]) -> None:
    missing, new = Counter(before) - Counter(now), Counter(now) - Counter(before)
    if missing:
        raise ConfigError(
            f"expected the {what} {next(iter(missing))} of the baseline in this run, which lacks it; {_REMEDY}"
        )
    if new:
        raise ConfigError(
            f"expected every {what} of this run in the baseline, which lacks {next(iter(new))}; {_REMEDY}"
        )
