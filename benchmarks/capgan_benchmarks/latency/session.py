"""`benchmark latency` from the request to the record: open everyone, time them in rounds, say what came out."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.latency.assembling import ratios_of, row_of
from capgan_benchmarks.latency.conditions import read_clocks, read_conditions
from capgan_benchmarks.latency.entering import Field, open_field
from capgan_benchmarks.latency.frames import as_camera_frames, batches_of, draw_frames
from capgan_benchmarks.latency.graph_cost import cost_of_graph
from capgan_benchmarks.latency.own import has_int8_kernels
from capgan_benchmarks.latency.protocol import MLPERF_SECONDS, FramesIdentity, Protocol, choose_batches
from capgan_benchmarks.latency.record import (
    Ceiling,
    LatencyRecord,
    Ratio,
    RoofShare,
    Row,
    read_record,
    refuse_other_protocol,
    write_record,
)
from capgan_benchmarks.latency.request import LatencyRequest
from capgan_benchmarks.latency.roof import higher, measure_ceilings, share_of_roof
from capgan_benchmarks.latency.rounds import time_in_rounds
from capgan_benchmarks.latency.subject import Subject, find_subject
from capgan_benchmarks.latency.victim_graph import deployed, victim_alone
from capgan_benchmarks.records import made_now, record_name
from capgan_edge.files import make_folder
from capgan_edge.hardware import num_cpus

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

_WIDTH = 160
"""Of tables in a file or a pipe."""
_GPU_RUNTIMES = ("ort-cuda", "tensorrt")


def run_command(request: LatencyRequest, out: Path | None, *, is_json: bool) -> None:
    """Measure, write the record into `out`, and print it."""
    from rich.console import Console

    from capgan_benchmarks.latency.printing import print_record

    if out is not None:
        make_folder(out)
    earlier = None if request.compared is None else read_record(request.compared)
    subject = find_subject(request.subject, artifacts=request.artifacts, source=request.source)
    record = measure(subject, request, Console(stderr=True), earlier=earlier)
    if out is not None:
        path = out / record_name(_theme(record), record.model_dump(mode="json"))
        write_record(path, record)
        Console(stderr=True).print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    if is_json:
        Console(soft_wrap=True).print_json(json.dumps(record.model_dump(mode="json")), indent=2)
    else:
        console = Console()
        print_record(record, console if console.is_terminal else Console(width=_WIDTH), earlier=earlier)


def measure(
    subject: Subject, request: LatencyRequest, console: Console, *, earlier: LatencyRecord | None = None
) -> LatencyRecord:
    """Return the record of one run.

    Args:
        subject: what ships.
        request: what to measure.
        console: where progress is shown.
        earlier: a record that this one will be compared with.

    Raises:
        ConfigError: `earlier` was measured by another protocol; nothing was timed.
    """
    threads = request.threads or num_cpus()
    batches = choose_batches(request.scenario, request.batches, is_mlperf=request.is_mlperf)
    frames_NHWC, identity = draw_frames(subject.size_px, max(batches))
    protocol = _protocol(request, batches, threads, identity)
    with _torch_threads(threads), contextlib.closing(open_field(subject, request, threads)) as held:
        has_gpu = any(each.runtime in _GPU_RUNTIMES for each in held.contestants)
        conditions = read_conditions(threads=threads, has_gpu=has_gpu)
        record = LatencyRecord(
            **made_now(command="capgan-edge benchmark latency", environment=conditions),
            subject=subject.name, protocol=protocol, rows=(), ratios=(), not_run=tuple(held.not_run),
        )  # fmt: skip
        if earlier is not None:
            refuse_other_protocol(record, earlier)
        before = read_clocks(has_gpu=has_gpu)
        ceilings = measure_ceilings(threads) if request.has_roof else ()
        rows, ratios = _timed(held, protocol, frames_NHWC, console)
        changes: dict[str, Any] = {
            "environment": {**conditions, "before": before, "after": read_clocks(has_gpu=has_gpu)},
            "rows": rows,
            "ratios": ratios,
        }
        if request.has_roof:
            ceilings = higher(ceilings, measure_ceilings(threads))  # the machine may have been busy at either end
            changes |= {"ceilings": ceilings, "roof": _roof(subject, rows, ceilings)}
    return record.model_copy(update=changes)


def _theme(record: LatencyRecord) -> str:
    """Return how the file begins: of one day, each scenario and its batch sizes have a record of their own."""
    protocol = record.protocol
    return f"latency-{record.subject}-{protocol.scenario}-{'-'.join(map(str, protocol.batches))}"


def _protocol(request: LatencyRequest, batches: tuple[int, ...], threads: int, identity: FramesIdentity) -> Protocol:
    return Protocol(
        scenario=request.scenario, batches=batches, threads=threads, is_mlperf=request.is_mlperf,
        min_seconds=MLPERF_SECONDS if request.is_mlperf else request.min_seconds, min_queries=request.min_queries,
        num_rounds=request.num_rounds, warm_up_seconds=request.warm_up_seconds,
        warm_up_queries=request.warm_up_queries, num_settling=request.num_settling, frames=identity,
        camera_frame=request.camera_frame,
    )  # fmt: skip


def _timed(
    held: Field, protocol: Protocol, frames_NHWC: NDArray[Any], console: Console
) -> tuple[tuple[Row, ...], tuple[Ratio, ...]]:
    rows: list[Row] = []
    ratios: list[Ratio] = []
    for batch in protocol.batches:
        given = batches_of(frames_NHWC, batch)
        seen = as_camera_frames(given, protocol.camera_frame)
        batches = {each.name: seen if each.takes_camera_frames else given for each in held.contestants}
        with _progress(console, f"batch {batch}", protocol.num_rounds * len(held.contestants)) as advance:
            timed = time_in_rounds(held.contestants, batches, protocol, advance)
        rows += [row_of(each, timed[each.name], batch=batch, scenario=protocol.scenario) for each in held.contestants]
        ratios += ratios_of(held.contestants, timed, batch=batch)
    return tuple(rows), tuple(ratios)


def _roof(subject: Subject, rows: tuple[Row, ...], ceilings: tuple[Ceiling, ...]) -> tuple[RoofShare, ...]:
    """Return the share of every row on the CPU whose graph is at hand."""
    parts = {(graph.name, role): cut(graph.model_bytes) for graph in subject.graphs
             for role, cut in (("victim", victim_alone), ("purified", deployed))}  # fmt: skip
    shares = []
    for row in rows:
        model_bytes = parts.get((row.artifact or "", row.role))
        if model_bytes is None or row.runtime in _GPU_RUNTIMES:
            continue
        cost = cost_of_graph(model_bytes, batch=row.batch, precision=row.precision,
                             has_int8_kernels=has_int8_kernels(row.runtime))  # fmt: skip
        share = share_of_roof(row.name, cost, batch=row.batch, precision=row.precision,
                              engine_ms=row.engine.p50_ms, ceilings=ceilings)  # fmt: skip
        shares += [] if share is None else [share]
    return tuple(shares)


@contextlib.contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Give PyTorch as many threads as the others."""
    try:
        import torch
    except ImportError:  # an edge box: no peer of PyTorch's runs, and each of them says so
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _progress(console: Console, title: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
