"""The command of the camera loop: `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

_Source = Annotated[
    str,
    typer.Option(help="0, /dev/video0, FILE, FOLDER, rtsp://, http://, a GStreamer pipeline, demo, demo:alternate."),
]
_Regions = Annotated[
    str | None,
    typer.Option(help="whole, source, grid:2x3, or boxes in pixels: left,top,right,bottom;... [default: whole]"),
]
_Miss = Annotated[str, typer.Option(help="Past the deadline: hold the last verdict, bypass the purifier, or stop.")]


@app.command()
def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle that capgan-edge export wrote.")] = Path("bundle"),
    source: _Source = "demo",
    regions: _Regions = None,
    deadline_ms: Annotated[float | None, typer.Option(help="Largest age of a frame at its verdict (ms).")] = None,
    on_deadline_miss: _Miss = "hold",
    every_frame: Annotated[bool, typer.Option("--every-frame", help="All frames of a file, not the newest.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Start a file again when it ends.")] = False,
    vote: Annotated[int, typer.Option(help="Verdicts of a track that vote on its label (a count).")] = 5,
    frozen_after: Annotated[int, typer.Option(help="Identical frames that are frozen (a count); 0: none.")] = 10,
    stall_s: Annotated[float, typer.Option(help="A source is stalled without a frame for this long (s).")] = 2.0,
    lost_s: Annotated[float, typer.Option(help="And lost, and opened again, after this long (s).")] = 10.0,
    max_failures: Annotated[int, typer.Option(help="Passes in a row that may fail (a count); more: exit 3.")] = 10,
    hang_s: Annotated[float, typer.Option(help="A pass of the engine that takes longer hangs: exit 7 (s).")] = 30.0,
    save: Annotated[Path | None, typer.Option(help="Annotated video to write or replace: .mp4, .mkv, .avi.")] = None,
    save_fps: Annotated[float, typer.Option(min=1, max=240, help="Frames a second of that video.")] = 25.0,
    inset: Annotated[bool, typer.Option(help="Draw the purified crop, where the bundle gives it.")] = True,
    jsonl: Annotated[str | None, typer.Option(help="File to add an event a line to; - is standard output.")] = None,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Serve Prometheus metrics here.")] = None,
    metrics_host: Annotated[str, typer.Option(help="Address to serve them on.")] = "127.0.0.1",
    view: Annotated[bool, typer.Option("--view", help="Show a table that updates in place.")] = False,
    window: Annotated[bool, typer.Option("--window", help="Show a window, where OpenCV has one.")] = False,
    backend: Annotated[str, typer.Option(help="auto, tensorrt, cuda, openvino or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, int8, or bf16 (openvino alone).")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of one call (a count).")] = None,
    require_card: Annotated[bool, typer.Option("--require-card", help="Refuse what has not passed verify.")] = False,
    allow_host_code: Annotated[
        bool, typer.Option("--allow-host-code", help="Run the code inside a version-compatible engine: trust it first.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="At the end print one JSON object, for machines.")] = False,
) -> None:
    """Purify and classify a camera or a video.

    Exit 0: it ended or was stopped; 3: the engine fails; 4: a deadline; 5: an output failed; 6: the source hangs;
    7: the engine hangs.
    """
    import threading

    from capgan_edge.runtime.stream.stopping import closing_unless_hung, stopping_on_signals

    with stopping_on_signals(stop := threading.Event()):  # also while all that is large is imported and loaded
        from rich.console import Console

        import capgan_edge
        from capgan_edge.runtime.stream import running
        from capgan_edge.runtime.stream.config import StreamConfig
        from capgan_edge.runtime.stream.regions import parse_regions

        config = StreamConfig(deadline_ms=deadline_ms, on_deadline_miss=on_deadline_miss,  # type: ignore[arg-type]  # checked there
                              every_frame=every_frame, is_looped=loop, vote=vote, frozen_after=frozen_after,
                              stall_s=stall_s, lost_s=lost_s, max_failures=max_failures, hang_s=hang_s)  # fmt: skip
        default = "source" if source.startswith("demo") else "whole"
        request = running.RunRequest(source=source, regions=parse_regions(regions or default), config=config,
                                     save=save, save_fps=save_fps, has_inset=inset, jsonl=jsonl,
                                     metrics_port=metrics_port, metrics_host=metrics_host, has_view=view,
                                     has_window=window)  # fmt: skip
        running.check_request(request, is_json=is_json)
        classifier = capgan_edge.load(bundle, backend=backend, precision=precision, threads=threads,
                                      require_card=require_card, allow_host_code=allow_host_code)  # fmt: skip
        with closing_unless_hung(classifier, hang_s=hang_s):
            warning = classifier.describe()["card_warning"]
            if warning:
                typer.echo(f"note: {warning}", err=True)
            code, counts = running.run_loop(classifier, request, Console(stderr=True), stop)
            said = running.json_from_counts(classifier, counts, code) if is_json else None
    typer.echo(said or running.line_from_counts(counts), err=said is None)
    raise typer.Exit(code)
