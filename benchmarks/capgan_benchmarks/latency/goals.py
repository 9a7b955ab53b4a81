"""Goals of speed, each held against what the newest records say: met, not met, or why it was not measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from capgan_benchmarks.latency.newest import SpeedRecords
from capgan_benchmarks.latency.record import LatencyRecord, Row

FULL_HD = (1080, 1920)
_ON_GPU = ("ort-cuda", "tensorrt")
_COMMAND = "capgan-edge benchmark latency BUNDLE --against all"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One measured value."""

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    """Over the rounds, or over the processes."""


class NotMeasuredError(Exception):
    """Why there is no figure; the text goes into the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What is wanted, and how it is read from the records."""

    key: str
    what: str
    bound: float
    is_least: bool
    """The bound is the least that meets the goal; else the most."""
    unit: str
    measure: Callable[[SpeedRecords], list[Figure]]
    """The first figure is judged, the others stand beside it; raises NotMeasuredError."""
    judges_all: bool = False

    def is_met_by(self, value: float) -> bool:
        """Return whether a value meets the goal."""
        return value >= self.bound if self.is_least else value <= self.bound


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A goal with what came of it."""

    goal: Goal
    figures: tuple[Figure, ...]
    why_not: str | None
    """Why nothing was measured."""

    @property
    def judged(self) -> tuple[Figure, ...]:
        """The figures that the goal is judged by."""
        return self.figures if self.goal.judges_all else self.figures[:1]

    @property
    def verdict(self) -> str:
        """Return `yes`, `no`, `in part` or `not measured`."""
        held = [self.goal.is_met_by(figure.value) for figure in self.judged]
        return "not measured" if not held else "yes" if all(held) else "in part" if any(held) else "no"


def judge(records: SpeedRecords) -> list[Finding]:
    """Return what came of every goal."""
    return [_judged(goal, records) for goal in GOALS]


def _judged(goal: Goal, records: SpeedRecords) -> Finding:
    try:
        return Finding(goal=goal, figures=tuple(goal.measure(records)), why_not=None)
    except NotMeasuredError as reason:
        return Finding(goal=goal, figures=(), why_not=str(reason))


def record_at(records: SpeedRecords, batch: int) -> LatencyRecord:
    """Return the record of a batch size."""
    if batch not in records.latency:
        raise NotMeasuredError(f"no record yet: {_COMMAND} --batch {batch}")
    return records.latency[batch]


def rows_of(record: LatencyRecord, batch: int, role: str) -> list[Row]:
    """Return the rows of a role on the CPU."""
    return [row for row in record.rows if (row.batch, row.role) == (batch, role) and row.runtime not in _ON_GPU]


def fastest(record: LatencyRecord, batch: int) -> Row:
    """Return the purified artifact and engine with the smallest median."""
    return min(rows_of(record, batch, "purified"), key=lambda row: row.end_to_end.p50_ms)


def peer(record: LatencyRecord, batch: int, name: str) -> Row:
    """Return a peer; where it could not run here, say why."""
    found = next((row for row in rows_of(record, batch, "peer") if row.name == name), None)
    if found is not None:
        return found
    why = next((each.why for each in record.not_run if each.name == name), None)
    raise NotMeasuredError(f"not in the record: {_COMMAND} --batch {batch}" if why is None else f"not here: {why}")


def ratio(what: str, above: Row, below: Row) -> Figure:
    """Return how often the second median goes into the first, with its spread over rounds."""
    rounds = [a / b for a, b in zip(above.round_p50_ms, below.round_p50_ms, strict=True)]
    return Figure(what=what, value=above.end_to_end.p50_ms / below.end_to_end.p50_ms, low=min(rounds), high=max(rounds))


def named(row: Row) -> str:
    """Return artifact and engine of a row."""
    return f"{row.artifact}, {row.runtime}"


def pairs_in_one_engine(record: LatencyRecord, batch: int, role: str) -> Iterator[tuple[Row, Row]]:
    """Yield the purified INT8 and the FP32 row of `role` of every engine that has both, by INT8's median."""
    int8 = [row for row in rows_of(record, batch, "purified") if row.precision == "int8"]
    for row in sorted(int8, key=lambda row: row.end_to_end.p50_ms):
        for other in rows_of(record, batch, role):
            if (other.runtime, other.precision) == (row.runtime, "fp32"):
                yield row, other


def _fused_against_eager(records: SpeedRecords) -> list[Figure]:
    record = record_at(records, 1)
    fused = next(
        (row for row in rows_of(record, 1, "purified") if (row.runtime, row.precision) == ("ort", "fp32")), None
    )
    if fused is None:
        raise NotMeasuredError("the record has no FP32 graph in ONNX Runtime")
    return [ratio(named(fused), peer(record, 1, "torch-eager"), fused)]


