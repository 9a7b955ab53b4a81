"""Whether a file can be written, known before hours of work: a folder's permissions alone do not tell."""

from __future__ import annotations

import tempfile
from pathlib import Path

from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.files import make_folder


def require_writable(path: Path, example: str) -> None:
    """Make the folder of a file that is to be written, and try to write in it.

    Raises:
        CapganError: it cannot be made, nothing can be written there, or a folder is in the file's place.
    """
    if path.is_dir():
        raise ConfigError(f"expected a file to write, got the folder {path}; name a file in it, as in {path / example}")
    make_folder(path.parent)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:40]}."):
            pass
    except OSError as error:
        raise CapganError(
            f"expected to write {path}, but: {error.strerror or error}; free some space or name another folder"
        ) from error
