"""What a packaged robust pair's training had cost by the end of each epoch, and what it held by then.

    python -m capgan_benchmarks.robust_options.spent cifar10-robust-nano    # data from $CAPGAN_EDGE_DATA

Nothing is trained or attacked: the data gives its length, the figures are those of the log that the card keeps. Writes
`benchmarks/results/robust-training-PAIR_HARDWARE_DATE.json`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capgan_benchmarks.records import ROOT, record_head, record_name
from capgan_benchmarks.robust_options.packaged import robust_card, runs_of
from capgan_benchmarks.script import run_script
from capgan_edge.files import write_json

if TYPE_CHECKING:
    from capgan_edge.models.purifier import Purifier
    from capgan_edge.zoo import Pair

KIND = "robust-training"


def main(name: Annotated[str, typer.Argument(help="A packaged pair of the mode robust.")]) -> None:
    """Count, and write the record."""
    from capgan_benchmarks.demo.environment import read_environment
    from capgan_edge import data

    card = robust_card(name)
    train = data.load(card["data"], "train")
    record = record_head(KIND, command="python -m capgan_benchmarks.robust_options.spent",
                         environment=asdict(read_environment(None)))  # fmt: skip
    watched = min(card["recipe"]["purifier"]["num_watched"], len(train))
    record |= {"pair": name, "weights_sha256": card["weights_sha256"], "data": train.name, "n": watched,
               "seed": card["recipe"]["purifier"]["seed"], "epochs": epochs_of(name, len(train))}  # fmt: skip
    path = ROOT / "benchmarks" / "results" / record_name(f"{KIND}-{name}", record)
    write_json(path, record)
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


def epochs_of(name: str, num_train: int) -> list[dict[str, Any]]:
    """Return a row an epoch of a packaged pair: its stage, what was spent by its end, what the watch found.

    Args:
        name: of the pair.
        num_train: training images, the held-out ones among them.
    """
    from capgan_benchmarks.robust_options.cost import macs_of, robust_pflop
    from capgan_edge import zoo
    from capgan_edge.training.robust_stages import stage_at

    pair = zoo.load(name)
    rows: list[dict[str, Any]] = []
    before = seconds = 0.0
    runs = runs_of(pair.card)
    purifiers = [pair.purifier] if len(runs) == 1 else [first_purifier(pair), pair.purifier]
    for number, ((config, log), purifier) in enumerate(zip(runs, purifiers, strict=True), start=1):
        macs = macs_of(purifier, pair.victim, pair.size_px)
        spent = robust_pflop(config, macs, num_train - config.num_held_out, size_px=pair.size_px[0])
        for epoch, (row, pflop) in enumerate(zip(log, spent, strict=True)):
            seconds += row["seconds"]
            rows.append({"epoch": len(rows) + 1, "run": number, "stage": stage_at(config, epoch).name,
                         "pflop": round(before + pflop, 4), "seconds": round(seconds, 1),
                         "clean_percent": row["clean_percent"], "pgd10_percent": row["pgd10_percent"]})  # fmt: skip
        before += spent[-1]
    return rows


def first_purifier(pair: Pair) -> Purifier:
    """Return a new network of the shape that the first run of a pair had, which may have had another painter."""
    from capgan_edge.models.presets import preset, purifier_from
    from capgan_edge.models.robust_purifier import with_classes

    return purifier_from(with_classes(preset(pair.card["recipe"]["first"]["preset"]), len(pair.labels)))


if __name__ == "__main__":
    run_script(main)
