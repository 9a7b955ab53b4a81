"""What the command `benchmark robustness` does: run, print, write, and hold against a baseline."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.config import RobustnessConfig
from capgan_benchmarks.robustness.foresight import refuse_other_plan
from capgan_benchmarks.robustness.gate import held_against
from capgan_benchmarks.robustness.judged import Judged, has_failed
from capgan_benchmarks.robustness.junit import junit_xml
from capgan_benchmarks.robustness.record import RobustnessRecord, read_record, write_record
from capgan_benchmarks.robustness.running import Finished, prepare, run_robustness
from capgan_benchmarks.robustness.subject import Subject, find_subject
from capgan_benchmarks.robustness.terminal import print_record
from capgan_benchmarks.robustness.writable import require_writable
from capgan_edge.allocator import keep_freed_memory
from capgan_edge.errors import CapganError, ConfigError, MissingDependencyError
from capgan_edge.files import write_atomic
from capgan_export.gate.artifacts import runtime_from_options

if TYPE_CHECKING:
    from rich.console import Console

RECORD, REPORT = "record.json", "report.html"
_WIDTH = 150
"""Of the tables in columns, where they go to a file."""
DROPPED, CANNOT_COMPARE = 1, 2
"""Exit codes with a baseline: it is not held; no comparison, whatever the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """Where results go, and what they are held against."""

    folder: Path | None = None
    """Of record and report."""
    baseline: Path | None = None
    max_drop: float = 1.0
    """Percentage points."""
    junit: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 100:
            raise ConfigError(f"expected --max-drop in [0, 100] percentage points, got {self.max_drop}; 1 is usual")
        if self.junit is not None and self.baseline is None:
            raise ConfigError("expected --baseline beside --junit, got none; the JUnit file tells of comparisons")


def run_command(config: RobustnessConfig, outputs: Outputs, *, is_json: bool) -> int:
    """Run a benchmark, print and write what came of it, and return the exit code; with `is_json` stdout holds JSON."""

    with exit_code_of_errors(outputs.baseline):
        return _run_and_compare(config, outputs, is_json=is_json)


def _run_and_compare(config: RobustnessConfig, outputs: Outputs, *, is_json: bool) -> int:
    from rich.console import Console

    _require_packages()
    console = Console(stderr=True, soft_wrap=True)
    baseline = None if outputs.baseline is None else read_record(outputs.baseline)
    _refuse_foreign(outputs)
    _ready_processor(config.threads)
    with find_subject(config.subject, artifacts=config.artifacts, data=config.data, against=config.against,
                      surrogate=config.surrogate, temperature=config.temperature,
                      runtime=runtime_from_options(config.backend, config.precision),
                      allow_host_code=config.allow_host_code) as subject:  # fmt: skip
        prepared = prepare(config, subject)
        if baseline is not None:
            refuse_other_plan(baseline, config, prepared, [system.name for system in subject.systems])
        finished = run_robustness(config, subject, prepared, console)
        if outputs.folder is not None:  # before the comparison: a refused baseline must not cost hours of attacks
            _write(outputs.folder, finished, subject, console)
    judged = () if baseline is None else _judged(baseline, finished.record, outputs)
    if is_json:
        sys.stdout.write(json.dumps(finished.record.model_dump(mode="json"), indent=2, allow_nan=False) + "\n")
    else:
        screen = Console()
        print_record(finished.record, screen if screen.is_terminal else Console(width=_WIDTH))
    return _verdict(judged, outputs, console)


def _require_packages() -> None:
    from importlib.util import find_spec

    for package, extra in {"torch": "train", "onnx": "train", "onnxruntime": "cpu"}.items():
        if find_spec(package) is None:
            raise MissingDependencyError(package, "the robustness benchmark", f"cpu,{extra}")


def _ready_processor(threads: int | None) -> None:
    keep_freed_memory()
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _refuse_foreign(outputs: Outputs) -> None:
    """Make folders; refuse, before hours of attacks, what cannot be written and to replace what no benchmark wrote."""
    if outputs.junit is not None:
        require_writable(outputs.junit, "junit.xml")
    if outputs.folder is None:
        return
    path = outputs.folder / RECORD
    require_writable(path, RECORD)
    if outputs.baseline is not None and path.resolve() == outputs.baseline.resolve():
        raise ConfigError(
            f"expected a baseline that this run does not replace, got {outputs.baseline}, which is what --out writes; "
            "copy it elsewhere, or name another folder with --out"
        )
    if path.exists():
        try:
            read_record(path)
        except CapganError as error:
            raise ConfigError(
                f"expected a new folder or an earlier benchmark's, got {outputs.folder}, whose {RECORD} is something "
                "else; nothing was changed there: name another with --out"
            ) from error


def _judged(baseline: RobustnessRecord, record: RobustnessRecord, outputs: Outputs) -> tuple[Judged, ...]:
    """Hold the record against the baseline, and write the JUnit file where one was asked for."""
    judged = held_against(baseline, record, max_drop=outputs.max_drop)
    if outputs.junit is not None:
        write_atomic(outputs.junit, junit_xml(judged, record))
    return judged


@contextlib.contextmanager
def exit_code_of_errors(baseline: Path | None) -> Iterator[None]:
    """Where there is a baseline, give errors of ours the exit code of a comparison that cannot be made: 1 is a drop."""
    try:
        yield
    except CapganError as error:
        if baseline is not None:
            error.exit_code = CANNOT_COMPARE
        raise


def _write(folder: Path, finished: Finished, subject: Subject, console: Console) -> None:
    """Write record and report."""
    from capgan_benchmarks.robustness.progress import say
    from capgan_benchmarks.robustness.report.inputs import ReportInputs
    from capgan_benchmarks.robustness.report.page import write_report

    write_record(folder / RECORD, finished.record)
    crafted = {key: each.frames_NHWC for key, each in finished.crafted.items()}
    inputs = ReportInputs(labels=subject.labels, images=finished.images, crafted=crafted, source=subject.source,
                          file=next(iter(subject.artifacts.values()), None))  # fmt: skip
    write_report(folder / REPORT, finished.record, inputs)
    say(console, f"wrote {folder / RECORD} and {folder / REPORT}")


def _verdict(judged: Sequence[Judged], outputs: Outputs, console: Console) -> int:
    """Say what came of the comparison, and return the exit code."""
    from capgan_benchmarks.robustness.progress import say

    if outputs.baseline is None:
        return 0
    for each in judged:
        if each.is_said:
            say(console, f"{each.title} ({each.suite}): {each.words}")
    if has_failed(judged):
        say(console, f"not held: {_failures(judged, outputs.max_drop)} against {outputs.baseline}")
        return DROPPED
    say(console, f"held: no significant drop of more than {outputs.max_drop:g} points, no more that is fooled and "
                 f"unnoticed, and no self-check that fails anew, in {len(judged)} comparisons")  # fmt: skip
    return 0


def _failures(judged: Sequence[Judged], max_drop: float) -> str:
    """Say how many of each kind failed."""
    said = {
        "drop": f"dropped by more than {max_drop:g} points",
        "unnoticed": f"fooled without an alarm by more than {max_drop:g} points",
        "self-check": "failed in a self-check that did not fail",
    }
    counts = Counter(each.failure_type for each in judged if each.outcome == "failed")
    return ", ".join(f"{count} {said[kind]}" for kind, count in counts.items())
