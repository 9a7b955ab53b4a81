"""What a run of the mode `robust` with `init` of `run` starts from: the purifier of another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig, with_painter_of
from capgan_edge.models.weights import weights_sha256
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import load_purifier_run, shipped_pointer
from capgan_edge.training.same_task import check_same_task
from capgan_edge.training.stored import settings_from

_SEEN_BY = ("seed", "num_held_out")
"""Settings by which images are held back."""


def load_initial(run: Path, config: RobustConfig, victim: Mapping[str, Any], train: ImageSet) -> Purifier:
    """Return the purifier of a run's best epoch, or of the pointer file that is named, in eval mode.

    One with a class head is trained further: its run has to be of the same victim, classes, size and held-out images.

    Raises:
        ConfigError: it is of another task, or trained on images that would be held out now.
        CheckpointError: there is no purifier's run.
    """
    purifier, _, checkpoint = load_purifier_run(shipped_pointer(run) if run.is_dir() else run)
    if isinstance(purifier, RobustPurifier):
        check_same_task(checkpoint.state, victim, train, run, what="a run to start from")
        its = settings_from(RobustConfig, checkpoint.state.get("config"), run)
        other = [name for name in _SEEN_BY if getattr(its, name) != getattr(config, name)]
        if other:
            said = " ".join(f"--seed {its.seed}" if name == "seed" else f"--set {name}={its.num_held_out}"
                            for name in other)  # fmt: skip
            raise ConfigError(
                f"expected the images held back that {run} did not see either, got another "
                f"{' and '.join(other)}; pass {said}"
            )
    return purifier


def check_initial(config: RobustConfig, shape: PurifierConfig, initial: PurifierConfig) -> None:
    """Raise ConfigError unless a run starts from a purifier, and that is of its shape but for the painter."""
    if config.init != "run":
        raise ConfigError(f"expected init 'run' with a purifier to start from, got {config.init!r}")
    if shape not in (initial, with_painter_of(initial, shape)):
        its, wanted = asdict(initial), asdict(shape)
        other = [f"{name} {wanted.get(name)} for {its.get(name)}" for name in its | wanted
                 if wanted.get(name) != its.get(name)]  # fmt: skip
        raise ConfigError(
            "expected the shape of the purifier to start from, or that with class maps or another painter, got "
            f"{', '.join(other)}; leave --preset out, or give a run of robust-nano another painter by "
            "robust-nano-maps or robust-nano-prototypes"
        )
    if has_new_painter(shape, initial) and not config.draw_epochs:
        raise ConfigError(
            "expected draw_epochs of 1 or more with a painter that is not the run's, which has learned nothing, got "
            "0; pass --set draw_epochs=2"
        )


def has_new_painter(shape: PurifierConfig, initial: PurifierConfig) -> bool:
    """Whether the painter of a shape is of another kind than that of the purifier to start from."""
    both = [one.paints for one in (shape, initial) if isinstance(one, RobustPurifierConfig)]
    return len(both) == 2 and both[0] != both[1]


def merged(purifier: Purifier, initial: Purifier) -> dict[str, Any]:
    """Return the state of a new purifier with the weights to start from: class maps that these lack stay zero, and a
    painter of another kind stays new."""
    is_new = has_new_painter(purifier.config, initial.config)
    kept = {name: tensor for name, tensor in initial.state_dict().items()
            if not (is_new and name.startswith("painter."))}  # fmt: skip
    return purifier.state_dict() | kept


def initial_state(initial: Purifier | None) -> dict[str, Any]:
    """Return what a run's state says of what it started from: the SHA-256 of the weights, wherever they lie."""
    return {} if initial is None else {"initial": {"sha256": weights_sha256(initial)}}
