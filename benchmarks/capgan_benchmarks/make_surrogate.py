"""Package a surrogate f' beside a pair of the zoo: a victim of the same data and shape, trained from another seed.

Run from a checkout, after the training:

    capgan-edge train victim --data cifar10-jpeg --epochs 30 --small-crop-epochs 14 --seed 1 -o runs/surrogate
    python -m capgan_benchmarks.make_surrogate cifar10-nano runs/surrogate
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from capgan_benchmarks.records import ROOT
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError
from capgan_edge.files import sha256_of_bytes, write_atomic, write_json


def main(
    name: Annotated[str, typer.Argument(help="The packaged pair.")],
    run: Annotated[Path, typer.Argument(help="Folder of the surrogate's finished training.")],
) -> None:
    """Write the surrogate's weights and card into the pair's package."""
    from safetensors.torch import save

    from capgan_benchmarks.make_zoo import training_facts
    from capgan_edge import zoo
    from capgan_edge.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(run, "victim")
    require_another(zoo.card(name), checkpoint.state)
    tensors = {key: tensor for key, tensor in checkpoint.tensors.items() if key.split(".")[0] == "victim"}
    data = save({key: tensor.contiguous() for key, tensor in tensors.items()})
    folder = ROOT / "capgan_edge" / "zoo" / name
    write_atomic(folder / zoo.SURROGATE_WEIGHTS, data)
    shape = {key: value for key, value in zoo.card(name)["victim"].items() if key != "sha256"}
    card = {"schema": 1, "for": name, "data": checkpoint.state["source"], "config": checkpoint.state["config"],
            "victim": shape, "training": training_facts(run),
            "weights_sha256": sha256_of_bytes(data)}  # fmt: skip
    write_json(folder / zoo.SURROGATE_CARD, card)
    typer.echo(f"wrote {(folder / zoo.SURROGATE_WEIGHTS).relative_to(ROOT)}", err=True)


def require_another(card: dict[str, Any], state: dict[str, Any]) -> None:
    """Refuse a run of other data or classes than the pair's, and one from the seed of the pair's own victim.

    Raises:
        ConfigError: it is no surrogate of that pair's victim.
    """
    ours = (card["data"], list(card["labels"]))
    theirs = (state["source"], list(state["class_names"]))
    if ours != theirs:
        raise ConfigError(f"expected a run on {ours[0]} with {len(ours[1])} classes, as {card['name']}, got one on "
                          f"{theirs[0]} with {len(theirs[1])}; train the surrogate on the pair's data")  # fmt: skip
    seed = card["recipe"]["victim"]["seed"]
    if state["config"]["seed"] == seed:
        raise ConfigError(f"expected a run from another seed than the pair's own victim, got {seed} again; train with "
                          "--seed 1")  # fmt: skip


if __name__ == "__main__":
    run_script(main)
