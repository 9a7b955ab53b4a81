"""The record of a group: every arm trained and attacked, in order, or taken from where it was left off."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.records import record_head, revision
from capgan_benchmarks.robust_options.arms import Arm, Group, arms_of, group_of
from capgan_benchmarks.robust_options.cost import macs_of, robust_pflop
from capgan_benchmarks.robust_options.measuring import CLASS_HEAD, figures_of
from capgan_benchmarks.robust_options.packaged import robust_card
from capgan_benchmarks.robust_options.training import Trained, config_of, new_shape, train_arm
from capgan_edge.files import make_folder, write_json

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_edge.zoo import Pair

KIND = "robust-options"
MEASURED = "measured.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What is the same for every arm of a group."""

    num_images: int = 6400
    """Training images an epoch."""
    num_test_images: int = 500
    steps: int = 20
    """Of PGD."""
    seed: int = 0


def compared(
    group_name: str, pair_name: str, budget: Budget, out: Path, *, only: Sequence[str], say: Callable[[str], None]
) -> dict[str, Any]:
    """Return the record of a group, or of the arms that `only` names.

    Raises:
        ConfigError: no such group or arm, or the pair is not one of the mode robust.
        DataError: its data is not there.
        TrainingError: a loss became NaN.
    """
    from capgan_benchmarks.demo.environment import read_environment
    from capgan_edge import data, zoo

    group = group_of(group_name)
    arms = arms_of(group, only)
    robust_card(pair_name)
    pair = zoo.load(pair_name)
    train, test = data.load(pair.data, "train"), data.load(pair.data, "test")
    test = test.take(budget.num_test_images, seed=budget.seed)
    key = {"pair": pair.card["weights_sha256"], "budget": asdict(budget), "data": test.name}
    for arm in [arm for arm in arms if is_idle(group, arm, pair)]:
        say(f"left out {arm.name}: {pair_name} is trained so anyway")
    arms = tuple(arm for arm in arms if not is_idle(group, arm, pair))
    rows = [_row(group, arm, pair, train, test, budget, out / pair_name / group.name, key, say) for arm in arms]
    return {
        **record_head(KIND, command="python -m capgan_benchmarks.robust_options",
                      environment=asdict(read_environment(None))),
        "group": group.name,
        "question": group.question,
        "baseline": group.baseline,
        "is_head": group.is_head,
        "pair": pair_name,
        "weights_sha256": pair.card["weights_sha256"],
        "data": test.name,
        "n": len(test),
        "seed": budget.seed,
        "num_images": budget.num_images,
        "steps": budget.steps,
        "arms": rows,
    }  # fmt: skip


def is_idle(group: Group, arm: Arm, pair: Pair) -> bool:
    """Whether an arm is the one that the others are held against, as "no flips" is of a pair of signs."""
    (baseline,) = arms_of(group, [group.baseline])
    if arm.name == baseline.name or not arm.is_trained or not baseline.is_trained:
        return False
    own, other = (
        (config_of(group, each, pair, seed=0), new_shape(each, pair), each.start, each.teacher_width)
        for each in (arm, baseline)
    )
    return own == other


def _row(
    group: Group, arm: Arm, pair: Pair, train: ImageSet, test: ImageSet, budget: Budget, out: Path,
    key: dict[str, Any], say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    path = out / arm.name.replace("=", "-")
    cap_gan = _cap_gan_before(pair)
    key = key | {"arm": [arm.name, arm.start, arm.width, dict(arm.shape), arm.teacher_width, arm.is_trained],
                 "code": revision(),
                 "config": asdict(config_of(group, arm, pair, seed=budget.seed)) if arm.is_trained else None,
                 "cap_gan": cap_gan and cap_gan.card["weights_sha256"]}  # fmt: skip
    kept = _kept(path / MEASURED, key)
    if kept is None:
        say(f"training {arm.name}: {arm.what}")
        make_folder(path)
        trained = train_arm(group, arm, pair, cap_gan, train, path, num_images=budget.num_images,
                            seed=budget.seed)  # fmt: skip
        kept = _measured(group, arm, pair, trained, test, budget)
        write_json(path / MEASURED, {"key": key, "row": kept})
    say("; ".join(f"{each['frames']} {each['percent']:.1f} %" for each in kept["figures"]))
    return kept


def _measured(
    group: Group, arm: Arm, pair: Pair, trained: Trained, test: ImageSet, budget: Budget
) -> dict[str, Any]:  # fmt: skip
    from capgan_benchmarks.attacked_sets import Chain
    from capgan_edge.attacks import PGD
    from capgan_edge.models.robust_purifier import RobustPurifier
    from capgan_edge.models.victim import folded

    purifier, config = trained.purifier, trained.config
    macs = macs_of(purifier, pair.victim, pair.size_px)
    if group.is_head:
        assert isinstance(purifier, RobustPurifier)
        figures = figures_of(purifier.class_logits, test, PGD(steps=budget.steps, seed=budget.seed),
                             knowledge=CLASS_HEAD)  # fmt: skip
    else:
        behind = purifier.class_logits if isinstance(purifier, RobustPurifier) else None
        figures = figures_of(Chain(purifier, folded(pair.victim)), test, PGD(steps=budget.steps, seed=budget.seed),
                             knowledge="f(T(.))", behind=behind)  # fmt: skip
    pflop, settings = 0.0, None
    if config is not None:
        pflop = robust_pflop(config, macs, budget.num_images, size_px=pair.size_px[0])[-1]
        settings = asdict(config)
    return {"name": arm.name, "what": arm.what, "start": arm.start, "config": settings, "macs": asdict(macs),
            "pflop": round(pflop, 4), "seconds": round(trained.seconds, 1), "num_collapsed": trained.num_collapsed,
            "figures": figures}  # fmt: skip


def _kept(path: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return an arm's row where it was measured with the same settings; None otherwise, also of a torn file."""
    try:
        held = json.loads(path.read_text())
        row: dict[str, Any] = held["row"]
        return row if held["key"] == json.loads(json.dumps(key)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _cap_gan_before(pair: Pair) -> Pair | None:
    """Return the packaged CAP-GAN pair before the very same classifier; None where there is none."""
    from capgan_edge import zoo

    for name in zoo.names():
        card = zoo.card(name)
        if card.get("mode", "cap-gan") == "cap-gan" and card["victim"]["sha256"] == pair.card["victim"]["sha256"]:
            return zoo.load(name)
    return None
