"""One label a track: the last verdicts vote, each with its score."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """The winner of a vote."""

    index: int
    share: float
    """Share of the votes that are for it, in (0, 1]."""


class Votes:
    """The last `k` verdicts of each track."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._votes: dict[int, deque[tuple[int, float]]] = {}

    def cast(self, track_id: int, index: int, score: float) -> Tally:
        """Add a verdict, and return the class with the largest sum of scores; of equal ones the latest."""
        votes = self._votes.setdefault(track_id, deque(maxlen=self._k))
        votes.append((index, score))
        sums: dict[int, float] = {}
        for voted, weight in reversed(votes):  # the latest comes first, and max keeps the first of equals
            sums[voted] = sums.get(voted, 0.0) + weight
        winner = max(sums, key=lambda candidate: sums[candidate])
        return Tally(winner, sum(voted == winner for voted, _ in votes) / len(votes))

    def keep_only(self, track_ids: Collection[int]) -> None:
        """Forget the tracks that are gone, so that a long drive does not fill the memory."""
        for track_id in self._votes.keys() - set(track_ids):
            del self._votes[track_id]
