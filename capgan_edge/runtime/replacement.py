"""Where a bundle may be written: what is there is a bundle that may go, or nothing, and the folder takes new files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.manifest import MANIFEST


def refuse_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a place where a bundle cannot be written, before any work is done for it.

    Raises:
        ArtifactError: a file, a bundle that is not to be replaced, or a directory with anything else in it is there, or
            the folder around it cannot take a new one.
    """
    try:
        _refuse_to_replace(target, overwrite=overwrite)
        _refuse_parent(target.absolute().parent)
    except OSError as error:
        raise ArtifactError(
            f"expected a place for a bundle at {target}, but: {error.strerror or error}; choose another directory"
        ) from error


def _refuse_to_replace(target: Path, *, overwrite: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    strangers = strangers_in(target)
    if strangers:
        raise ArtifactError(
            f"expected a bundle, an empty directory or nothing at {target}, got {strangers}; choose another directory"
        )
    if not overwrite:
        raise ArtifactError(
            f"expected no bundle at {target}, got one; pass --force to replace it (overwrite=True in Python), or "
            "choose another directory with -o"
        )


def strangers_in(target: Path) -> str:
    """Name what a replacement would destroy that is no part of a bundle; empty where there is nothing."""
    if not target.is_dir():
        return "a file"
    try:
        named = json.loads((target / MANIFEST).read_bytes())["files"].keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"a directory without a bundle's {MANIFEST}"
    held = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    return ", ".join(sorted(held - set(named) - {MANIFEST})[:3])


def _refuse_parent(parent: Path) -> None:
    """Refuse where the nearest folder that is there is none, or takes no new entry."""
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise ArtifactError(f"expected a folder at {parent}, got a file; choose another place for the bundle with -o")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ArtifactError(
            f"expected a folder that one may write at {parent}, got one without that right; choose another with -o"
        )
