"""Files that are written whole or not at all, and the hashes that name them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from capgan_edge.errors import CapganError


def sha256_of_bytes(data: bytes) -> str:
    """Return the hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the hex SHA-256 of a file, read in slices."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomic(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write `content` (bytes, or a function that writes to a file) under `path`: all of it, or nothing.

    A temporary file beside `path` is written, flushed to the disk and renamed over it, so that a reader, a crash or a
    full disk sees the old file or the new one and never a part.

    Raises:
        CapganError: the disk is full, or the folder cannot be written; the old file is untouched.
    """
    with _one_line_on_os_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)  # mkstemp makes files that only their owner may read
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused (they are not JSON)."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def make_folder(path: Path) -> None:
    """Make a folder to write to, with its parents; one that is there already is taken as it is.

    Raises:
        CapganError: a file is in its place or above it, or it may not be written.
    """
    refusal = ""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            refusal = "it may not be written"
    except FileExistsError:
        refusal = "a file is there"
    except (OSError, ValueError) as error:  # ValueError: a null in the name
        refusal = getattr(error, "strerror", None) or str(error)
    if refusal:
        raise CapganError(f"expected a folder to write to at {path}, but: {refusal}; name another folder")


@contextlib.contextmanager
def _one_line_on_os_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CapganError(
            f"expected to write {path}, but: {error.strerror or error}; nothing was changed there: "
            "free some space or name another folder, then run the same command again"
        ) from error
