"""Where purifier and victim come from: a run's folder, a checkpoint, the zoo; and frames to check them on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_edge.errors import CheckpointError, ConfigError, DataError, MissingDependencyError
from capgan_edge.runtime.manifest import MANIFEST

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_edge.models.purifier import Purifier
    from capgan_edge.models.victims import Victim

RUNS = Path("runs")
_DRAWN_NAME = re.compile(r"signs-(\d+)")
_DRAWN = re.compile(r"signs(?::(\d{1,6}))?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A purifier, the victim that it was trained before, and what both need to be exported."""

    name: str
    """What the manifest calls the purifier: a run's or a packaged pair's name, never a path."""
    origin: str
    """One sentence for people: what was taken, and why."""
    purifier: Purifier
    victim: Victim
    labels: tuple[str, ...]
    size_px: tuple[int, int]
    data: str | Path
    """The data that it was trained on, as `capgan_edge.data.load` takes it."""


def find_source(spec: str | None, *, victim: str | None = None, victim_state: Path | None = None) -> Source:
    """Return what `spec` names; None is the newest finished run under ./runs, or the zoo's default where there is none.

    Args:
        spec: a run's folder, its last.json or best.json, or a name in the zoo.
        victim: the victim's spec, where the run was trained before one that was brought.
        victim_state: safetensors weights for that victim, where it is a module:factory.
    """
    try:
        from capgan_edge.training.runs import newest_finished
    except ImportError as error:
        raise MissingDependencyError(error.name or "torch", "exporting", "train") from error
    from capgan_edge import zoo

    if spec is None:
        newest = newest_finished(RUNS, "purifier") if RUNS.is_dir() else None
        if newest is not None:
            return _from_run(newest, victim, victim_state, why=", the newest finished run")
        return _from_zoo(zoo.DEFAULT, victim, why=" from the zoo, since there is no finished run under ./runs")
    is_bundle = (Path(spec) / MANIFEST).is_file()  # `export NAME -o NAME` leaves one under a packaged pair's name
    if Path(spec).exists() and not (is_bundle and spec in zoo.names()):
        return _from_run(Path(spec), victim, victim_state)
    if spec in zoo.names():
        return _from_zoo(spec, victim, why=" from the zoo")
    raise CheckpointError(
        f"expected a run's folder, its last.json or best.json, or one of the zoo ({', '.join(zoo.names()) or 'empty'})"
        f", got {spec!r}, which is neither; train first (capgan-edge train purifier), or name another"
    )


def packaged_source(name: str, *, origin: str) -> Source:
    """Return a packaged pair of the zoo, whatever lies in the working directory under that name.

    Raises:
        CapganError: there is none of this name, its weights are not those of its card, or torch is not installed.
    """
    from capgan_edge import zoo

    pair = zoo.load(name)
    from capgan_edge.models.victims import victim_from_module  # behind it, which says in a line where torch is missing

    identity = {"kind": "simple-resnet", "name": f"{name}'s simple-resnet"}
    victim = victim_from_module(pair.victim, identity, size_px=pair.size_px, labels=pair.labels)
    return Source(name=name, origin=origin, purifier=pair.purifier, victim=victim, labels=pair.labels,
                  size_px=pair.size_px, data=pair.data)  # fmt: skip


def _from_zoo(name: str, victim: str | None, *, why: str) -> Source:
    if victim is not None:
        raise ConfigError(f"expected no --victim beside the packaged pair {name}, got {victim!r}: the pair has its own")
    return packaged_source(name, origin=f"{name}{why}")


def _from_run(path: Path, victim: str | None, victim_state: Path | None, *, why: str = "") -> Source:
    """Load a run: a purifier's folder stands for the best epoch, where there is one, a victim's for the last."""
    from capgan_edge.models.checkpoint import read_pointer
    from capgan_edge.models.victims import victim_from_module
    from capgan_edge.training.runs import load_purifier_run, shipped_pointer

    pointer = shipped_pointer(path) if path.is_dir() else path
    if pointer.is_file() and read_pointer(pointer)["kind"] == "victim":
        return _from_victim_run(path / "last.json" if path.is_dir() else path, victim, why=why)
    name = (pointer.parent if pointer.suffix == ".json" else pointer).resolve().name
    purifier, own, checkpoint = load_purifier_run(pointer)
    labels, size_px, data = _run_facts(checkpoint.state, pointer)
    if own is not None:
        if victim is not None:
            raise ConfigError(
                f"{name}: expected no --victim, got {victim!r}: the run holds its own; leave the option out"
            )
        identity: dict[str, Any] = {"kind": "simple-resnet", "name": f"{name}'s simple-resnet"}
        held = victim_from_module(own, identity, size_px=size_px, labels=labels)
    else:
        held = _brought(checkpoint.state["victim"], name, victim, victim_state, size_px)
    origin = f"{name}, epoch {checkpoint.epoch} ({pointer.stem}){why}"
    return Source(name=name, origin=origin, purifier=purifier, victim=held, labels=labels, size_px=size_px, data=data)


