"""One run of `capgan-edge export-triton`: write, and say what was written."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from capgan_export.triton.repository import TritonRequest, export_repository


def run_export_triton(request: TritonRequest, *, is_json: bool) -> None:
    """Write the repository and print its models, and what was left out."""
    exported = export_repository(request)
    if is_json:
        typer.echo(json.dumps({**asdict(exported), "path": str(exported.path)}, indent=2))
        return
    for model in exported.models:
        typer.echo(f"{model.name}: {model.artifact}, batches up to {model.max_batch}, needs {model.needs}")
    for line in exported.left_out:
        typer.echo(f"left out {line}", err=True)
    typer.echo(f"wrote {exported.path}: tritonserver --model-repository={exported.path}")