def _best_against(name: str, batch: int) -> Callable[[SpeedRecords], list[Figure]]:
    def measure(records: SpeedRecords) -> list[Figure]:
        record = record_at(records, batch)
        other, best = peer(record, batch, name), fastest(record, batch)
        return [ratio(named(best), other, best)]

    return measure


def _int8_against_fp32(records: SpeedRecords) -> list[Figure]:
    record = record_at(records, 1)
    return _some([ratio(row.runtime, other, row) for row, other in pairs_in_one_engine(record, 1, "purified")])


def _free_defence(records: SpeedRecords) -> list[Figure]:
    record = record_at(records, 1)
    return _some([ratio(row.runtime, row, other) for row, other in pairs_in_one_engine(record, 1, "victim")])


def _some(figures: list[Figure]) -> list[Figure]:
    if not figures:
        raise NotMeasuredError(
            "no engine in the record has both an INT8 and an FP32 graph: capgan-edge calibrate BUNDLE"
        )
    return figures


def _best_against_bare_eager(records: SpeedRecords) -> list[Figure]:
    record = record_at(records, 1)
    bare, best = peer(record, 1, "torch-eager-victim"), fastest(record, 1)
    return [ratio(named(best), best, bare)]


def _share_of_roof(records: SpeedRecords) -> list[Figure]:
    record = record_at(records, 64)
    shares = {each.name: each.percent for each in record.roof if each.batch == 64}
    rows = sorted(rows_of(record, 64, "purified"), key=lambda row: row.end_to_end.p50_ms)
    figures = [Figure(what=named(row), value=shares[row.name]) for row in rows if row.name in shares]
    if not figures:
        raise NotMeasuredError("the record has no ceilings: leave --no-roof out")
    return figures


def _rest_of_classify(records: SpeedRecords) -> list[Figure]:
    record = record_at(records, 1)
    if record.protocol.camera_frame != FULL_HD:
        raise NotMeasuredError(f"no record with such frames yet: {_COMMAND} --batch 1 --frame 1920x1080")
    return [Figure(what=named(row), value=100 * row.host.p50_ms / row.engine.p50_ms)
            for row in rows_of(record, 1, "classify")]  # fmt: skip


def _training(records: SpeedRecords) -> list[Figure]:
    rows = [] if records.training is None else [row for row in records.training["rows"] if row["preset"] == "nano"]
    if not rows:
        raise NotMeasuredError("no record yet: capgan-edge benchmark training --preset nano")
    held = rows[0]["ratio"]
    return [Figure(what=f"in {rows[0]['loops']['fast']['precision']}", value=held["median"], low=held["low"],
                   high=held["high"])]  # fmt: skip


def _cold_start(records: SpeedRecords) -> list[Figure]:
    if records.cold is None:
        raise NotMeasuredError("no record yet: capgan-edge benchmark cold-start BUNDLE")
    return [Figure(what=f"{row.name}: {row.artifact} by {row.backend}", value=row.p50_s, low=row.min_s, high=row.max_s)
            for row in records.cold.rows]  # fmt: skip


GOALS = (
    Goal(key="fused", what="fused ONNX FP32 in ONNX Runtime against PyTorch eager, two modules: faster", bound=3,
         is_least=True, unit="times", measure=_fused_against_eager),
    Goal(key="best-1", what="best artifact and engine on this CPU against PyTorch eager, two modules: faster", bound=6,
         is_least=True, unit="times", measure=_best_against("torch-eager", 1)),
    Goal(key="best-64", what="the same at batch 64", bound=5, is_least=True, unit="times",
         measure=_best_against("torch-eager", 64)),
    Goal(key="compile", what="the same against torch.compile, batch 1", bound=4, is_least=True, unit="times",
         measure=_best_against("torch-compile", 1)),
    Goal(key="int8", what="INT8 against FP32 in the same engine: faster", bound=3, is_least=True, unit="times",
         measure=_int8_against_fp32),
    Goal(key="free", what="purified (INT8) over the bare classifier (FP32), both in the same engine: time", bound=1,
         is_least=False, unit="times", measure=_free_defence),
    Goal(key="bare-eager", what="purified (best) over the bare classifier in PyTorch eager: time", bound=0.3,
         is_least=False, unit="times", measure=_best_against_bare_eager),
    Goal(key="roof", what="share of the measured roof at its own dtype, batch 64", bound=50, is_least=True, unit="%",
         measure=_share_of_roof),
    Goal(key="classify", what="`classify()` of one 1080p frame: everything but the engine's run over that run",
         bound=10, is_least=False, unit="%", measure=_rest_of_classify),
    Goal(key="training", what="CAP-GAN training, nano, against a plain FP32 loop of the same losses: faster", bound=4,
         is_least=True, unit="times", measure=_training),
    Goal(key="cold", what="import of the runtime and first verdict from cold", bound=1, is_least=False, unit="s",
         measure=_cold_start, judges_all=True),
)  # fmt: skip
