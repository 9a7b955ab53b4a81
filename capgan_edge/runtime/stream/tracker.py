"""Which box of this frame is which of the last: by overlap, greedily, nothing learnt. Shapes: B boxes, T tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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

    def forget(self) -> None:
        """Let all tracks go: what comes next has nothing to do with what was."""
        self._tracks.clear()

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
        """Return the track of each position that has one, best overlap first; of equal ones the oldest track first."""
        ids = sorted(self._tracks)
        if not ids or not boxes:
            return {}
        overlaps_BT = _overlaps(boxes, [self._tracks[track_id].box for track_id in ids])
        near_B, near_T = np.nonzero(overlaps_BT >= _LEAST_OVERLAP)
        order = np.lexsort((near_B, near_T, -overlaps_BT[near_B, near_T]))
        matched: dict[int, int] = {}
        taken: set[int] = set()
        for position, track in zip(near_B[order].tolist(), near_T[order].tolist(), strict=True):
            if position not in matched and track not in taken:
                matched[position] = ids[track]
                taken.add(track)
        return matched

    def _forget_all_but(self, seen: set[int]) -> None:
        for track_id, track in list(self._tracks.items()):
            if track_id not in seen:
                track.missed += 1
                if track.missed > _MAX_MISSED:
                    del self._tracks[track_id]


def _overlaps(boxes: Sequence[Box], others: Sequence[Box]) -> NDArray[np.float64]:
    """Return intersection over union of each box with each of the others [B, T]; see `Box.overlap`."""
    left_B1, top_B1, right_B1, bottom_B1 = _corners(boxes)[:, :, None]
    left_1T, top_1T, right_1T, bottom_1T = _corners(others)[:, None, :]
    width_BT = np.minimum(right_B1, right_1T) - np.maximum(left_B1, left_1T)
    height_BT = np.minimum(bottom_B1, bottom_1T) - np.maximum(top_B1, top_1T)
    shared_BT = np.maximum(0, width_BT) * np.maximum(0, height_BT)
    area_B1, area_1T = (right_B1 - left_B1) * (bottom_B1 - top_B1), (right_1T - left_1T) * (bottom_1T - top_1T)
    overlaps_BT: NDArray[np.float64] = shared_BT / (area_B1 + area_1T - shared_BT)
    return overlaps_BT


def _corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Return left, top, right and bottom [4, N] of boxes that are not empty."""
    return np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], np.float64).T