def _from_victim_run(pointer: Path, victim: str | None, *, why: str) -> Source:
    """Load a victim's run as a pair without a purifier: one that is its own defence, or a baseline without any.

    Of its last epoch, as everything else takes it: the best by clean accuracy is not the one that resists best.
    """
    from capgan_edge.defences.unpurified import Unpurified
    from capgan_edge.models.checkpoint import read_pointer
    from capgan_edge.models.own_victim import own_identity
    from capgan_edge.models.victims import victim_from_module
    from capgan_edge.training.runs import load_victim_run

    name = pointer.resolve().parent.name
    if victim is not None:
        raise ConfigError(
            f"{name}: expected no --victim, got {victim!r}: the run is a victim itself; leave the option out"
        )
    module, held_pointer = load_victim_run(pointer), read_pointer(pointer)
    labels, size_px, data = _run_facts(held_pointer["state"], pointer)
    kind = own_identity(module)["kind"]
    held = victim_from_module(module, {"kind": kind, "name": f"{name}'s {kind}"}, size_px=size_px, labels=labels)
    origin = f"{name}, a victim without a purifier, epoch {held_pointer['epoch']} ({pointer.stem}){why}"
    return Source(name=name, origin=origin, purifier=Unpurified(), victim=held, labels=labels, size_px=size_px,
                  data=data)  # fmt: skip


def _run_facts(state: dict[str, Any], path: Path) -> tuple[tuple[str, ...], tuple[int, int], str | Path]:
    """Return labels, size, and where the data is."""
    try:
        height, width = state["size_px"]
        labels, data = tuple(str(label) for label in state["class_names"]), _source_of_data(state)
        return labels, (int(height), int(width)), data
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: expected the state of a run, with class_names, size_px and data, got one that lacks "
            "them or has others; train again"
        ) from error


def _brought(
    identity: dict[str, Any], name: str, victim: str | None, victim_state: Path | None, size_px: tuple[int, int]
) -> Victim:
    from capgan_edge.models.victims import load_victim

    known = identity.get("name") or identity.get("kind")
    if victim is None:
        raise ConfigError(
            f"{name}: expected --victim, since the run was trained before {known!r}, which it does not hold; "
            "pass the same spec as in training"
        )
    held = load_victim(victim, state=victim_state, size_px=size_px)
    if "sha256" in identity and held.identity["sha256"] != identity["sha256"]:
        raise ConfigError(
            f"{name}: expected the victim of its training, {known!r} with SHA-256 {identity['sha256'][:12]}..., got "
            f"{held.identity['name']!r} with {held.identity['sha256'][:12]}...; "
            "pass the same file, or train again before this one"
        )
    return held


def _source_of_data(state: dict[str, Any]) -> str | Path:
    """Return where a run's data is: what the run stored, or where it stored none, what its data's name says.

    Drawn signs are named with their size (`signs-32/train`), so any other name is of a file or folder.
    """
    stored, name = state.get("source"), state["data"]
    if not isinstance(stored, str | None) or not isinstance(name, str):
        raise TypeError("source and data are text")
    if stored:
        return stored
    stem = name.removesuffix("/train")
    drawn = _DRAWN_NAME.fullmatch(stem)
    return Path(stem) if drawn is None else f"signs:{drawn[1]}"


def load_frames(
    source: str | Path, size_px: tuple[int, int], *, num_frames: int, labels: tuple[str, ...] | None = None
) -> ImageSet:
    """Return frames of a data source's test split, on which parity is measured.

    Args:
        source: as `capgan_edge.data.load` takes it; `signs` without a size is drawn at `size_px`.
        size_px: height and width that the frames must have.
        num_frames: how many to draw, where signs are drawn.
        labels: the classes that the data must have, where nobody named it now and it is taken from a run's record.

    Raises:
        DataError: the data is not there, or is other data than the run's; name it with --data.
        ConfigError: the frames are of another size.
    """
    from capgan_edge.data.signs import load_signs
    from capgan_edge.data.sources import load

    drawn = _DRAWN.fullmatch(source) if isinstance(source, str) else None
    if drawn is not None and size_px[0] == size_px[1]:
        frames = load_signs("test", size_px=int(drawn[1] or size_px[0]), n=num_frames)
    else:
        frames = load(source, "test")
    if labels is not None and frames.class_names != labels:
        raise DataError(
            f"expected the data of the training, with {_shown(labels)}, got {frames.name} with "
            f"{_shown(frames.class_names)}; name the data with --data"
        )
    if frames.size_px != tuple(size_px):
        raise ConfigError(
            f"expected frames of {size_px[0]}x{size_px[1]} px for the checks, got {frames.name} of "
            f"{frames.size_px[0]}x{frames.size_px[1]}; name data of that size with --data, e.g. signs:{size_px[0]}"
        )
    return frames


def _shown(names: tuple[str, ...]) -> str:
    return f"{len(names)} classes ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
