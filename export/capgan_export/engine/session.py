"""What the command `build-engine` does: find TensorRT, make the graph where it is missing, compile, say what came."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from capgan_edge.errors import ArtifactError, ConfigError, DataError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.fields import Precision
from capgan_edge.runtime.sidecar import EngineSidecar
from capgan_export.engine.adding import AddedEngine, add_engine, engine_files, engine_name
from capgan_export.engine.config import EngineConfig
from capgan_export.engine.door import Door, open_door
from capgan_export.engine.progress import Progress as Report

if TYPE_CHECKING:
    from rich.console import Console

    from capgan_edge.data.images import ImageSet

Say = Callable[[str], None]
_CALIBRATE = "import sys; sys.path[:] = filter(None, sys.path); from capgan_edge.cli import main; sys.exit(main())"
"""The command line in a process of its own. `-m`, and `-c` alone, would put the working directory before all libraries,
and a user's may hold a file of any name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRequest:
    """What the user asked of `build-engine`."""

    bundle: Path
    config: EngineConfig
    flavour: str | None = None
    images: str | None = None
    """What the graph is made with: INT8 is calibrated on them, FP16 is probed and held against FP32 on them."""
    overwrite: bool = False


def precision_of(chosen: Mapping[str, bool]) -> Precision:
    """Return the one precision that was chosen.

    Raises:
        ConfigError: none, or several.
    """
    names = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(names) != 1:
        came = " and ".join(f"--{name}" for name in names) or "none"
        raise ConfigError(
            f"expected one of --fp32, --fp16 and --int8, got {came}; --fp16 is what most GPUs are fastest in"
        )
    return cast("Precision", names[0])


def run_build(request: EngineRequest, *, is_json: bool) -> AddedEngine:
    """Build the engine, with progress for people on stderr and the result on stdout."""
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False)

    door = open_door(request.flavour)
    door.refuse(request.config)
    make_graph(request, door, say)
    if request.config.precision == "int8" and door.flavour == "tensorrt_rtx":
        say("note: TensorRT-RTX lists no INT8 convolution, so that FP16 may well be faster: measure both")
    with build_bar(console) as report:
        added = add_engine(request.bundle, request.config, overwrite=request.overwrite, door=door, say=say,
                           progress=report)  # fmt: skip
    if _has_fp32_rest(added):
        say("note: what is not INT8 in this engine computes in FP32, so that one in FP16 may be faster: capgan-edge "
            f"calibrate {shlex.quote(str(request.bundle))} --rest fp16 --force makes that FP16")  # fmt: skip
    for warning in added.warnings:
        say(f"TensorRT warns: {warning}")
    if is_json:
        typer.echo(json.dumps(_facts(added), indent=2, allow_nan=False))
    else:
        _print(added)
    return added


def _has_fp32_rest(added: AddedEngine) -> bool:
    """Return whether the engine is of an INT8 graph whose other values `calibrate` left in FP32."""
    graph = added.bundle.manifest.artifacts.get(added.sidecar.source)
    return graph is not None and graph.precision == "int8" and graph.settings.get("rest") == "fp32"


def make_graph(request: EngineRequest, door: Door, say: Say) -> None:
    """Make the graph that is to be compiled, where the bundle has none of its precision, or FP16 is to be made again.

    Raises:
        ArtifactError: it is INT8, which needs images to calibrate on, or calibrating on them failed; it is FP16 and was
            made from another FP32 graph than the bundle's.
        ConfigError: images were given that nothing would be done with.
        DataError: they are not there, or no data set.
    """
    precision, images = request.config.precision, request.images
    replaced = engine_files(engine_name(request.config, door)) if request.overwrite else ()
    bundle = Bundle.open(request.bundle, replaced=replaced)
    is_there = precision in bundle.precisions
    if precision == "fp16":
        _make_fp16(request, bundle, say)
    elif images is not None and (precision == "fp32" or is_there):
        raise ConfigError(
            f"expected --images only to make a graph, got it although the bundle has its {precision.upper()} graph; "
            f"leave it out, or make the INT8 graph again: capgan-edge calibrate {request.bundle} --images {images} "
            "--force"
        )
    elif precision == "int8" and not is_there:
        _calibrate(request.bundle, images, say)


