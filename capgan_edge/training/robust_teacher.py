"""A robust teacher: the purifier of another finished robust run, whose answers are soft labels of a smaller one.

As in ARD (Goldblum et al. 2020) and RSLAD (Zi et al. 2021) it is asked about the clean image, and the student has to
say the same of the attacked one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.robust_purifier import RobustPurifier
from capgan_edge.models.weights import weights_sha256
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import is_finished, load_purifier_run, shipped_pointer
from capgan_edge.training.same_task import check_same_task

END_TO_END = ("painter", "whole")
"""Stages after which f(T(.)) is what was made robust."""


def load_teacher(config: RobustConfig, victim: Mapping[str, Any], train: ImageSet) -> Purifier | None:
    """Return the purifier of the run that the settings name, frozen, in eval mode; None where they name none.

    Of a run's folder it is the best epoch of the last stage, which is what would be exported.

    Args:
        config: the student's.
        victim: identity of the student's victim.
        train: the student's images.

    Raises:
        ConfigError: no finished robust run, or one before another victim, of other classes or of another size.
        CheckpointError: its files are not those of a purifier's run.
    """
    if not config.teacher:
        return None
    folder, pointer_path = _find(config.teacher)
    purifier, _, checkpoint = load_purifier_run(pointer_path)
    state = checkpoint.state
    if state.get("mode") != "robust" or not is_finished(folder):
        found = "a finished one" if is_finished(folder) else "an unfinished one"
        raise ConfigError(
            f"expected a finished run of the mode robust as teacher, got {folder}, {found} of the mode "
            f"{state.get('mode', 'cap-gan')!r:.40}; train it to its end with --mode robust, or name another"
        )
    check_same_task(state, victim, train, folder, what="a teacher")
    _check_stages(config, purifier, state.get("stage"), folder)
    return purifier


def lasting_teacher(config: RobustConfig) -> str:
    """Return the teacher's path so that it opens from any folder; empty where there is none."""
    return str(Path(config.teacher).expanduser().absolute()) if config.teacher else ""


def teacher_state(teacher: Purifier | None) -> dict[str, Any]:
    """Return what a run's state says of its teacher: the SHA-256 of the weights, wherever they lie."""
    return {} if teacher is None else {"teacher": {"sha256": weights_sha256(teacher)}}


def check_same_teacher(stored: Mapping[str, Any], given: Mapping[str, Any], run_path: Path) -> None:
    """Raise ConfigError unless a run goes on with the teacher that it was started with, or without as it was.

    Args:
        stored: the state of the run's checkpoint.
        given: `teacher_state` of the teacher to go on with.
        run_path: the run's folder.
    """
    both = [one.get("teacher") for one in (stored, given)]
    if both[0] != both[1]:
        said = [str(one["sha256"])[:12] if isinstance(one, dict) and "sha256" in one else "none" for one in both]
        instead = "name that one's folder with --set teacher=RUN" if both[0] else "leave it out"
        raise ConfigError(
            f"expected the teacher that {run_path} was started with ({said[0]}), got another ({said[1]}); {instead}, "
            "or start in a new folder"
        )


def _find(spec: str) -> tuple[Path, Path]:
    """Return the folder of a run and the pointer file to read."""
    path = Path(spec)
    try:
        if path.is_dir():
            return path, shipped_pointer(path)
        if path.is_file():
            return path.parent, path
    except (OSError, ValueError):  # what the disk cannot name: a null, too long
        pass
    raise ConfigError(
        f"expected the folder of a robust run as teacher, got {spec!r:.80}, where there is none; name it with "
        "--set teacher=RUN"
    )


def _check_stages(config: RobustConfig, purifier: Purifier, stage: Any, folder: Path) -> None:
    if config.head_epochs and not isinstance(purifier, RobustPurifier):
        raise ConfigError(
            f"expected a teacher with a class head for the stage head, got {folder}, a purifier without one; train one "
            "of a preset robust-..., or leave the stage out with --set head_epochs=0"
        )
    if config.whole_epochs and stage not in END_TO_END:
        raise ConfigError(
            f"expected a teacher trained end to end for the stage whole, got {folder}, which ended with the stage "
            f"{stage!r:.40}; train its painter, or pass --set whole_epochs=0"
        )
