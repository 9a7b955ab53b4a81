"""Decoded splits kept on disk as .npy files, so that the second run starts at once.

One folder for each source and split: `images.npy`, `labels.npy` and `entry.json`, which is written last and holds the
key (what the source was when it was decoded) and the hashes of the arrays. A changed source replaces its entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from capgan_edge.data.decoded import Decoded, LoadReport, Skipped, Split, logger
from capgan_edge.errors import CapganError
from capgan_edge.files import sha256_of_bytes, sha256_of_file, write_atomic, write_json

FORMAT_VERSION = 1
CACHE_VARIABLE = "CAPGAN_EDGE_CACHE"


def cache_root() -> Path:
    """Return where cached arrays lie: CAPGAN_EDGE_CACHE, or `capgan-edge` in the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "capgan-edge"
    return Path("~/.cache/capgan-edge").expanduser()


def key_of(path: Path, split: Split, files: Iterable[tuple[str, int, int]]) -> str:
    """Return the key of a split of `path`, whose files are (name, bytes, mtime in ns)."""
    state = [FORMAT_VERSION, str(path.absolute()), split, sorted(files)]
    return sha256_of_bytes(json.dumps(state).encode())


def cached(path: Path, split: Split, key: str, decode: Callable[[], Decoded]) -> Decoded:
    """Return what `decode` gives, from the cache where the same was decoded before.

    A broken entry is dropped and made again; a cache that cannot be written is said once and done without.
    """
    try:
        folder = _folder_of(path, split)
    except RuntimeError as error:  # a user without a home folder
        logger.warning("going on without a cache of decoded images: %s (%s chooses its folder)", error, CACHE_VARIABLE)
        return decode()
    found = _read_or_drop(folder, key)
    if found is not None:
        return found
    decoded = decode()
    try:
        _write(folder, key, decoded)
    except CapganError as error:
        logger.warning("going on without a cache of decoded images: %s (%s chooses its folder)", error, CACHE_VARIABLE)
    return decoded


def _folder_of(path: Path, split: Split) -> Path:
    digest = hashlib.sha256(f"{path.absolute()}\0{split}".encode()).hexdigest()[:16]
    return cache_root() / f"{path.absolute().name}-{split}-{digest}"


def _read_or_drop(folder: Path, key: str) -> Decoded | None:
    try:
        entry = json.loads((folder / "entry.json").read_bytes())
        if entry["key"] == key:
            return _read(folder, entry)
    except OSError:
        pass  # nothing cached, an array lost, or no right to read: decode; writing says what is wrong
    except (ValueError, KeyError, TypeError, EOFError) as error:
        logger.warning("dropped a broken cache entry and decode again: %s: %s", folder, error)
        for name in ("entry.json", "images.npy", "labels.npy"):
            with contextlib.suppress(OSError):  # what cannot be removed cannot be replaced either, and writing says so
                (folder / name).unlink(missing_ok=True)
    return None


def _read(folder: Path, entry: dict[str, Any]) -> Decoded:
    """Return the entry's arrays; ValueError where they are not what was written."""
    arrays = {}
    for name, dtype in (("images", np.uint8), ("labels", np.int64)):
        path = folder / f"{name}.npy"
        if sha256_of_file(path) != entry["sha256"][name]:
            raise ValueError(f"{path.name} is not the array that was written")
        arrays[name] = np.load(path, allow_pickle=False)
        if arrays[name].dtype != dtype:
            raise ValueError(f"{path.name} holds {arrays[name].dtype}, expected {np.dtype(dtype)}")
    skipped = tuple(Skipped(name=str(name), reason=str(reason)) for name, reason in entry["skipped"])
    return Decoded(
        images_NHWC=arrays["images"],
        labels_N=arrays["labels"],
        class_names=tuple(str(name) for name in entry["class_names"]),
        report=LoadReport(num_found=int(entry["num_found"]), skipped=skipped),
    )


def _write(folder: Path, key: str, decoded: Decoded) -> None:
    hashes = {}
    for name, array in (("images", decoded.images_NHWC), ("labels", decoded.labels_N)):
        path = folder / f"{name}.npy"
        write_atomic(path, partial(np.save, arr=array, allow_pickle=False))
        hashes[name] = sha256_of_file(path)
    write_json(
        folder / "entry.json",
        {
            "key": key,
            "sha256": hashes,
            "class_names": list(decoded.class_names),
            "num_found": decoded.report.num_found,
            "skipped": [[skipped.name, skipped.reason] for skipped in decoded.report.skipped],
        },
    )