def _make_fp16(request: EngineRequest, bundle: Bundle, say: Say) -> None:
    """Make the FP16 graph where there is none; with overwrite also where it is stale, or images came."""
    is_there, is_stale = "fp16" in bundle.precisions, _is_stale(bundle)
    if is_there and not request.overwrite:
        if is_stale:
            raise ArtifactError(
                f"{bundle.path}: expected an FP16 graph made from the bundle's FP32 graph, got one made from another; "
                "pass --force to make it again, and its engine"
            )
        if request.images is not None:
            raise ConfigError(
                "expected --images only to make a graph, got it although the bundle has its FP16 graph; leave it out, "
                "or pass --force to make that graph again"
            )
    if is_there and not is_stale and request.images is None:
        return
    from capgan_export.precision.adding import add_fp16

    frames = None if request.images is None else _frames(request.images, bundle)
    add_fp16(request.bundle, frames=frames, overwrite=is_there, say=say)


def _is_stale(bundle: Bundle) -> bool:
    """Return whether the FP16 graph was made from an FP32 graph that the bundle no longer has."""
    if not {"fp16", "fp32"} <= set(bundle.precisions):
        return False
    fp16, fp32 = (bundle.artifact(name).relative_to(bundle.path).as_posix() for name in ("fp16", "fp32"))
    made_from = bundle.manifest.artifacts[fp16].source_sha256
    return made_from is not None and made_from != bundle.manifest.files[fp32].sha256


def _frames(images: str, bundle: Bundle) -> ImageSet:
    from capgan_export.precision.adding import FP16_PARITY
    from capgan_export.source import load_frames

    size_px = (bundle.manifest.input.height, bundle.manifest.input.width)
    try:
        return load_frames(images, size_px, num_frames=FP16_PARITY.num_frames)
    except (ConfigError, DataError) as error:
        raise type(error)(str(error).replace("--data", "--images")) from error


def _calibrate(bundle: Path, images: str | None, say: Say) -> None:
    """Run `calibrate` in its own process: export stands below calibration, and its memory is free for the build."""
    if images is None:
        raise ArtifactError(
            f"{bundle}: expected a graph in int8, got none, since its ranges come from images; run capgan-edge "
            f"calibrate {bundle} --images DIR first, or pass --images DIR here"
        )
    words = ["calibrate", str(bundle), "--images", images]
    said = f"capgan-edge {shlex.join(words)}"
    say(f"running {said}")
    refusal = "it said nothing"
    command = [sys.executable, "-c", _CALIBRATE, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("error: "):
                refusal = line.removeprefix("error: ").strip()
            else:
                say(line.rstrip())
    if process.returncode != 0:
        raise ArtifactError(
            f"expected {said} to make the INT8 graph, but: {refusal}; run it by itself until it succeeds"
        )


def _facts(added: AddedEngine) -> dict[str, Any]:
    return {
        "bundle": str(added.bundle.path),
        "engine": added.name,
        "kept": added.is_kept,
        "sidecar": added.sidecar.model_dump(mode="json"),
        "warnings": list(added.warnings),
    }


def _print(added: AddedEngine) -> None:
    path, sidecar = added.bundle.path / added.name, added.sidecar
    if added.is_kept:
        typer.echo(f"kept {path}, which is what was asked for (--force builds it again)")
        return
    targets = ", ".join(sidecar.targets) or "this machine"
    typer.echo(f"wrote {path}: {sidecar.size_bytes:,} bytes, {sidecar.precision}, for {targets}, batches of "
               f"{sidecar.profile}, in {sidecar.seconds:.1f} s")  # fmt: skip
    typer.echo(said_counts(sidecar))
    typer.echo(f"next, on the device: capgan-edge verify {added.bundle.path} --artifact {added.name}")


def said_counts(sidecar: EngineSidecar) -> str:
    """Say how many layers there are, and of the engine's own only where they could be counted."""
    if sidecar.num_layers is None:
        return f"{sidecar.num_network_layers} layers as parsed; the engine's own are counted where a GPU can open it"
    casts = "" if sidecar.num_casts is None else f", {sidecar.num_casts} casts and {sidecar.num_reformats} reformats"
    return f"{sidecar.num_network_layers} layers as parsed, {sidecar.num_layers} in the engine{casts}"


@contextlib.contextmanager
def build_bar(console: Console) -> Iterator[Report | None]:
    """Show how far the build is, where a person looks on."""
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda phase, share: progress.update(task, completed=share, description=phase)
