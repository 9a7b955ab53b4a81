"""`benchmark cold-start`: from starting a process to its first verdict, each time in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from capgan_benchmarks.headed_record import HeadedRecord
from capgan_benchmarks.latency.conditions import read_clocks, read_conditions
from capgan_benchmarks.latency.record import NotRun
from capgan_benchmarks.records import made_now, record_name
from capgan_benchmarks.statistics import percentile
from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.files import make_folder, write_json
from capgan_edge.hardware import num_cpus
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.fields import Listed, Name, Record

if TYPE_CHECKING:
    from rich.console import Console

STAGES = ("interpreter", "import", "load", "first_verdict")
"""Starting Python; `import capgan_edge`; `load`, with the engine's own import and hashes; `classify` of one frame."""
_TIMEOUT_S = 120
_CHILD = """
import time
stamps = [time.perf_counter()]
import json, sys
import capgan_edge
stamps.append(time.perf_counter())
bundle, backend, precision = sys.argv[1:]
classifier = capgan_edge.load(bundle, backend=backend, precision=precision)
stamps.append(time.perf_counter())
import numpy
classifier.classify(numpy.zeros((*classifier.size_px, 3), numpy.uint8))
stamps.append(time.perf_counter())
said = classifier.describe()
print(json.dumps({"stamps": stamps, **{name: said[name] for name in ("artifact", "precision", "backend")}}), flush=True)
"""
Seconds = Annotated[FiniteFloat, Field(ge=0)]


class ColdRow(Record):
    """One backend, over the counted processes."""

    name: Name
    """The backend that was asked for."""
    backend: Name
    """The one that ran."""
    artifact: Name
    precision: Name
    n: Annotated[int, Field(ge=1)]
    p50_s: Seconds
    min_s: Seconds
    max_s: Seconds
    first_s: Seconds
    """Of the process that was not counted: files may not have been in memory yet."""
    stages_p50_s: dict[str, Seconds]


class ColdRecord(HeadedRecord):
    """All backends."""

    kind: Literal["cold-start"] = "cold-start"
    subject: Name
    rows: Listed[ColdRow]
    not_run: Listed[NotRun] = ()


def measure_cold_starts(bundle_path: Path, *, backends: Sequence[str], precision: str, num_runs: int) -> ColdRecord:
    """Start processes, the backends in turn, and return how long each took to its first verdict.

    Raises:
        CapganError: it is no bundle, or no backend runs it here.
    """
    if num_runs < 2:
        raise ConfigError(f"expected at least 2 runs, got {num_runs}; the default is 10")
    bundle = Bundle.open(bundle_path)
    conditions, before = read_conditions(threads=num_cpus(), has_gpu=False), read_clocks(has_gpu=False)
    held: dict[str, list[Mapping[str, Any]]] = {}
    not_run: list[NotRun] = []
    for name in dict.fromkeys(backends):
        try:
            held[name] = [start_once(bundle.path, name, precision)]
        except CapganError as error:
            why = " ".join(str(error).split()).replace(str(bundle.path.resolve()), bundle.path.resolve().name)
            not_run.append(NotRun(name=name, why=why))
    if not held:
        raise ConfigError("expected a backend that runs here, but: "
                          f"{'; '.join(f'{each.name}: {each.why}' for each in not_run)}; name another")  # fmt: skip
    for _ in range(num_runs):
        for name, runs in held.items():
            runs.append(start_once(bundle.path, name, precision))
    return ColdRecord(
        **made_now(command="capgan-edge benchmark cold-start",
                   environment={**conditions, "before": before, "after": read_clocks(has_gpu=False)}),
        subject=bundle.manifest.purifier.name, rows=tuple(_row(name, runs) for name, runs in held.items()),
        not_run=tuple(not_run),
    )  # fmt: skip


def start_once(bundle_path: Path, backend: str, precision: str) -> dict[str, Any]:
    """Return the seconds of each stage and in total, and what ran, of one new process.

    Raises:
        CapganError: the process failed; names its last line.
    """
    command = [sys.executable, "-c", _CHILD, str(bundle_path.resolve()), backend, precision]
    started_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        total_s = time.perf_counter() - started_s
        try:
            _, errors = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise CapganError(f"expected a process that ends, got one that hangs with {backend}") from None
    if not line:
        last = (errors.strip().splitlines() or ["it said nothing"])[-1]
        raise CapganError(f"expected a first verdict with {backend}, but: {last}; choose another backend")
    said: dict[str, Any] = json.loads(line)
    stamps = said.pop("stamps")
    taken = [end - start for start, end in pairwise(stamps)]
    return {
        **said,
        "total": total_s,
        "stages": dict(zip(STAGES, (max(0.0, total_s - sum(taken)), *taken), strict=True)),
    }


def write_cold(record: ColdRecord, out: Path) -> Path:
    """Write the record into a folder."""
    make_folder(out)
    data = record.model_dump(mode="json")
    path = out / record_name(f"cold-start-{record.subject}", data)
    write_json(path, data)
    return path


def print_cold(record: ColdRecord, console: Console) -> None:
    """Print a line a backend."""
    for row in record.rows:
        stages = ", ".join(f"{name.replace('_', ' ')} {row.stages_p50_s[name]:.3f}" for name in STAGES)
        console.print(f"{row.name} ({row.artifact} by {row.backend}): {row.p50_s:.3f} s ({row.min_s:.3f} to "
                      f"{row.max_s:.3f}, n = {row.n}; the very first {row.first_s:.3f}): {stages}",
                      markup=False, highlight=False, soft_wrap=True)  # fmt: skip
    for each in record.not_run:
        console.print(f"not run: {each.name}: {each.why}", markup=False, highlight=False, soft_wrap=True)


def _row(name: str, runs: Sequence[Mapping[str, Any]]) -> ColdRow:
    totals = [run["total"] for run in runs[1:]]
    stages = {stage: percentile([run["stages"][stage] for run in runs[1:]], 50) for stage in STAGES}
    return ColdRow(name=name, backend=runs[0]["backend"], artifact=runs[0]["artifact"], precision=runs[0]["precision"],
                   n=len(totals), p50_s=percentile(totals, 50), min_s=min(totals), max_s=max(totals),
                   first_s=runs[0]["total"], stages_p50_s=stages)  # fmt: skip
