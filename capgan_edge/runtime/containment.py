"""Names from a manifest stay inside their bundle: no absolute path, no way up, no link that leaves."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from capgan_edge.errors import ArtifactError


def inside(root: Path, name: str) -> Path:
    """Return where `name` really lies, refusing every way out of the bundle."""
    refuse_bad_name(root, name)
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ArtifactError(
            f"{root}: expected every file inside the bundle, got a link from {name} to {path}; "
            "put the file itself there"
        )
    return path


def refuse_bad_name(root: Path, name: str) -> None:
    pure = PurePosixPath(name)
    is_plain = name.isprintable() and "\\" not in name and name not in ("", ".") and str(pure) == name
    if not is_plain or pure.is_absolute() or ".." in pure.parts:
        raise ArtifactError(
            f"{root}: expected relative file names inside the bundle, got {name!r}; "
            "do not use this bundle, export again"
        )
