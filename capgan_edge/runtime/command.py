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
    backend: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16 or int8.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of one call (a count).")] = None,
    is_json: _Json = False,
) -> None:
    """Purify and classify images with a bundle."""
    from rich.console import Console

    import capgan_edge
    from capgan_edge.runtime.image_verdicts import classify_files, json_from_verdicts, print_verdicts

    with capgan_edge.load(bundle, backend=backend, precision=precision, threads=threads) as classifier:
        verdicts = classify_files(classifier, images)
        if is_json:
            typer.echo(json_from_verdicts(classifier, verdicts))
        else:
            print_verdicts(classifier, verdicts, Console())


@app.command()
def inspect(bundle: _Bundle = Path("bundle"), is_json: _Json = False) -> None:
    """Verify a bundle and show what is in it, without loading its graph."""
    import json

    from rich.console import Console

    from capgan_edge.runtime.bundle import Bundle
    from capgan_edge.runtime.inspection import describe_bundle, print_bundle

    opened = Bundle.open(bundle)
    if is_json:
        typer.echo(json.dumps(describe_bundle(opened), indent=2, allow_nan=False))
    else:
        print_bundle(opened, Console())
