"""Train an arm: the packaged loop (`RobustRun`) on some of the training images."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.robust_options.arms import Arm, Group
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_edge.models.purifier import Purifier
    from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
    from capgan_edge.training.robust_config import RobustConfig
    from capgan_edge.zoo import Pair

PLAIN_EPOCHS = 2
NUM_HELD_OUT, NUM_WATCHED = 200, 100
"""Of the training images of an arm; its last epoch is what is measured, so that they choose nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """An arm's purifier, in eval mode, and how it was trained."""

    purifier: Purifier
    config: RobustConfig | None
    """None where the weights are those to begin with."""
    seconds: float
    """From start to end: of the training and, where it has a teacher, of that one's."""
    num_collapsed: int
    """Epochs that were rolled back."""


def train_arm(
    group: Group, arm: Arm, pair: Pair, cap_gan: Pair | None, train: ImageSet, path: Path, *, num_images: int, seed: int
) -> Trained:
    """Train with `num_images` an epoch, in `path`.

    Raises:
        ConfigError: the arm starts from a CAP-GAN pair before the same classifier, and there is none.
        TrainingError: a loss became NaN.
    """
    few = train.take(num_images + NUM_HELD_OUT, seed=seed)
    is_plain = arm.start == "plain"
    initial = (plain_purifier(pair, few, path / "plain", seed=seed) if is_plain
               else initial_of(arm, pair, cap_gan, seed=seed))  # fmt: skip
    if not arm.is_trained:
        assert initial is not None
        return Trained(purifier=initial, config=None, seconds=0.0, num_collapsed=0)
    shape: Any = initial.config if initial is not None else new_shape(arm, pair)
    config = config_of(group, arm, pair, seed=seed)
    start_s = time.monotonic()
    if arm.teacher_width:
        wide = new_shape(replace(arm, width=arm.teacher_width), pair)
        _run(config, wide, pair, few, path / "teacher", None)
        config = replace(config, teacher=str(path / "teacher"))
    purifier = _run(config, shape, pair, few, path / "run", initial)
    if arm.teacher_width:  # which of this machine's folders it lay in is nobody's business
        config = replace(config, teacher=f"{arm.teacher_width:g} times the width")
    return Trained(purifier=purifier, config=config, seconds=time.monotonic() - start_s,
                   num_collapsed=int(sum(row["is_rolled_back"] for row in _log(path / "run"))))  # fmt: skip


def _run(
    config: RobustConfig, shape: Any, pair: Pair, train: ImageSet, path: Path, initial: Purifier | None
) -> Purifier:
    from capgan_edge.training.device import start_fabric
    from capgan_edge.training.robust import RobustRun
    from capgan_edge.training.runs import victim_state

    return RobustRun(config, shape, pair.victim, victim_state(pair.victim), train, path, start_fabric(),
                     source=pair.data, initial=initial).run()  # fmt: skip


def config_of(group: Group, arm: Arm, pair: Pair, *, seed: int) -> RobustConfig:
    """Return the settings of an arm: epsilon, mirroring and crops of the pair's recipe, the group's, its own."""
    from capgan_edge.training.robust_config import RobustConfig

    kept = {name: pair.card["recipe"]["purifier"][name] for name in ("epsilon", "is_mirrored", "small_crop_px")}
    settings = kept | dict(group.settings) | dict(arm.settings)
    return RobustConfig(**settings, num_held_out=NUM_HELD_OUT, num_watched=NUM_WATCHED, seed=seed)


def initial_of(arm: Arm, pair: Pair, cap_gan: Pair | None, *, seed: int) -> Purifier | None:
    """Return the weights that an arm starts from; None where it starts from none."""
    if arm.start == "new":
        return None
    if arm.start == "package":
        return pair.purifier
    if arm.start == "package-head":
        return with_new_painter(arm, pair, seed=seed)
    if cap_gan is None:
        raise ConfigError(f"expected a packaged CAP-GAN pair before the classifier of {pair.name} for the arm "
                          f"{arm.name}, got none; leave the arm out")  # fmt: skip
    return cap_gan.purifier


def plain_purifier(pair: Pair, train: ImageSet, path: Path, *, seed: int) -> Purifier:
    """Train a purifier of the preset nano on attacks on the classifier alone, without cycle and GAN; return it."""
    from capgan_edge.models.presets import preset
    from capgan_edge.training.config import CapGanConfig
    from capgan_edge.training.device import start_fabric
    from capgan_edge.training.purifier import PurifierRun
    from capgan_edge.training.runs import load_purifier_run, victim_state

    kept = {name: pair.card["recipe"]["purifier"][name] for name in ("epsilon", "is_mirrored", "batch_size")}
    config = CapGanConfig(epochs=PLAIN_EPOCHS, semantic_epochs=PLAIN_EPOCHS, learning_rate=2e-3, schedule="one-cycle",
                          smallest_epsilon=0.0, num_held_out=NUM_HELD_OUT, num_watched=NUM_WATCHED, seed=seed,
                          **kept)  # fmt: skip
    PurifierRun(config, preset("nano"), pair.victim, victim_state(pair.victim), train, path, start_fabric(),
                source=pair.data).run()  # fmt: skip
    return load_purifier_run(path)[0]


def with_new_painter(arm: Arm, pair: Pair, *, seed: int) -> RobustPurifier:
    """Return the packaged purifier with a painter that has learned nothing."""
    import torch

    from capgan_edge.models.robust_purifier import RobustPurifier

    packaged = pair.purifier
    assert isinstance(packaged, RobustPurifier)
    plain = replace(packaged.config, class_map_px=0, paints="features")
    shape = replace(plain, **arm.shape)
    torch.manual_seed(seed)
    purifier = RobustPurifier(shape)
    torch.manual_seed(seed)
    new = RobustPurifier(plain).state_dict()  # the same with maps or without
    if shape.paints == "decision":
        new = {}
    kept = {name: tensor for name, tensor in packaged.state_dict().items() if not name.startswith("painter.")}
    purifier.load_state_dict(purifier.state_dict() | new | kept)
    return purifier


def new_shape(arm: Arm, pair: Pair) -> RobustPurifierConfig:
    """Return robust-nano's shape at the arm's width and with what the arm has of its own, with the pair's classes."""
    from capgan_edge.models.robust_purifier import RobustPurifierConfig

    usual = RobustPurifierConfig(num_classes=len(pair.labels))
    widened = replace(usual, ngf=round(arm.width * usual.ngf), middle_channels=round(arm.width * usual.middle_channels),
                      feature_channels=round(arm.width * usual.feature_channels))  # fmt: skip
    return replace(widened, **arm.shape)


def _log(run_path: Path) -> list[dict[str, float]]:
    from capgan_benchmarks.make_zoo import training_facts

    rows: list[dict[str, float]] = training_facts(run_path)["log"]
    return rows
