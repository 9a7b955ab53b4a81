"""Exported sets as cells of their own: frames that were crafted elsewhere, and are of no threat model of this run.

Whoever crafted a set knew everything of what it was crafted on, maybe, and nothing of what it is replayed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.robustness.record import REPLAYED, ThreatWords
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import DataError

if TYPE_CHECKING:
    from capgan_benchmarks.threats.crafted import CraftedSet

_SHOWN = 8
"""Hexadecimal digits of a set's hash in its name."""
WORDS = ThreatWords(
    name=REPLAYED, gradient_by="what each set was crafted on", scored="every system",
    knows="What the set's own attacker knew of what it was crafted on, which each names, and nothing of what is scored "
    "here, unless these are the same: an upper bound of what is held, and no attack on it.",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """One set, as a cell is made of it."""

    crafted: CraftedSet
    """Named by attack, origin and the frames' hash, so that no two sets have one name."""
    epsilon: float | None
    """Of the manifest, which the frames were checked against."""
    settings: dict[str, Any]
    """To add to the attack's: where the frames are from. The file's name is not in it; it may change."""


def read_replays(paths: Sequence[Path], images: ImageSet) -> tuple[Replay, ...]:
    """Read exported sets before anything is attacked.

    Raises:
        DataError: one cannot be replayed on these images, or two are the same.
    """
    from capgan_benchmarks.robustness.exported import read_set

    held: dict[tuple[str, float | None], Path] = {}
    found = []
    for path in dict.fromkeys(paths):
        stored = read_set(path, images)
        manifest = stored.manifest
        sha256 = manifest.arrays["frames_NHWC"]
        name = f"{manifest.attack}, {manifest.scenario} on {manifest.subject}, set {sha256[:_SHOWN]}"
        other = held.setdefault((name, manifest.epsilon), path)
        if other is not path:
            raise DataError(f"expected each set once, got {path} and {other} with the same frames; leave one out")
        settings = {REPLAYED: sha256, "of_scenario": manifest.scenario, "of_subject": manifest.subject,
                    "of_systems": dict(manifest.systems)}  # fmt: skip
        found.append(Replay(crafted=replace(stored.crafted, scenario=REPLAYED, name=name), epsilon=manifest.epsilon,
                            settings=settings))  # fmt: skip
    return tuple(found)
