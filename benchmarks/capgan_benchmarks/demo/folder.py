"""The demo's folder: written whole or not at all, and replaced only where an earlier demo made it."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from capgan_benchmarks.demo.config import MADE_BY
from capgan_edge.errors import CapganError, ConfigError

REPORT_HTML, REPORT_JSON, SHEET, BUNDLE = "report.html", "report.json", "signs.png", "bundle"
_OURS = {REPORT_HTML, REPORT_JSON, SHEET, BUNDLE}


def refuse_to_replace(out: Path) -> None:
    """Raise ConfigError unless `out` is free, empty, or holds an earlier demo's output and nothing else."""
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise ConfigError(f"expected a folder for the demo, got {out}, which is a file or a link; name another with -o")
    held = {path.name for path in out.iterdir()}
    if held and not (held <= _OURS and _is_demo_report(out / REPORT_JSON)):
        foreign = ", ".join(sorted(held - _OURS)[:3]) or "a report that no demo wrote"
        raise ConfigError(
            f"expected a new folder or an earlier demo's, got {out}, which holds {foreign}; nothing was changed there: "
            "name another with -o"
        )


def _is_demo_report(path: Path) -> bool:
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(report, dict) and report.get("made_by") == MADE_BY


@contextlib.contextmanager
def fresh_folder(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out`, which takes the place of `out` when the block ends without an error.

    An error, a full disk or Ctrl-C in the block leaves `out` as it was.

    Raises:
        ConfigError: `out` holds something else than an earlier demo.
        CapganError: the disk is full, or the folder cannot be written.
    """
    target = out.absolute()
    refuse_to_replace(target)
    with _explained(out):
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = tempfile.TemporaryDirectory(
            dir=target.parent, prefix=f".{target.name}.", suffix=".tmp", ignore_cleanup_errors=True
        )
    with workshop as held:
        fresh = Path(held, "new")
        with _explained(out):
            fresh.mkdir()
        yield fresh
        refuse_to_replace(target)  # the run took a while
        with _explained(out):
            _swap_in(fresh, target, old=Path(held, "old"))


@contextlib.contextmanager
def _explained(out: Path) -> Iterator[None]:
    """Turn what the disk says into one line."""
    try:
        yield
    except OSError as error:
        raise CapganError(
            f"expected to write {out}, but: {error.strerror or error}; nothing was changed there: free some space or "
            "name another folder with -o"
        ) from error


def _swap_in(fresh: Path, target: Path, *, old: Path) -> None:
    had_one = target.exists()
    if had_one:
        target.rename(old)
    try:
        fresh.rename(target)
    except BaseException:
        if had_one and not target.exists():
            old.rename(target)
        raise
    if had_one:
        shutil.rmtree(old, ignore_errors=True)
