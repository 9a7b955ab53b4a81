"""A progress bar on stderr, where a person looks on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def tracked(items: Sequence[T], title: str) -> Iterator[T]:
    """Yield the items behind a bar; without a terminal there is none."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    yield from track(items, title, console=console, transient=True)
