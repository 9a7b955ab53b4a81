"""Where records of endurance are kept, and the newest of them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from capgan_benchmarks.endurance.faults_record import FaultsRecord
from capgan_benchmarks.endurance.soak_record import SoakRecord
from capgan_benchmarks.headed_record import read_checked
from capgan_benchmarks.records import ROOT
from capgan_edge.errors import DataError

RESULTS = ROOT / "benchmarks" / "results"
R = TypeVar("R", FaultsRecord, SoakRecord)


def newest_faults(folder: Path = RESULTS) -> FaultsRecord:
    """Return the newest record of faults; raises DataError where there is none."""
    return _newest(folder, "faults", FaultsRecord)[0]


def newest_soak(folder: Path = RESULTS) -> tuple[SoakRecord, Path]:
    """Return the newest record of a soak, and where its figure is; raises DataError where there is none."""
    record, path = _newest(folder, "soak", SoakRecord)
    return record, path.with_suffix(".png")


def _newest(folder: Path, theme: str, kind: type[R]) -> tuple[R, Path]:
    command = f"python -m capgan_benchmarks.endurance.{theme}"
    found = [(read_checked(path, kind, what=f"a record of {command}", remedy="make it anew"), path)
             for path in folder.glob(f"{theme}_*.json")]  # fmt: skip
    if not found:
        raise DataError(f"expected a record {theme}_*.json in {folder}, got none; make one with {command}")
    return max(found, key=lambda each: each[0].date)
