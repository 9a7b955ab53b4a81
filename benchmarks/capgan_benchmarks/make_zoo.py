"""Make a packaged pair from nothing: train its recipe, measure it on the whole test split, write record and card.

    python -m capgan_benchmarks.make_zoo signs-nano
    python -m capgan_benchmarks.make_zoo cifar10-nano        # data from $CAPGAN_EDGE_DATA, as of gtsrb-nano
    python -m capgan_benchmarks.make_zoo cifar10-nano --keep-victim    # a new purifier before the packaged victim
    python -m capgan_benchmarks.make_zoo cifar10-nano --measure-only   # the packaged pair again, as it stands
    python -m capgan_benchmarks.make_zoo cifar10-robust-nano --victim-of cifar10-nano    # before that pair's victim
    python -m capgan_benchmarks.make_zoo gtsrb-robust-nano --victim-of gtsrb-nano
    python -m capgan_benchmarks.make_zoo NAME --keep-victim --keep-first    # the packaged purifier as the first run

Each stage goes on where it was interrupted. Writes `benchmarks/results/accuracy-NAME_HARDWARE_DATE.json` and
`capgan_edge/zoo/NAME/{weights.safetensors, card.json}` of the checkout that it runs in.
"""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capgan_benchmarks.package_runs import kept, put_first, put_victim
from capgan_benchmarks.records import ROOT, record_name, recorded_arguments, revision, timestamp
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError
from capgan_edge.files import sha256_of_bytes, write_atomic, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.zoo import Pair


