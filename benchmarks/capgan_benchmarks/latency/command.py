"""`capgan-edge benchmark latency`, `pareto`, `profile`, `cold-start` and `goals`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_Several = list[str] | None


def latency(
    subject: Annotated[str, typer.Argument(help="A bundle, a purifier's run, or a name in the zoo.")] = "bundle",
    artifact: Annotated[
        _Several, typer.Option(help="Time this one of the bundle; again for more (default: all).")
    ] = None,
    batch: Annotated[str, typer.Option(help="Frames of a query, with commas: 1,8,64 (default: the scenario's).")] = "",
    scenario: Annotated[str, typer.Option(help="single-stream, multi-stream or offline.")] = "single-stream",
    against: Annotated[_Several, typer.Option(help="Peers, with commas, or all: torch-eager, openvino ...")] = None,
    runtime: Annotated[str, typer.Option(help="ort, ort-cuda, openvino or openvino-bf16.")] = "ort",
    source: Annotated[str | None, typer.Option(help="The bundle's torch pair: a run or a zoo name.")] = None,
    mlperf: Annotated[bool, typer.Option("--mlperf", help="MLPerf's queries and 600 s each.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of everyone (default: all).")] = None,
    min_seconds: Annotated[float, typer.Option(min=0.001, help="Of each at each batch size (seconds).")] = 10.0,
    min_queries: Annotated[int, typer.Option(min=2, help="Of each at each batch size (a count).")] = 1000,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds in which everyone has a turn (a count).")] = 10,
    warm_up: Annotated[int, typer.Option(min=0, help="Queries before the first round, at least 1 s (a count).")] = 50,
    frame: Annotated[
        str | None, typer.Option(help="What classify is given, as 1920x1080 (default: the graph's).")
    ] = None,
    roof: Annotated[bool, typer.Option(help="Measure this machine's ceilings too; needs torch.")] = True,
    compare: Annotated[Path | None, typer.Option(help="An earlier record of the same protocol.")] = None,
    allow_host_code: Annotated[
        bool, typer.Option("--allow-host-code", help="Run the code inside a version-compatible engine: trust it first.")
    ] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write the record to.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print the record as one JSON object.")] = False,
) -> None:
    """Time the classifier alone, the purified artifact, and what could be taken instead, in rounds in one run."""
    from capgan_benchmarks.latency.request import (
        LatencyRequest,
        batches_from_text,
        frame_from_text,
        names_from_options,
        scenario_from_text,
    )
    from capgan_benchmarks.latency.session import run_command

    request = LatencyRequest(
        subject=subject, artifacts=tuple(artifact or ()), batches=batches_from_text(batch),
        scenario=scenario_from_text(scenario), against=names_from_options(against or ()), runtime=runtime,
        source=source, is_mlperf=mlperf, threads=threads, min_seconds=min_seconds, min_queries=min_queries,
        num_rounds=rounds, warm_up_queries=warm_up, warm_up_seconds=1.0 if warm_up else 0.0,
        camera_frame=frame_from_text(frame), has_roof=roof, compared=compare,
        allow_host_code=allow_host_code,
    )  # fmt: skip
    run_command(request, out, is_json=is_json)


def pareto(
    latency_record: Annotated[Path, typer.Argument(help="A record of benchmark latency.")],
    robustness_record: Annotated[
        list[Path], typer.Argument(help="Records of benchmark robustness, one a runtime, of the same artifacts.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for pareto.svg and pareto.md.")],
    batch: Annotated[int, typer.Option(min=1, help="Frames of a query (a count).")] = 1,
) -> None:
    """Draw latency against robust accuracy, one dot an artifact and runtime, and write the table for README."""
    from capgan_benchmarks.latency.pareto_files import write_pareto

    for path in write_pareto(latency_record, robustness_record, out, batch=batch):
        typer.echo(f"wrote {path}", err=True)


def profile(
    subject: Annotated[str, typer.Argument(help="A bundle, a purifier's run, or a name in the zoo.")] = "bundle",
    artifact: Annotated[str, typer.Option(help="The graph of the bundle.")] = "model.fp32.onnx",
    runtime: Annotated[Literal["ort", "openvino"], typer.Option(help="What runs it.")] = "ort",
    batch: Annotated[int, typer.Option(min=1, help="Frames of a query (a count).")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all).")] = None,
    queries: Annotated[int, typer.Option(min=1, help="Queries (a count).")] = 100,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write the record to.")] = None,
) -> None:
    """Say where a query's time goes in the engine: operators and layers, with their share of the arithmetic."""
    from rich.console import Console

    from capgan_benchmarks.latency import profiling

    record = profiling.profile(subject, artifact=artifact, runtime=runtime, batch=batch, threads=threads,
                               num_queries=queries)  # fmt: skip
    if out is not None:
        typer.echo(f"wrote {profiling.write_profile(record, out)}", err=True)
    profiling.print_profile(record, Console())


def cold_start(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")] = Path("bundle"),
    backend: Annotated[_Several, typer.Option(help="cpu, openvino, auto ...; again for more.")] = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8 or auto.")] = "auto",
    runs: Annotated[int, typer.Option(min=2, help="Processes of each, counted; one more is not (a count).")] = 10,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write the record to.")] = None,
) -> None:
    """Time new processes from their start to their first verdict, the backends in turn."""
    from rich.console import Console

    from capgan_benchmarks.latency.cold_start import measure_cold_starts, print_cold, write_cold

    record = measure_cold_starts(bundle, backends=backend or ("auto", "cpu", "openvino"), precision=precision,
                                 num_runs=runs)  # fmt: skip
    if out is not None:
        typer.echo(f"wrote {write_cold(record, out)}", err=True)
    print_cold(record, Console())


def goals(
    folder: Annotated[
        Path | None, typer.Option("--records", help="Folder of records (default: benchmarks/results).")
    ] = None,
    subject: Annotated[str, typer.Option(help="The pair that the records are of.")] = "cifar10-nano",
) -> None:
    """Hold the newest records of speed against the goals: met, missed and why, or why not measured; Markdown."""
    from capgan_benchmarks.latency.goals_table import goals_section
    from capgan_benchmarks.latency.newest import RESULTS, newest_speed_records

    typer.echo(goals_section(newest_speed_records(folder or RESULTS, subject=subject)))
