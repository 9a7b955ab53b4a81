"""The same purifier before another classifier of the task, f', which it never saw: does what it paints mean anything?

    python -m capgan_benchmarks.other_victim cifar10-robust-nano       # data from $CAPGAN_EDGE_DATA

Scores T before f and before f', the packaged surrogate, on clean images and on PGD-40 through T and either of them, and
writes `benchmarks/results/other-victim-NAME_HARDWARE_DATE.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from capgan_benchmarks.attacked_sets import AttackedSet, Chain, attacked_set, clean_set, right_frames
from capgan_benchmarks.records import ROOT, record_name, recorded_arguments, revision, timestamp
from capgan_benchmarks.script import run_script
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.files import write_json

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.zoo import Pair

    Model = Callable[[Tensor], Tensor]

THEME = "other-victim"


def main(
    name: Annotated[str, typer.Argument(help="A packaged pair that has a surrogate.")],
    num_images: Annotated[int, typer.Option(min=1, help="Test images.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Of PGD.")] = 40,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Measure a packaged purifier before f and before f', and write the record."""
    from capgan_benchmarks.demo.environment import read_environment
    from capgan_edge import data, zoo

    pair, other = zoo.load(name), zoo.surrogate(name)
    if other is None:
        raise ConfigError(f"expected a pair with a surrogate, got {name}; package one by make_surrogate")
    test = data.load(pair.data, "test").take(num_images, seed=seed)
    record = {
        "date": timestamp(),
        "pair": name,
        "weights_sha256": pair.card["weights_sha256"],
        "code": revision(),
        "environment": asdict(read_environment(None)),
        "command": f"python -m capgan_benchmarks.{THEME.replace('-', '_')}",
        "arguments": recorded_arguments(),
        "data": test.name,
        "n": len(test),
        "seed": seed,
        "figures": before_both(pair, other, test, steps=steps, seed=seed),
    }  # fmt: skip
    path = ROOT / "benchmarks" / "results" / record_name(f"{THEME}-{name}", record)
    write_json(path, record)
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


def before_both(pair: Pair, other: Model, test: ImageSet, *, steps: int, seed: int) -> list[dict[str, Any]]:
    """Return the accuracy of f, f', f(T(.)) and f'(T(.)), clean and under PGD through T and either classifier.

    Gradients are fp32; frames are rounded to 8 bits before they are scored.
    """
    from capgan_edge.attacks import PGD
    from capgan_edge.models.victim import folded

    attack = PGD(steps=steps, seed=seed)
    systems: dict[str, Model] = {
        "f": pair.victim, "f'": other, "f(T(.))": Chain(pair.purifier, pair.victim),
        "f'(T(.))": Chain(pair.purifier, other),
    }  # fmt: skip
    sets = [clean_set(test)]
    for knowledge, victim in (("f(T(.))", pair.victim), ("f'(T(.))", other)):
        climbed = Chain(pair.purifier, folded(victim))  # type: ignore[arg-type]  # both are SimpleResNet
        sets.append(attacked_set(attack, climbed, knowledge, test, is_bf16=False))
    return [figure for attacked in sets for figure in _figures(attacked, systems)]


def _figures(attacked: AttackedSet, systems: Mapping[str, Model]) -> list[dict[str, Any]]:
    found = []
    for system, model in systems.items():
        is_right_N = right_frames(model, attacked)
        num_right, n = int(np.count_nonzero(is_right_N)), len(is_right_N)
        low, high = wilson_interval_percent(num_right, n)
        found.append({"frames": attacked.title, "system": system, "value": round(100 * num_right / n, 3),
                      "unit": "% accuracy", "n": n, "interval_95": [round(low, 3), round(high, 3)],
                      "settings": attacked.settings})  # fmt: skip
    return found


if __name__ == "__main__":
    run_script(main)
