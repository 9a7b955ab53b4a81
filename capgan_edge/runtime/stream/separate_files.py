"""Source, video and lines are files of their own: an output that is the source would destroy it."""

from __future__ import annotations

import itertools
from pathlib import Path

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.stream.source import parse_source


def refuse_shared_files(source: str, *, save: Path | None, jsonl: str | None) -> None:
    """Check what a run reads and writes before anything is opened; `-` and None are no files.

    Raises:
        ConfigError: two of them are the same file, by whatever name; an output lies in the folder that is the source;
            or the source is none.
    """
    spec = parse_source(source)
    outputs = {"--save": save, "--jsonl": None if jsonl in (None, "-") else Path(str(jsonl))}
    is_path = spec.kind in ("file", "folder") or (spec.kind == "camera" and not spec.target.isdigit())
    read = {"--source": Path(spec.target)} if is_path else {}
    named = read | {option: path for option, path in outputs.items() if path is not None}
    for (option, path), (other, other_path) in itertools.combinations(named.items(), 2):
        if _is_same(path, other_path):
            raise ConfigError(f"expected files of their own, got {path} for {option} and for {other}; name another")
        if option == "--source" and spec.kind == "folder" and path.resolve() in other_path.resolve().parents:
            raise ConfigError(
                f"expected {other} outside the folder of the source, got {other_path}; what is written there "
                "would be read as well, or written over what is read: name another folder"
            )


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)  # a hard link is the same file as well
    except OSError:  # one of them is not there yet
        return path.resolve() == other.resolve()
