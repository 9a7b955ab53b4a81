"""What the command `export` does, with progress for people on stderr and the result on stdout."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from capgan_edge.errors import CapganError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.replacement import refuse_target
from capgan_export.parity import ParityConfig

if TYPE_CHECKING:
    from rich.console import Console

    from capgan_edge.data.images import ImageSet
    from capgan_export.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRequest:
    """What the user asked of `export`."""

    source: str | None
    out: Path
    victim: str | None = None
    victim_state: Path | None = None
    data: str | None = None
    """None is the data that the purifier was trained on."""
    has_purified: bool = False
    has_raw_logits: bool = False
    overwrite: bool = False
    parity: ParityConfig


def run_export(request: ExportRequest, *, is_json: bool) -> Bundle:
    """Find, fuse, check, write; say what was taken and what came of it."""
    from capgan_export.bundling import export_pair
    from capgan_export.source import find_source

    refuse_target(request.out, overwrite=request.overwrite)
    console = _console(stderr=True)
    with _working(console, "finding purifier and victim"):
        source = find_source(request.source, victim=request.victim, victim_state=request.victim_state)
    console.print(f"exporting {source.origin}", markup=False, highlight=False)
    with _working(console, "loading frames for the parity check"):
        frames = _frames_of_source(request.data, source, request.parity.num_frames)
    from capgan_export.fused import GraphOutputs

    outputs = GraphOutputs(has_purified=request.has_purified, has_raw_logits=request.has_raw_logits)
    with _working(console, "exporting, and checking parity with torch"):
        bundle = export_pair(source.purifier, source.victim, labels=source.labels, size_px=source.size_px,
                             frames=frames, out=request.out, outputs=outputs, name=source.name,
                             parity=request.parity, overwrite=request.overwrite)  # fmt: skip
    _say_export(bundle, source, is_json=is_json)
    return bundle


def _frames_of_source(data: str | None, source: Source, num_frames: int) -> ImageSet:
    """Return frames of the data named, or of the data of the training, which must then still be that data."""
    from capgan_export.source import load_frames

    if data is not None:
        return load_frames(data, source.size_px, num_frames=num_frames)
    try:
        return load_frames(source.data, source.size_px, num_frames=num_frames, labels=source.labels)
    except CapganError as error:
        error.args = (f"{source.name}'s own data: {error} (other images for the checks: --data)",)
        raise


def _say_export(bundle: Bundle, source: Source, *, is_json: bool) -> None:
    manifest = bundle.manifest
    if is_json:
        facts: dict[str, Any] = {"bundle": str(bundle.path), "source": source.origin,
                                 "manifest": manifest.model_dump(mode="json")}  # fmt: skip
        typer.echo(json.dumps(facts, indent=2, allow_nan=False))
        return
    console = _console(stderr=False)
    for name, record in manifest.files.items():
        console.print(f"wrote {bundle.path / name}: {record.size_bytes:,} bytes", markup=False, highlight=False)
    for check in manifest.parity:
        console.print(
            f"parity on {check.n} {check.frames} frames: logits off by {check.max_abs_logits:.1e} (at most "
            f"{check.tolerance:.0e}), top-1 agrees on {100 * check.top1_agreement:.1f} %",
            markup=False, highlight=False,
        )  # fmt: skip


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=True)


@contextlib.contextmanager
def _working(console: Console, what: str) -> Iterator[None]:
    """Show that something is being done, where a person looks on."""
    if not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield
