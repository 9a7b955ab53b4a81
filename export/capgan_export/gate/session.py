"""What the command `verify` does: structure, then the gates on every artifact, then the cards into the bundle."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.files import write_atomic
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card_check import ONNX_RUNTIME, has_class_head
from capgan_edge.runtime.growth import locked
from capgan_export.gate.artifacts import judged_names, runtime_from_options
from capgan_export.gate.frames import GateSet, chosen_kinds, require_fit
from capgan_export.gate.gates_file import ReadGates, load_gates
from capgan_export.gate.judging import judge, trial_of
from capgan_export.gate.recording import record_verdicts
from capgan_export.gate.report import CANNOT_RUN, Report
from capgan_export.gate.stored import bytes_from_set, load_set
from capgan_export.gate.threshold import require_rate
from capgan_export.gate.twin import TwinSearch, is_robust, is_twin, search_twin, set_from_twin
from capgan_export.parity import ParityConfig
from capgan_export.verification import verify_bundle

if TYPE_CHECKING:
    from rich.console import Console

    from capgan_edge.data.images import ImageSet
    from capgan_export.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRequest:
    """What the user asked of `verify`."""

    bundle: Path
    artifacts: tuple[str, ...] = ()
    """Names in the bundle; empty is all of them."""
    backend: str = ONNX_RUNTIME
    """What computes the graphs: `onnxruntime` or `openvino`."""
    precision: str | None = None
    """`bf16`: OpenVINO computes the FP32 graph in it; None is the graph's own."""
    gates: Path | None = None
    """TOML laid over the shipped gates."""
    against: str | None = None
    victim: str | None = None
    victim_state: Path | None = None
    data: str | None = None
    adversarial: Path | None = None
    """A stored set to judge on."""
    write_adversarial: Path | None = None
    """Where to store the set that was made."""
    false_alarms: float = 0.01
    """Share of clean frames above the suspicion threshold that is asked for."""
    allow_host_code: bool = False
    """Whether the code that a version-compatible engine brings along may run."""
    overwrite: bool = False
    """Whether a file that `write_adversarial` names may be replaced."""
    is_written: bool = True
    """Whether cards and thresholds go into the manifest."""


def run_verify(request: VerifyRequest, *, is_json: bool) -> int:
    """Check the bundle, print what came of it, and return the exit code.

    Raises:
        CapganError: it could not be checked; carries exit code 2.
    """
    from rich.console import Console

    from capgan_export.gate.table import print_report

    try:
        report = verified(request, Console(stderr=True, soft_wrap=True))
    except CapganError as error:
        error.exit_code = CANNOT_RUN
        raise
    if is_json:
        typer.echo(json.dumps(report.to_json(), indent=2, allow_nan=False))
    else:
        print_report(report, Console())
    return report.exit_code


def verified(request: VerifyRequest, console: Console) -> Report:
    """Verify a bundle; progress goes to `console`.

    Raises:
        CapganError: it cannot be verified: no bundle, no twin and no stored set, no test images, bad gates.
    """
    _refuse_contradictions(request)
    require_rate(request.false_alarms)
    runtime = runtime_from_options(request.backend, request.precision)
    gates = load_gates(request.gates)
    with _working(console, "finding the FP32 twin and test images"):
        bundle, found = _bundle(request.bundle), TwinSearch(source=None)
        if request.against is not None or (bundle is not None and request.adversarial is None):
            found = _search(request, bundle)
        source = found.source
        images = _images(request, bundle, source, max(gates.gates.num_frames, ParityConfig().num_frames))
    with _working(console, "verifying the structure"):
        structure = verify_bundle(request.bundle, frames=images, against=source)
    report = Report(structure=structure, wanted=request.artifacts)
    if bundle is None or (source is not None and not is_twin(source, bundle.manifest)):
        assert not structure.passed, "a bundle that does not open, or is of other weights, has failed"
        return report
    if source is None and request.adversarial is None:
        if not structure.passed:
            return report
        raise _no_twin(bundle, found.refusals)
    has_head = has_class_head(bundle.manifest) or (source is not None and is_robust(source))
    gates = _fitting(gates, has_head, console)
    with locked(request.bundle) if request.is_written else contextlib.nullcontext(bundle) as held:
        names = judged_names(held.manifest, request.artifacts, runtime)
        trial = trial_of(_set(request, held, source, images, gates, console), gates, request.false_alarms, runtime,
                         has_class_head=has_head, allow_host_code=request.allow_host_code)  # fmt: skip
        if request.write_adversarial is not None:
            write_atomic(request.write_adversarial, bytes_from_set(trial.held))
        with _bars(console, dict.fromkeys(names, sum(len(kind) for kind in trial.held.kinds))) as advance:
            judged = tuple(judge(held, name, trial, partial(advance, name)) for name in names)
        if request.is_written:
            record_verdicts(held, judged)
    is_written = request.is_written and any(verdict.verdict != "not made" for verdict in judged)
    return replace(report, trial=trial, judged=judged, is_written=is_written)


