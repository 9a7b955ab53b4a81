"""The files of a data set's splits, in a directory or in a zip that is read in place and never unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capgan_edge.errors import DataError

SPLITS = ("train", "test")
MAX_FILE_BYTES = 64 << 20
"""A larger member is no image of a classification set; refusing it bounds the memory a hostile zip can take."""

_ADVICE = "lay the images out as train/<class>/<image> and test/<class>/<image>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One file; its name is relative to the root and starts with its split: `train/cat/0001.jpg`."""

    name: str
    num_bytes: int
    mtime_ns: int = 0
    """Directories only: in a zip the time of the archive itself counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """What lies under `train/` and `test/`, hidden names left out."""

    path: Path
    members: tuple[Member, ...]
    folders: frozenset[str]
    """Relative names of all folders: `train`, `train/cat`, ..."""
    read: Callable[[Member], bytes]


def open_directory(path: Path) -> Tree:
    """List a directory that holds `train/` and `test/`, or one folder that holds them."""
    members: list[Member] = []
    folders: set[str] = set()
    try:
        root = _root_directory(path)
        for split in SPLITS:
            if (root / split).is_dir():
                _walk(root / split, split, members, folders)
    except OSError as error:
        raise DataError(
            f"{path}: expected a folder that can be listed, got: {error.strerror or error} "
            f"({error.filename}); fix its permissions or name another folder"
        ) from error
    return Tree(
        path=path,
        members=tuple(members),
        folders=frozenset(folders),
        read=lambda member: (root / member.name).read_bytes(),
    )


@contextmanager
def open_zip(path: Path) -> Iterator[Tree]:
    """List a zip of stored or deflated members that holds `train/` and `test/`, or one folder that holds them."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"{path}: expected a zip of images, got: {error}; fetch or zip it again") from error
    with archive:
        infos: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if info.filename in infos:
                raise DataError(f"{path}: expected each name once, got {info.filename} twice; zip it again")
            if not _is_hidden(info.filename):
                infos[info.filename] = info
        prefix = _prefix(path, infos)
        files: dict[str, zipfile.ZipInfo] = {}
        folders: set[str] = set()
        for name, info in infos.items():
            relative = name.removeprefix(prefix).rstrip("/")
            parts = relative.split("/")
            if parts[0] not in SPLITS:
                continue
            parents = parts if info.is_dir() else parts[:-1]
            folders.update("/".join(parents[: depth + 1]) for depth in range(len(parents)))
            if not info.is_dir():
                _check_zip_member(path, info)
                files[relative] = info
        yield Tree(
            path=path,
            members=tuple(Member(name=name, num_bytes=info.file_size) for name, info in files.items()),
            folders=frozenset(folders),
            read=lambda member: archive.read(files[member.name]),
        )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.rstrip("/").split("/"))


def _root_directory(path: Path) -> Path:
    names = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not _is_hidden(entry.name))
    if any(split in names for split in SPLITS):
        return path
    inner = path / names[0] if len(names) == 1 else None
    if inner is not None and any((inner / split).is_dir() for split in SPLITS):
        return inner
    raise _no_splits(path, names)


def _walk(folder: Path, name: str, members: list[Member], folders: set[str]) -> None:
    """Add what lies in `folder`, down to what lies beside the images (a class's subfolders are named, not entered)."""
    folders.add(name)
    with os.scandir(folder) as entries:
        for entry in entries:
            relative = f"{name}/{entry.name}"
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                if name.count("/"):
                    folders.add(relative)
                else:
                    _walk(Path(entry.path), relative, members, folders)
            else:
                members.append(_member(entry, relative))


def _member(entry: os.DirEntry[str], name: str) -> Member:
    if not entry.is_file():  # a dangling link, a pipe, a device
        raise DataError(f"{entry.path}: expected a file, got a broken link or a special file; remove it")
    stat = entry.stat()
    return Member(name=name, num_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def _prefix(path: Path, infos: dict[str, zipfile.ZipInfo]) -> str:
    """Return what precedes `train/` and `test/` in the member names: nothing, or one folder."""
    tops = sorted({name.split("/")[0] for name in infos if "/" in name})
    if any(split in tops for split in SPLITS):
        return ""
    if len(tops) == 1 and any(name.split("/")[1] in SPLITS for name in infos if name.count("/") > 1):
        return f"{tops[0]}/"
    raise _no_splits(path, tops)


def _check_zip_member(path: Path, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 0x1:
        raise DataError(f"{path}: expected a zip without a password, got {info.filename} encrypted; zip it without one")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{path}: expected stored or deflated members, got {info.filename} with compression {info.compress_type}; "
            "zip it again without that option"
        )


def _no_splits(path: Path, names: list[str]) -> DataError:
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "no folder at all"
    return DataError(f"{path}: expected the folders train/ and test/ in it, got {shown}; {_ADVICE}")
