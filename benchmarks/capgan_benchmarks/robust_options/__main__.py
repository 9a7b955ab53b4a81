"""Train the arms of a group with the same budget before a packaged pair's classifier, attack them, write the record.

    python -m capgan_benchmarks.robust_options first-stage   # each option in the first stage, from nothing
    python -m capgan_benchmarks.robust_options last-stage    # each option in the last stage, from the packaged weights
    python -m capgan_benchmarks.robust_options draw          # a new painter: a vector, a map or an image of each class
    python -m capgan_benchmarks.robust_options start         # class head first, from the identity, from CAP-GAN ...
    python -m capgan_benchmarks.robust_options width         # the first stage at other widths
    python -m capgan_benchmarks.robust_options width --only 2    # that arm alone, on another core; writes no record

Data from $CAPGAN_EDGE_DATA. An arm that was measured with the same settings is not trained again, so a run that was cut
off goes on. Writes `benchmarks/results/robust-GROUP-PAIR_HARDWARE_DATE.json` of the checkout that it runs in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from capgan_benchmarks.records import ROOT, record_name
from capgan_benchmarks.script import run_script
from capgan_edge.files import write_json


def main(
    group: Annotated[str, typer.Argument(help="first-stage, last-stage, draw, start or width.")],
    pair: Annotated[str, typer.Option(help="A packaged pair of the mode robust.")] = "cifar10-robust-nano",
    out: Annotated[Path, typer.Option(help="Folder of the arms' runs.")] = Path("runs/robust-options"),
    num_images: Annotated[int, typer.Option(min=2, help="Training images an epoch.")] = 6400,
    num_test_images: Annotated[int, typer.Option(min=1, help="Test images that are attacked.")] = 500,
    steps: Annotated[int, typer.Option(min=1, help="Of PGD.")] = 20,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Make these arms alone, and no record.")] = None,
) -> None:
    """Compare the arms of a group."""
    from capgan_benchmarks.robust_options.comparing import Budget, compared

    budget = Budget(num_images=num_images, num_test_images=num_test_images, steps=steps, seed=seed)
    record = compared(group, pair, budget, out, only=only or (), say=lambda line: typer.echo(line, err=True))
    if only:
        return
    path = ROOT / "benchmarks" / "results" / record_name(f"robust-{group}-{pair}", record)
    write_json(path, record)
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    run_script(main)
