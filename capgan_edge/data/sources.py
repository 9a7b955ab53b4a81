"""From what a user calls a data set to its images: `signs`, a folder, a zip, CIFAR-10's archive, or a known name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from capgan_edge.data.archive import archive_files, decode_archive, is_archive
from capgan_edge.data.cache import cached, key_of
from capgan_edge.data.decoded import Decoded, Split, check_max_corrupt_percent
from capgan_edge.data.folder import decode_folder
from capgan_edge.data.gtsrb import readable_names
from capgan_edge.data.images import ImageSet
from capgan_edge.data.tree import open_directory, open_zip
from capgan_edge.errors import ConfigError, DataError

DATA_VARIABLE = "CAPGAN_EDGE_DATA"
_SUFFIXES = ("", ".zip", ".tar.gz")
_DEFAULT_SIGN_PX = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    key: str
    """What the source is now, for the cache."""
    decode: Callable[[], Decoded]


def load(source: str | Path, split: Split, *, cache: bool = True, max_corrupt_percent: float = 1.0) -> ImageSet:
    """Return one split of a data set, decoded.

    `source` is `signs` or `signs:64` (drawn by code, 64 px), a directory or a .zip of `train/<class>/*` and
    `test/<class>/*`, CIFAR-10's python archive (packed or unpacked), or the name of one of these in the folder that
    CAPGAN_EDGE_DATA names. GTSRB's numbered folders get their signs' names. A corrupt image is skipped and named in the
    log, up to `max_corrupt_percent` of the split.

    Raises:
        DataError: the data is missing, empty, corrupt or inconsistent.
        ConfigError: the split, the size or the share is out of range.
    """
    if split not in get_args(Split):
        raise ConfigError(f"expected the split train or test, got {split!r}; pass one of the two")
    check_max_corrupt_percent(max_corrupt_percent)
    if isinstance(source, str) and (source == "signs" or source.startswith("signs:")):
        return _load_signs(source, split)
    path = find_source(source)
    opened = _open(path, split)
    decoded = cached(path, split, opened.key, opened.decode) if cache else opened.decode()
    name = f"{_stem(path)}/{split}"
    decoded.report.check(name, max_corrupt_percent)
    return ImageSet(
        name=name,
        images_NHWC=decoded.images_NHWC,
        labels_N=decoded.labels_N,
        class_names=readable_names(decoded.class_names),
    )


def find_source(source: str | Path) -> Path:
    """Return the path that `source` names: itself, or an entry of the folder that CAPGAN_EDGE_DATA names.

    Raises:
        DataError: there is nothing of that name; the message says where was looked and what is there.
    """
    wanted = str(source)
    path = _expanded(wanted)
    if wanted and _exists(path):
        return path
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise _not_found(wanted, path, f"{DATA_VARIABLE} is not set")
    folder = _expanded(root)
    try:
        there = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise _not_found(wanted, path, f"{DATA_VARIABLE} names {root}: {error.strerror or error}") from error
    tried = [f"{path}{suffix}" for suffix in _SUFFIXES]
    if wanted and not path.is_absolute() and ".." not in path.parts:
        for name in tried:
            if _exists(folder / name):
                return folder / name
    shown = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "") if there else "nothing"
    raise _not_found(wanted, path, f"{folder} ({DATA_VARIABLE}) has no {', '.join(tried)}; it holds: {shown}")


def _not_found(wanted: str, path: Path, where_else: str) -> DataError:
    here = f"no {path.absolute()}" if wanted else "an empty name"
    return DataError(
        f"expected the data set {wanted!r}, got {here}, and {where_else}; name a folder, a .zip or CIFAR-10's python "
        "archive, or `signs`, which needs no data"
    )


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:  # `~somebody` who is nobody
        return Path(name)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, holds a null, or lies where one may not look
        return False


def _load_signs(source: str, split: Split) -> ImageSet:
    from capgan_edge.data.signs import load_signs

    size = source.partition(":")[2] if ":" in source else str(_DEFAULT_SIGN_PX)
    if not (size.isascii() and size.isdigit() and int(size) > 0):
        raise ConfigError(f"expected signs:SIZE with a whole size in px, got {source!r}; for example signs:32")
    return load_signs(split, size_px=int(size))


def _open(path: Path, split: Split) -> _Source:
    if is_archive(path):
        return _Source(key=key_of(path, split, archive_files(path)), decode=partial(decode_archive, path, split))
    if path.is_dir():
        tree = open_directory(path)
        files = [(member.name, member.num_bytes, member.mtime_ns) for member in tree.members]
        files += [(f"{name}/", 0, 0) for name in tree.folders]
        return _Source(key=key_of(path, split, files), decode=partial(decode_folder, tree, split))
    if path.suffix.lower() == ".zip":
        stat = path.stat()
        key = key_of(path, split, [(path.name, stat.st_size, stat.st_mtime_ns)])
        return _Source(key=key, decode=partial(_decode_zip, path, split))
    raise DataError(
        f"{path}: expected a folder, a .zip or a .tar.gz of CIFAR-10's python version, got another kind of file; "
        "unpack it, or name its folder"
    )


def _decode_zip(path: Path, split: Split) -> Decoded:
    with open_zip(path) as tree:
        return decode_folder(tree, split)


def _stem(path: Path) -> str:
    """Return what figures call the source: its name without what says how it is packed."""
    name = path.absolute().name
    if name in ("", ".."):
        name = path.resolve().name
    for suffix in (".zip", ".tar.gz", ".tgz", ".tar"):
        if path.is_file() and name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name
