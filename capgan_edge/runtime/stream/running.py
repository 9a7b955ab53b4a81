"""`capgan-edge run`: the camera loop with its outputs and its exit codes."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.annotation import Annotator
from capgan_edge.runtime.stream.config import StreamConfig
from capgan_edge.runtime.stream.event import Counts, Event
from capgan_edge.runtime.stream.failure import OUTPUT_FAILED
from capgan_edge.runtime.stream.json_lines import JsonLines
from capgan_edge.runtime.stream.loop import stream_events
from capgan_edge.runtime.stream.metrics import Metrics
from capgan_edge.runtime.stream.regions import Regions
from capgan_edge.runtime.stream.saving import SavedVideo
from capgan_edge.runtime.stream.separate_files import refuse_shared_files
from capgan_edge.runtime.stream.sink import Output
from capgan_edge.runtime.stream.view import TerminalView
from capgan_edge.runtime.stream.window import Window


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What to run, and where its events go."""

    source: str
    regions: Regions = "whole"
    config: StreamConfig = field(default_factory=StreamConfig)
    save: Path | None = None
    save_fps: float = 25.0
    has_inset: bool = True
    jsonl: str | None = None
    """A file, or `-` for standard output."""
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    has_view: bool = False
    has_window: bool = False


def run_loop(classifier: Classifier, request: RunRequest, screen: Console, stop: threading.Event) -> tuple[int, Counts]:
    """Run until the source ends or `stop` is set; return the exit code and what was counted.

    Raises:
        ConfigError: the source, the regions or an output cannot be what they were asked to be.
        RunnerFailedError, DeadlineMissedError, SourceHungError, EngineHungError: the loop could not or should not go
            on; outputs are finished first.
    """
    counts = Counts()
    if stop.is_set():  # while the engine was loaded: nothing was opened or written
        return 0, counts
    with contextlib.ExitStack() as stack:
        config = _config_of(classifier, request, screen)
        events = stream_events(classifier, request.source, regions=request.regions, config=config, stop=stop)
        stack.enter_context(contextlib.closing(events))
        outputs, metrics = _opened(request, screen, stop)
        stack.callback(_close, outputs, screen)
        for output in outputs:
            _show(metrics, output)
        for event in events:
            counts = event.counts
            _tell(event, screen, is_quiet=request.has_view)
            for output in outputs:
                if output.write(event):
                    _show(metrics, output)
                    screen.print(
                        f"{output.name} failed, and the loop goes on without it: {output.reason}", markup=False
                    )
    return (OUTPUT_FAILED if any(output.state == "failed" for output in outputs) else 0), counts


def json_from_counts(classifier: Classifier, counts: Counts, code: int) -> str:
    """Return the whole run as one JSON object."""
    said = {"classifier": classifier.describe(), "counts": asdict(counts), "exit_code": code}
    return json.dumps(said, indent=2, allow_nan=False)


def line_from_counts(counts: Counts) -> str:
    """Return the whole run as one line."""
    return (
        ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in asdict(counts).items() if value) or "no frames"
    )


def _opened(request: RunRequest, screen: Console, stop: threading.Event) -> tuple[list[Output], Metrics | None]:
    outputs: list[Output] = []
    try:
        metrics = _add_outputs(outputs, request, screen, stop)
    except BaseException:
        _close(outputs, screen)
        raise
    return outputs, metrics


def _add_outputs(outputs: list[Output], request: RunRequest, screen: Console, stop: threading.Event) -> Metrics | None:
    metrics: Metrics | None = None
    if request.has_window or request.save is not None:
        annotator = Annotator()
        if request.has_window:
            outputs.append(Output("the window", Window(annotator, stop)))
        if request.save is not None:
            outputs.append(Output("--save", SavedVideo(request.save, annotator, fps=request.save_fps)))
    if request.jsonl is not None:
        outputs.append(Output("--jsonl", JsonLines(request.jsonl), is_stdout=request.jsonl == "-"))
    if request.metrics_port is not None:
        metrics = Metrics(request.metrics_port, request.metrics_host)
        outputs.append(Output("metrics", metrics))
        screen.print(f"metrics at http://{request.metrics_host}:{metrics.port}/metrics", markup=False)
    if request.has_view:
        outputs.append(Output("the view", TerminalView(screen, outputs)))
    return metrics


def _config_of(classifier: Classifier, request: RunRequest, screen: Console) -> StreamConfig:
    """Return the configuration, with purified crops where an inset is drawn and the graph gives them."""
    is_drawn = request.has_inset and (request.has_window or request.save is not None)
    gives_purified = "purified" in classifier.describe().get("outputs", ())
    if is_drawn and not gives_purified:
        screen.print(
            "note: no inset is drawn, since the bundle gives no purified frames; export it with --with-purified, "
            "or leave the inset out with --no-inset", markup=False, highlight=False, soft_wrap=True
        )  # fmt: skip
    return replace(request.config, with_purified=is_drawn and gives_purified)


def _close(outputs: list[Output], screen: Console) -> None:
    for output in reversed(outputs):
        if output.close():
            screen.print(f"{output.name} failed: {output.reason}", markup=False)


def _show(metrics: Metrics | None, output: Output) -> None:
    if metrics is not None:
        metrics.show_output(output.name.removeprefix("--").removeprefix("the "), is_up=output.state == "on")


def _tell(event: Event, screen: Console, *, is_quiet: bool) -> None:
    """Print what a person should know without reading every event."""
    if is_quiet:
        return
    if event.kind == "source":
        screen.print(f"source {event.source_state}: {event.reason}", markup=False, highlight=False)
    elif event.error:
        screen.print(f"frame {event.frame_number}: {event.error}", markup=False, highlight=False)


def check_request(request: RunRequest, *, is_json: bool) -> None:
    """Check what needs no engine, before one is loaded.

    Raises:
        ConfigError: two things would be written to standard output, or to one file, or over the source.
    """
    refuse_shared_files(request.source, save=request.save, jsonl=request.jsonl)
    if is_json and request.jsonl == "-":
        raise ConfigError("expected --json or --jsonl - on standard output, got both; write the lines to a file")
