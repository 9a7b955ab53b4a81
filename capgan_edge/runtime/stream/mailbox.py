"""A mailbox of one between a thread that captures and one that classifies: the newest frame wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hold one item at most; several threads may use it."""

    def __init__(self) -> None:
        self._item: T | None = None
        self._dropped = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def dropped(self) -> int:
        """Items that a newer one replaced."""
        with self._changed:
            return self._dropped

    def put(self, item: T) -> None:
        """Leave an item; one that is still there is dropped and counted."""
        with self._changed:
            if self._is_closed:
                return
            self._dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def hand_over(self, item: T) -> None:
        """Wait until the mailbox is empty, then leave an item: nothing is dropped but by closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._is_closed)
            if not self._is_closed:
                self._item = item
                self._changed.notify_all()

    def take(self, timeout_s: float) -> T | None:
        """Return the item and empty the mailbox; None where none came in time, or it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_closed, timeout_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Wake all who wait; what is in the mailbox is given up, and nothing comes in any more."""
        with self._changed:
            self._is_closed, self._item = True, None
            self._changed.notify_all()
