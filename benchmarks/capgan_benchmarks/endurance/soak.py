"""Run the camera loop and the server for minutes: `python -m capgan_benchmarks.endurance.soak --minutes 20`.

Memory must not grow (a fitted slope inside noise), and no answer may be lost or mixed up; else exit 1.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from capgan_benchmarks.endurance.bench import Running, set_up
from capgan_benchmarks.endurance.camera_soak import soak_camera
from capgan_benchmarks.endurance.over_time import OverTime
from capgan_benchmarks.endurance.packaged import bundle_or_packaged
from capgan_benchmarks.endurance.results import RESULTS
from capgan_benchmarks.endurance.server_soak import soak_server
from capgan_benchmarks.endurance.soak_figure import figure_of
from capgan_benchmarks.endurance.soak_record import SoakRecord
from capgan_benchmarks.latency.conditions import read_clocks, read_conditions
from capgan_benchmarks.records import made_now, record_name
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError
from capgan_edge.files import make_folder, write_atomic, write_json
from capgan_edge.hardware import num_cpus

_NUM_SAMPLES, _LONGEST_SAMPLE_S = 100, 1.0
"""Of memory: at least so many in a run, and at most so far apart."""


def main(
    bundle: Annotated[Path | None, typer.Option(help="A bundle; signs-nano, exported anew, by default.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the record and the figure.")] = RESULTS,
    minutes: Annotated[float, typer.Option(min=0, help="Of the camera loop (minutes); 0: none.")] = 20.0,
    server_minutes: Annotated[
        float | None, typer.Option(min=0, help="Of the load on the server (minutes); 0: none. [default: half]")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, tensorrt, cuda, openvino or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, int8 or bf16.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of one call (a count).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of signs and arrivals.")] = 0,
) -> None:
    """Soak loop and server, write soak_HARDWARE_DATE.json and .png, and say what is not as it must be."""
    server_minutes = minutes / 2 if server_minutes is None else server_minutes
    if not minutes and not server_minutes:
        raise ConfigError("expected minutes for the loop or the server, got 0 for both; leave one of them out")
    make_folder(out)
    running = Running(backend=backend, precision=precision, threads=threads)
    with bundle_or_packaged(bundle) as path:
        record = soaked(path, running, loop_s=60 * minutes, server_s=60 * server_minutes, seed=seed)
    written = out / record_name("soak", record.model_dump(mode="json"))
    write_json(written, record.model_dump(mode="json"))
    write_atomic(written.with_suffix(".png"), figure_of(record))
    for line in summary(record):
        typer.echo(line)
    typer.echo(f"wrote {written} and {written.with_suffix('.png').name}", err=True)
    raise typer.Exit(1 if record.problems else 0)


def soaked(bundle: Path, running: Running, *, loop_s: float, server_s: float, seed: int) -> SoakRecord:
    """Run both, one after the other, and return the record."""
    before = read_clocks(has_gpu=False)
    with tempfile.TemporaryDirectory() as folder:
        bench = set_up(bundle, running, Path(folder), seed=seed)
        camera = soak_camera(bench, loop_s, _sample_s(loop_s)) if loop_s else None
        server = soak_server(bench, server_s, _sample_s(server_s)) if server_s else None
    has_gpu = bench.has_gpu
    return SoakRecord(
        **made_now(command="python -m capgan_benchmarks.endurance.soak",
                   environment=read_conditions(threads=running.threads or num_cpus(), has_gpu=has_gpu)),
        state_before=before, state_after=read_clocks(has_gpu=has_gpu),
        bundle=bench.identity, seed=seed, settings=running.settings, camera=camera, server=server,
    )  # fmt: skip


def summary(record: SoakRecord) -> list[str]:
    """Return what a person wants to know, a line each."""
    lines = []
    if record.camera is not None:
        held = record.camera
        lines.append(f"camera loop, {held.minutes:.1f} min at {held.fps:g} fps: {held.frames} frames, "
                     f"{held.dropped} dropped and counted, age {_said(held.age)}; memory: {held.memory.slope_said}; "
                     f"others used {held.others_processors:.2f} processors")  # fmt: skip
    if record.server is not None:
        load = record.server
        lines.append(f"server, {load.minutes:.1f} min at {load.rate_per_s:.0f} of {load.capacity_per_s:.0f} requests "
                     f"a second ({load.capacity_after_per_s:.0f} afterwards): {load.answers.asked} asked, "
                     f"{load.answers.right} right, {load.answers.refused} refused, latency {_said(load.latency)}; "
                     f"memory: {load.memory.slope_said}; others used {load.others_processors:.2f} "
                     "processors")  # fmt: skip
    return [*lines, *(record.problems or [record.verdict])]


def _said(held: OverTime) -> str:
    whole = held.whole
    if whole is None:
        return "unknown"
    tail = "" if whole.p99_ms is None else f", p99 {whole.p99_ms:.1f} ms"
    return f"p50 {whole.p50_ms:.1f} ms{tail}"


def _sample_s(seconds: float) -> float:
    return min(_LONGEST_SAMPLE_S, seconds / _NUM_SAMPLES)


if __name__ == "__main__":
    run_script(main)
