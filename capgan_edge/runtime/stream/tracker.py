"""Which box of this frame is which of the last ones: by overlap, greedily, nothing learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capgan_edge.runtime.stream.box import Box

_LEAST_OVERLAP = 0.3
_MAX_MISSED = 10
"""Frames that a track outlives without a box."""


@dataclass(slots=True)
class _Track:
    box: Box
    missed: int = 0


class Tracker:
    """Give boxes ids that stay with what they are around. An id is never used again."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._next_id = 0

    @property
    def live_ids(self) -> frozenset[int]:
        """Tracks that a next box may still belong to."""
        return frozenset(self._tracks)

    def update(self, boxes: Sequence[Box]) -> list[int]:
        """Return the track of each box of one frame, in order; boxes of one frame never share a track."""
        matched = self._matched(boxes)
        ids: list[int] = []
        for position, box in enumerate(boxes):
            track_id = matched.get(position)
            if track_id is None:
                track_id, self._next_id = self._next_id, self._next_id + 1
            self._tracks[track_id] = _Track(box)
            ids.append(track_id)
        self._forget_all_but(set(ids))
        return ids

    def _matched(self, boxes: Sequence[Box]) -> dict[int, int]:
        """Return the track of each position that has one, best overlap first."""
        overlaps = [
            (box.overlap(track.box), -track_id, position)
            for position, box in enumerate(boxes)
            for track_id, track in self._tracks.items()
        ]
        matched: dict[int, int] = {}
        taken: set[int] = set()
        for overlap, negative_id, position in sorted(overlaps, reverse=True):
            if overlap < _LEAST_OVERLAP:
                break
            if position not in matched and -negative_id not in taken:
                matched[position] = -negative_id
                taken.add(-negative_id)
        return matched

    def _forget_all_but(self, seen: set[int]) -> None:
        for track_id, track in list(self._tracks.items()):
            if track_id not in seen:
                track.missed += 1
                if track.missed > _MAX_MISSED:
                    del self._tracks[track_id]
