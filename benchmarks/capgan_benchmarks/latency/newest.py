"""The newest records of speed in a folder: what the goals are held against."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from capgan_benchmarks.headed_record import HeadedRecord, read_checked
from capgan_benchmarks.latency.cold_start import ColdRecord
from capgan_benchmarks.latency.profiling import ProfileRecord
from capgan_benchmarks.latency.record import LatencyRecord, read_record
from capgan_benchmarks.records import ROOT

R = TypeVar("R", bound=HeadedRecord)
RESULTS = ROOT / "benchmarks" / "results"
SUBJECT = "cifar10-nano"
"""The pair that the goals are of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedRecords:
    """What was measured of one pair; None and empty is what was not."""

    latency: dict[int, LatencyRecord] = field(default_factory=dict)
    """By frames of a query, single stream: the newest that has this batch size."""
    training: dict[str, Any] | None = None
    cold: ColdRecord | None = None
    profiles: tuple[ProfileRecord, ...] = ()
    """The newest of each artifact, runtime and batch size."""


def newest_speed_records(folder: Path = RESULTS, *, subject: str = SUBJECT) -> SpeedRecords:
    """Read the newest records of each kind.

    Raises:
        DataError: a file is no such record.
    """
    latency: dict[int, LatencyRecord] = {}
    found = (read_record(path) for path in folder.glob(f"latency-{subject}-single-stream-*_*.json"))
    for record in sorted(found, key=lambda record: record.date):
        latency |= dict.fromkeys(record.protocol.batches, record)
    trainings = [json.loads(path.read_text()) for path in folder.glob("training-speed_*.json")]
    colds = list(_read_all(ColdRecord, folder, f"cold-start-{subject}_*.json"))
    profiles = sorted(_read_all(ProfileRecord, folder, f"profile-{subject}-model.*.json"), key=lambda each: each.date)
    newest = {(each.artifact, each.runtime, each.batch): each for each in profiles}
    return SpeedRecords(
        latency=latency,
        training=max(trainings, key=lambda each: str(each["date"]), default=None),
        cold=max(colds, key=lambda each: each.date, default=None),
        profiles=tuple(newest[key] for key in sorted(newest)),
    )


def _read_all(kind: type[R], folder: Path, pattern: str) -> Iterator[R]:
    for path in folder.glob(pattern):
        yield read_checked(path, kind, what=f"a {kind.__name__}", remedy="measure it anew")
