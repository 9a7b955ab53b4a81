"""Crafted batches on disk, named by all that they depend on, so that an interrupted benchmark goes on where it was.

One .npz a batch: arrays, and a JSON text with the rest and with the arrays' hash. Nothing is unpickled.
Shapes: N images.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.image_source import images_sha256
from capgan_benchmarks.robustness.npz import BROKEN, member
from capgan_benchmarks.threats.crafted import CraftedSet
from capgan_benchmarks.threats.crafting import seeded
from capgan_benchmarks.threats.made_by import made_by
from capgan_benchmarks.threats.rounding import RoundingLoss
from capgan_edge.data.cache import cache_root
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CapganError
from capgan_edge.files import sha256_of_bytes, write_atomic

if TYPE_CHECKING:
    from capgan_edge.attacks import Attack

_FORMAT = 1
_ARRAYS = {"frames_NHWC": np.uint8, "labels_N": np.int64, "queries_N": np.int64, "gradients_N": np.int64,
           "l2_N": np.float64}  # fmt: skip
Say = Callable[[str], None]


def store_root(chosen: Path | None) -> Path:
    """Return the folder that was chosen, or `robustness` in the cache folder of the user."""
    return cache_root() / "robustness" if chosen is None else chosen


class BatchStore:
    """Batches by key. One that is broken is dropped and said once; a folder that cannot be written is done without."""

    def __init__(self, root: Path, say: Say) -> None:
        self.root = root
        self._say = say
        self._is_writable = True

    def load(self, key: str) -> CraftedSet | None:
        """Return the batch of that key, without its float images; None where there is none."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:  # not there, or not to be read: saving says what is wrong
            return None
        try:
            return _batch_from_bytes(data, key)
        except BROKEN as error:
            why = " ".join(str(error).split()) or type(error).__name__
            self._say(f"broken cache entry {path.name}, made again: {why}")
            return None

    def save(self, key: str, crafted: CraftedSet) -> None:
        """Keep a batch."""
        if not self._is_writable:
            return
        try:
            write_atomic(self._path(key), _bytes_from_batch(crafted, key))
        except CapganError as error:
            self._is_writable = False
            self._say(f"going on without a cache of attacked images: {error}; name another folder, --cache or --out")

    def _path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.npz"


def batch_key(*, scenario: str, target_sha256: str, attack: Attack, number: int, images: ImageSet,
              extra: Any = None) -> str:  # fmt: skip
    """Return the name of a batch: the hash of the threat, its models, the attack with its seed, the images, the code.

    Args:
        scenario: name of the threat model.
        target_sha256: of the weights or files of everything that takes part in crafting.
        attack: of the run; its seed is that of the run.
        number: of the batch, which makes another seed of it.
        images: one batch.
        extra: settings of the scenario.
    """
    held = {
        "format": _FORMAT,
        "scenario": scenario,
        "target": target_sha256,
        "attack": type(attack).__name__,
        "settings": asdict(seeded(attack, number)),
        "images": images_sha256(images),
        "extra": extra,
        "made_by": made_by(),
    }
    return sha256_of_bytes(json.dumps(held, sort_keys=True).encode())


def without_floats(crafted: CraftedSet) -> CraftedSet:
    """Return the set with an empty `x_NCHW`: scores are of 8-bit frames, and what rounding cost is counted."""
    return replace(crafted, x_NCHW=crafted.x_NCHW[:0])


def _bytes_from_batch(crafted: CraftedSet, key: str) -> bytes:
    arrays = {name: np.ascontiguousarray(getattr(crafted, name), kind) for name, kind in _ARRAYS.items()}
    facts = {
        "key": key,
        "name": crafted.name,
        "knowledge": crafted.knowledge,
        "scenario": crafted.scenario,
        "settings": crafted.settings,
        "rounding": asdict(crafted.rounding),
        "num_lost_queries": crafted.num_lost_queries,
        "num_confident": crafted.num_confident,
        "num_fooled": crafted.num_fooled,
        "sum_l2_fooled": crafted.sum_l2_fooled,
        "seconds": crafted.seconds,
    }
    file = io.BytesIO()
    text = np.frombuffer(json.dumps({**facts, "sha256": _sha256(arrays, facts)}, allow_nan=False).encode(), np.uint8)
    np.savez(file, facts=text, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _batch_from_bytes(data: bytes, key: str) -> CraftedSet:
    """Return a batch; ValueError, KeyError, TypeError where it is not what was written."""
    import torch

    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        arrays: dict[str, NDArray[Any]] = {name: member(held, name) for name in _ARRAYS}
        facts = json.loads(member(held, "facts").tobytes())
    if facts["key"] != key or facts.pop("sha256") != _sha256(arrays, facts):
        raise ValueError("it is not what was written under this name")
    _, height, width, channels = arrays["frames_NHWC"].shape
    return CraftedSet(
        name=facts["name"], knowledge=facts["knowledge"], scenario=facts["scenario"], settings=facts["settings"],
        rounding=RoundingLoss(**facts["rounding"]), num_lost_queries=facts["num_lost_queries"],
        num_confident=facts["num_confident"], num_fooled=facts["num_fooled"], sum_l2_fooled=facts["sum_l2_fooled"],
        seconds=facts["seconds"],
        x_NCHW=torch.empty(0, channels, height, width), **arrays,
    )  # fmt: skip


def _sha256(arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> str:
    parts = [f"{name} {each.dtype} {each.shape} ".encode() + each.tobytes() for name, each in arrays.items()]
    return sha256_of_bytes(b"".join([*parts, json.dumps(facts, sort_keys=True).encode()]))