def _fitting(gates: ReadGates, has_head: bool, console: Console) -> ReadGates:
    """Return the gates without attacks that there are not on the purifier; say so where the user's own name one."""
    fitting = gates.gates.fitting(has_class_head=has_head)
    if fitting != gates.gates and gates.gates.attacks != load_gates().gates.attacks:
        console.print(f"note: the purifier has no class head; the attack on it in {gates.name} is left out")
    return replace(gates, gates=fitting)


def _refuse_contradictions(request: VerifyRequest) -> None:
    if request.against is None and (request.victim is not None or request.victim_state is not None):
        raise ConfigError("expected --victim only beside --against, got it alone; name the run with --against")
    if request.adversarial is not None and request.write_adversarial is not None:
        raise ConfigError("expected a stored set to read or one to write, got both; leave one of the two options out")
    root = request.bundle.resolve()
    if request.write_adversarial is not None:
        _refuse_target(request.write_adversarial, root, overwrite=request.overwrite)
    if request.is_written and root.is_dir() and not os.access(root, os.W_OK | os.X_OK):
        raise ConfigError(f"expected a bundle that may be written, to put the card in, got {request.bundle}; pass "
                          "--no-write to print the verdict alone")  # fmt: skip


def _refuse_target(path: Path, bundle: Path, *, overwrite: bool) -> None:
    """Refuse to write the set over what is there, before minutes of attacks; into the bundle it never goes."""
    if path.resolve().is_relative_to(bundle):
        raise ConfigError(f"expected a file outside the bundle to store the set in, got {path}; name another")
    if path.is_dir():
        raise ConfigError(f"expected a file to store the set in, got the folder {path}; name a file in it")
    if path.exists() and not overwrite:
        raise ConfigError(f"expected no file at {path} to store the set in, got one; name another, or pass --force")


def _bundle(path: Path) -> Bundle | None:
    """Return the bundle; None where it does not open, which `verify_bundle` finds too, and tells."""
    try:
        return Bundle.open(path)
    except ArtifactError:
        return None


def _search(request: VerifyRequest, bundle: Bundle | None) -> TwinSearch:
    from capgan_export.source import find_source

    if request.against is not None:
        named = find_source(request.against, victim=request.victim, victim_state=request.victim_state)
        return TwinSearch(source=named)
    return TwinSearch(source=None) if bundle is None else search_twin(bundle.manifest)


def _images(request: VerifyRequest, bundle: Bundle | None, source: Source | None, num_frames: int) -> ImageSet | None:
    """Return test images: of the data named, or of the twin's own, which must then still be that data."""
    from capgan_export.source import load_frames

    size_px = None if bundle is None else (bundle.manifest.input.height, bundle.manifest.input.width)
    if source is not None and size_px is None:
        size_px = source.size_px
    if request.data is not None:
        return None if size_px is None else load_frames(request.data, size_px, num_frames=num_frames)
    if source is None:
        return None
    try:
        return load_frames(source.data, source.size_px, num_frames=num_frames, labels=source.labels)
    except CapganError as error:
        error.args = (f"{source.name}'s own data: {error} (other images for the checks: --data)",)
        raise


def _no_twin(bundle: Bundle, refusals: tuple[str, ...]) -> ConfigError:
    from importlib.util import find_spec

    name = bundle.manifest.purifier.name
    came = "no torch here"
    if find_spec("torch"):
        why = f" ({'; '.join(refusals)})" if refusals else ""
        came = f"no torch pair {name!r} with its weights in the zoo or under ./runs{why}"
    return ConfigError(
        f"expected the FP32 twin of {bundle.path} to attack, or attacked frames, got {came}; name its run with "
        "--against, or pass a stored set with --adversarial (made where torch is: capgan-edge verify BUNDLE "
        "--write-adversarial FILE)"
    )


def _set(
    request: VerifyRequest,
    bundle: Bundle,
    source: Source | None,
    images: ImageSet | None,
    gates: ReadGates,
    console: Console,
) -> GateSet:
    """Return the frames to judge on: the stored ones, or made from the twin."""
    if request.adversarial is not None:
        held = load_set(request.adversarial)
        require_fit(held, bundle.manifest)
        return chosen_kinds(held, gates.gates)
    assert source is not None
    assert images is not None
    totals = {spec.title: min(spec.num_frames, gates.gates.num_frames, len(images)) for spec in gates.gates.attacks}
    with _bars(console, totals) as advance:
        return set_from_twin(source, images, bundle.manifest, gates.gates, advance)


@contextlib.contextmanager
def _bars(console: Console, totals: Mapping[str, int]) -> Iterator[Callable[[str, int], None]]:
    """Show a bar for each title, where a person looks on; the function given advances one of them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = {title: progress.add_task(title, total=total, start=False) for title, total in totals.items()}

        def advance(title: str, n: int) -> None:
            progress.start_task(tasks[title])
            progress.advance(tasks[title], n)

        yield advance


@contextlib.contextmanager
def _working(console: Console, what: str) -> Iterator[None]:
    """Show that something is being done, where a person looks on."""
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