def main(
    name: Annotated[str, typer.Argument(help="A packaged pair, as of cifar10-nano, gtsrb-robust-nano.")],
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    num_end_to_end: Annotated[int, typer.Option(min=1, help="Test images under the end-to-end attack.")] = 1000,
    num_images: Annotated[int | None, typer.Option(min=1, help="Test images (default: all).")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    fp32: Annotated[bool, typer.Option("--fp32", help="Attack in fp32, not in bf16 where the machine has it.")] = False,
    keep_victim: Annotated[bool, typer.Option("--keep-victim", help="Train before the packaged victim.")] = False,
    victim_of: Annotated[str, typer.Option(help="Train before the packaged victim of this pair.")] = "",
    keep_first: Annotated[
        bool, typer.Option("--keep-first", help="The packaged purifier is the recipe's first run.")
    ] = False,
    measure_only: Annotated[bool, typer.Option("--measure-only", help="Train nothing: measure the package.")] = False,
    package: Annotated[bool, typer.Option(help="Write weights and card, not only the record.")] = True,
) -> None:
    """Train (or resume) a recipe, measure the pair, package it."""
    from capgan_edge import data
    from capgan_edge.training.device import has_fast_bf16
    from capgan_edge.training.recipes import PACKAGED, RECIPES, check_runs, train_recipe
    from capgan_edge.training.runs import FIRST, is_finished

    if not (ROOT / "pyproject.toml").is_file():
        raise ConfigError(
            f"expected to run from a checkout of capgan-edge, got {ROOT}; clone it and install it with -e"
        )
    if name not in PACKAGED:
        raise ConfigError(f"expected a packaged pair's recipe among {', '.join(PACKAGED)}, got {name!r}")
    if keep_first and not (victim_of or keep_victim):
        raise ConfigError("expected --keep-first together with --keep-victim or --victim-of, got it alone; the "
                          "packaged purifier is of that victim: pass one of them")  # fmt: skip
    run_path, recipe, victim_of = runs / name, RECIPES[name], victim_of or (name if keep_victim else "")
    if measure_only:
        tensors, card = kept(name)
    else:
        if victim_of:
            put_victim(victim_of, run_path / "victim", recipe)
        if keep_first:
            put_first(name, run_path / FIRST, recipe)
        if not is_finished(run_path / "purifier"):
            train_recipe(name, run_path, is_resumed=run_path.exists())
        check_runs(recipe, run_path, len(data.load(recipe.data, "test").class_names))
        tensors, card = packaged(name, run_path, asdict(recipe))
        if victim_of:
            card = with_kept_victim(victim_of, card)
        if keep_first:
            card = with_kept_first(card)
    pair = pair_from(name, tensors, card)
    test = data.load(recipe.data, "test")
    record = measured(pair, test, num_images=num_images, num_end_to_end=num_end_to_end, seed=seed,
                      is_bf16=has_fast_bf16() and not fp32)  # fmt: skip
    write_json(
        ROOT / "benchmarks" / "results" / record_name(f"accuracy-{name}{'-fp32' if fp32 else ''}", record), record
    )
    if package:
        card.pop("weights_sha256", None)
        write_package(name, tensors, card | {"figures": record["figures"], "measured": record["date"]})


def packaged(name: str, run_path: Path, recipe: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what a package holds: T_AC and the victim, and the card without its figures.

    Both are of their last epochs, but a robust T_AC, which is of its best epoch by PGD-10.
    """
    from capgan_edge.models.cost import cost_of
    from capgan_edge.training.robust_start import is_robust_run
    from capgan_edge.training.runs import FIRST, has_started, load_purifier_run, load_victim_run

    path = run_path / "purifier"
    purifier, _, checkpoint = load_purifier_run(path / "best.json" if is_robust_run(path) else path)
    victim, state = load_victim_run(run_path / "victim"), checkpoint.state
    height_px, width_px = state["size_px"]
    tensors = {k: t for k, t in checkpoint.tensors.items() if k.split(".")[0] in ("t_ac", "victim")}
    costs = {k: cost_of(m, height_px=height_px, width_px=width_px)._asdict()
             for k, m in {"purifier": purifier, "victim": victim}.items()}  # fmt: skip
    card = {
        "schema": 1,
        "name": name,
        "data": recipe["data"],
        "size_px": state["size_px"],
        "labels": state["class_names"],
        "mode": state.get("mode", "cap-gan"),
        "epoch": checkpoint.epoch,
        "purifier": state["purifier"],
        "victim": state["victim"],
        "costs": costs,
        "recipe": recipe,
        "training": {
            kind: training_facts(run_path / kind)
            for kind in ("victim", FIRST, "purifier")
            if has_started(run_path / kind)
        },
        "command": f"python -m capgan_benchmarks.make_zoo {name}",
    }
    return tensors, card


def with_kept_victim(victim_of: str, card: dict[str, Any]) -> dict[str, Any]:
    """Return the card of a new purifier before a packaged victim: its recipe is the one the victim was made by."""
    old = kept(victim_of)[1]
    recipe = card["recipe"] | {"victim": old["recipe"]["victim"]}
    option = "--keep-victim" if victim_of == card["name"] else f"--victim-of {victim_of}"
    return card | {"recipe": recipe, "victim_from": _origin(old), "command": f"{card['command']} {option}"}


def _origin(card: dict[str, Any]) -> dict[str, Any]:
    return {key: card[key] for key in ("name", "weights_sha256", "measured")}


def with_kept_first(card: dict[str, Any]) -> dict[str, Any]:
    """Return the card of a purifier that was trained further from the packaged one, which it names."""
    return card | {"first_from": _origin(kept(card["name"])[1]), "command": f"{card['command']} --keep-first"}


def training_facts(run_path: Path) -> dict[str, Any]:
    """Return the rows of a run's log: losses, held-out figures, images a second."""
    with (run_path / "log.csv").open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    return {"epochs": len(rows), "log": rows}


def pair_from(name: str, tensors: dict[str, Tensor], card: dict[str, Any]) -> Pair:
    """Return the pair as the zoo would load it from the package."""
    from capgan_edge.models.presets import config_kind, purifier_from
    from capgan_edge.models.victim import SimpleResNet
    from capgan_edge.training.checkpoint import load_into
    from capgan_edge.zoo import Pair

    purifier = purifier_from(config_kind(card["purifier"])(**card["purifier"]))
    victim = SimpleResNet(card["victim"]["num_classes"], units_per_stage=card["victim"]["units_per_stage"])
    for module, prefix in ((purifier, "t_ac"), (victim, "victim")):
        load_into(module, tensors, prefix, name)
        module.eval().requires_grad_(False)
    return Pair(name=name, purifier=purifier, victim=victim, labels=tuple(card["labels"]),
                size_px=tuple(card["size_px"]), data=card["data"], card=card)  # fmt: skip


def measured(pair: Pair, test: Any, *, num_images: int | None, num_end_to_end: int, seed: int,
             is_bf16: bool) -> dict[str, Any]:  # fmt: skip
    """Return the dated record of the pair's figures, the ONNX file's among them."""
    from capgan_benchmarks.demo.environment import read_environment
    from capgan_benchmarks.pair_figures import PairFigures
    from capgan_edge.models.victims import victim_from_module
    from capgan_edge.runtime.ort import OrtRunner
    from capgan_export.fused import GraphOutputs
    from capgan_export.onnx_graph import graph_from_pair

    environment = read_environment(None)
    victim = victim_from_module(pair.victim, {"kind": "simple-resnet", "name": pair.name}, size_px=pair.size_px)
    model_bytes = graph_from_pair(pair.purifier, victim, size_px=pair.size_px,
                                   outputs=GraphOutputs(has_raw_logits=True), properties={})  # fmt: skip
    with OrtRunner(model_bytes, providers=("CPUExecutionProvider",), threads=None) as runner:
        figures = PairFigures(pair, runner, test, seed=seed, is_bf16=is_bf16, device=environment.device)
        found = figures.measure(lambda line: typer.echo(f"measuring {line}", err=True), num_images=num_images,
                                num_end_to_end=num_end_to_end)  # fmt: skip
    for figure in found:
        low, high = figure["interval_95"]
        typer.echo(f"{figure['value']:6.2f} % [{low:.2f}, {high:.2f}]  n={figure['n']}  {figure['name']}")
    return {
        "date": timestamp(),
        "pair": pair.name,
        "code": revision(),
        "environment": asdict(environment),
        "command": pair.card["command"],
        "arguments": recorded_arguments(),
        "figures": found,
    }


def write_package(name: str, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write `capgan_edge/zoo/NAME`: the weights first, then the card that names their hash."""
    from safetensors.torch import save

    data = save({key: tensor.contiguous() for key, tensor in tensors.items()})
    folder = ROOT / "capgan_edge" / "zoo" / name
    write_atomic(folder / "weights.safetensors", data)
    write_json(folder / "card.json", card | {"weights_sha256": sha256_of_bytes(data)})
    typer.echo(f"wrote {folder.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    run_script(main)
