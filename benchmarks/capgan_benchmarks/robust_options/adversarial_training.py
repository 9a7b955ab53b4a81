"""The honest alternative: the same classifier trained adversarially, against a frozen one behind a robust purifier.

    capgan-edge train victim --adversarial n-fgsm --data gtsrb32 --epochs 6 --small-crop-epochs 4 -o runs/at
    python -m capgan_benchmarks.robust_options.adversarial_training gtsrb-robust-nano runs/at

Both are attacked with their own gradients, end to end, T by those of its class head as well. Writes
`benchmarks/results/robust-alternative-PAIR_HARDWARE_DATE.json`: accuracy, what each costs in training and in use.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capgan_benchmarks.records import ROOT, record_head, record_name
from capgan_benchmarks.robust_options.packaged import robust_card
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError
from capgan_edge.files import write_json

if TYPE_CHECKING:
    from capgan_benchmarks.robust_options.measuring import Model
    from capgan_edge.data.images import ImageSet
    from capgan_edge.models.victim import SimpleResNet
    from capgan_edge.zoo import Pair

KIND = "robust-alternative"
EPSILONS = (4, 8)
"""Of the attacks, in levels of 255."""


def main(
    name: Annotated[str, typer.Argument(help="A packaged pair of the mode robust.")],
    run: Annotated[Path, typer.Argument(help="Run of a victim that was trained adversarially on the pair's data.")],
    num_images: Annotated[int, typer.Option(min=1, help="Test images under PGD-40.")] = 1000,
    num_autoattacked: Annotated[int, typer.Option(min=0, help="Of them under AutoAttack.")] = 128,
    steps: Annotated[int, typer.Option(min=1, help="Of PGD.")] = 40,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Attack both, and write the record."""
    from capgan_benchmarks.demo.environment import read_environment
    from capgan_edge import data, zoo
    from capgan_edge.models.robust_purifier import RobustPurifier
    from capgan_edge.training.runs import load_victim_run

    robust_card(name)
    pair, victim = zoo.load(name), load_victim_run(run)
    train, test = data.load(pair.data, "train"), data.load(pair.data, "test")
    systems = [of_pair(pair, train), of_victim(run, victim, pair, train)]
    attacked = test.take(num_images, seed=seed)
    assert isinstance(pair.purifier, RobustPurifier)
    for system, model, behind in zip(systems, models(pair, victim), (pair.purifier.class_logits, None), strict=True):
        system["figures"] = figures(model, attacked, num_autoattacked, steps=steps, seed=seed, behind=behind)
    record = record_head(KIND, command="python -m capgan_benchmarks.robust_options.adversarial_training",
                         environment=asdict(read_environment(None)))  # fmt: skip
    record |= {"pair": name, "weights_sha256": pair.card["weights_sha256"], "data": test.name, "n": len(attacked),
               "num_autoattacked": num_autoattacked, "steps": steps, "seed": seed, "systems": systems}  # fmt: skip
    path = ROOT / "benchmarks" / "results" / record_name(f"{KIND}-{name}", record)
    write_json(path, record)
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


def models(pair: Pair, victim: SimpleResNet) -> list[Model]:
    """Return what is attacked and scored: f(T(.)), and the classifier that was trained adversarially."""
    from capgan_benchmarks.attacked_sets import Chain
    from capgan_edge.models.victim import folded

    return [Chain(pair.purifier, folded(pair.victim)), folded(victim)]


def figures(
    model: Model, test: ImageSet, num_autoattacked: int, *, steps: int, seed: int, behind: Model | None = None
) -> list[dict[str, Any]]:
    """Return clean accuracy, PGD's at every epsilon, and AutoAttack's on some of the images, if on any.

    PGD is made on the model, and where there is one on the class head behind it; AutoAttack, which leaves an image as
    soon as it fools, on the model alone.
    """
    from capgan_benchmarks.robust_options.measuring import figures_of
    from capgan_edge.attacks import PGD, AutoAttack

    radii = [epsilon / 255 for epsilon in EPSILONS]
    knowledge = "its own gradients"
    found = figures_of(model, test, *(PGD(epsilon=e, steps=steps, seed=seed) for e in radii), knowledge=knowledge,
                       behind=behind)  # fmt: skip
    if not num_autoattacked:
        return found
    few = test.take(num_autoattacked, seed=seed)  # drawn: the first of them are all of the first classes
    found += figures_of(model, few, *(AutoAttack(epsilon=e, seed=seed) for e in radii), knowledge=knowledge)[1:]
    return found


def of_pair(pair: Pair, train: ImageSet) -> dict[str, Any]:
    """Return what the pair's purifier took to train, by the log in its card, and what both networks take in use."""
    from capgan_benchmarks.robust_options.cost import macs_of
    from capgan_benchmarks.robust_options.packaged import runs_of
    from capgan_benchmarks.robust_options.spent import epochs_of

    rows = epochs_of(pair.name, len(train))
    return {"name": "T before a frozen f", "epochs": len(rows), "pflop": round(rows[-1]["pflop"], 3),
            "seconds": rows[-1]["seconds"], "macs": macs_of(pair.purifier, pair.victim, pair.size_px).whole,
            "config": asdict(runs_of(pair.card)[-1][0]),
            "first_configs": [asdict(config) for config, _ in runs_of(pair.card)[:-1]]}  # fmt: skip


def of_victim(run: Path, victim: SimpleResNet, pair: Pair, train: ImageSet) -> dict[str, Any]:
    """Return the same of a run of adversarial training.

    Raises:
        ConfigError: the run is not finished, is not adversarial, or is of other data.
    """
    from capgan_benchmarks.make_zoo import training_facts
    from capgan_benchmarks.robust_options.cost import victim_pflop
    from capgan_edge.models.cost import cost_of
    from capgan_edge.training.checkpoint import read_pointer
    from capgan_edge.training.runs import is_finished
    from capgan_edge.training.stored import settings_from
    from capgan_edge.training.victim import VictimConfig

    state = read_pointer(run / "last.json")["state"]
    config = settings_from(VictimConfig, state["config"], run)
    is_same = state["class_names"] == list(pair.labels) and state["data"] == train.name
    if not is_finished(run) or not config.attack_steps or not is_same:
        raise ConfigError(
            f"expected a finished run of `train victim --adversarial` on the data of {pair.name}, got {run} of "
            f"{config.attack_steps} attack steps on {state['data']}; train it to its end"
        )
    height_px, width_px = pair.size_px
    macs, log = cost_of(victim, height_px=height_px, width_px=width_px).macs, training_facts(run)["log"]
    spent = victim_pflop(config, macs, len(train) - config.num_held_out, size_px=height_px)
    return {"name": "f trained adversarially", "epochs": len(log), "pflop": round(spent, 3),
            "seconds": round(sum(row["seconds"] for row in log), 1), "macs": macs,
            "config": asdict(config)}  # fmt: skip


if __name__ == "__main__":
    run_script(main)
