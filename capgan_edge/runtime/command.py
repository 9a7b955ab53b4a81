"""The commands of the edge runtime: `classify` and `inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
_Bundle = Annotated[Path, typer.Argument(help="A bundle that capgan-edge export wrote.")]


@app.command()
def classify(
    bundle: _Bundle,
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders to search for them.")],
    backend: Annotated[str, typer.Option(help="auto, tensorrt, cuda, openvino or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, int8, or bf16 (openvino alone).")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of one call (a count).")] = None,
    require_card: Annotated[bool, typer.Option("--require-card", help="Refuse what has not passed verify.")] = False,
    allow_host_code: Annotated[
        bool, typer.Option("--allow-host-code", help="Run the code inside a version-compatible engine: trust it first.")
    ] = False,
    is_json: _Json = False,
) -> None:
    """Purify and classify images with a bundle."""
    from rich.console import Console

    import capgan_edge
    from capgan_edge.runtime.image_verdicts import classify_files, json_from_verdicts, print_verdicts

    with capgan_edge.load(bundle, backend=backend, precision=precision, threads=threads, require_card=require_card,
                          allow_host_code=allow_host_code) as classifier:  # fmt: skip
        verdicts = classify_files(classifier, images)
        if is_json:
            typer.echo(json_from_verdicts(classifier, verdicts))
        else:
            print_verdicts(classifier, verdicts, Console())
        warning = classifier.describe()["card_warning"]
        if warning:
            typer.echo(f"note: {warning}", err=True)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A bundle, or an engine: a .plan file.")] = Path("bundle"),
    is_json: _Json = False,
) -> None:
    """Verify a bundle or an engine and show what is in it, without loading it. Exit 1: the engine cannot run here."""
    from capgan_edge.runtime.engine_inspection import inspect_engine
    from capgan_edge.runtime.inspection import inspect_bundle

    if path.suffix == ".plan" and not path.is_dir():
        raise typer.Exit(inspect_engine(path, is_json=is_json))
    inspect_bundle(path, is_json=is_json)
