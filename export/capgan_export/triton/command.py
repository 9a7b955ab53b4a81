"""The command of the Triton repository: `export-triton`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("export-triton")
def export_triton(
    bundle: Annotated[Path, typer.Argument(help="A bundle that capgan-edge export wrote.")] = Path("bundle"),
    out: Annotated[Path, typer.Option("-o", "--out", help="The model repository to write.")] = Path("triton"),
    name: Annotated[str, typer.Option(help="What the models' names begin with.")] = "capgan",
    artifact: Annotated[
        list[str] | None, typer.Option(help="Export this one, e.g. model.int8.onnx; again for more. Else all.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, max=4096, help="Of a graph (frames); an engine says its own.")] = 64,
    max_wait_ms: Annotated[float, typer.Option(min=0, max=1000, help="A batch waits for more frames (ms).")] = 2.0,
    max_queue: Annotated[int, typer.Option(min=1, help="Requests that wait; more are refused (a count).")] = 256,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """Write a bundle's graphs and TensorRT engines as a model repository for Triton."""
    from capgan_export.triton.config import TritonConfig
    from capgan_export.triton.repository import TritonRequest
    from capgan_export.triton.session import run_export_triton

    config = TritonConfig(name=name, max_batch=max_batch, max_wait_ms=max_wait_ms, max_queue=max_queue)
    run_export_triton(TritonRequest(bundle=bundle, out=out, artifacts=tuple(artifact or ()), config=config),
                      is_json=is_json)  # fmt: skip
