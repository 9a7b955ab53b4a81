"""A frame with what was seen in it: boxes, labels, scores, suspicion bars, the purified picture, and a status line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.stream.camera import cv2_module
from capgan_edge.runtime.stream.event import Event, RegionVerdict

_CALM, _ALARM, _HELD, _WHITE, _GROUND = (90, 200, 60), (230, 50, 40), (150, 150, 150), (255, 255, 255), (30, 30, 30)
"""RGB."""
_INSET_SHARE = 0.25
"""Height of the purified inset, as a share of the frame's."""


class Annotator:
    """Draw on copies of frames; the inset is the purified crop that an event has, if it has one."""

    def __init__(self) -> None:
        self._cv2: Any = cv2_module("drawing on frames")

    def draw(self, event: Event) -> NDArray[np.uint8]:
        """Return the event's frame with its verdicts drawn in; RGB, uint8 [H, W, 3]."""
        assert event.frame_HWC is not None
        picture_HWC = event.frame_HWC.copy()
        if event.purified_HWC is not None:
            self._draw_inset(picture_HWC, event.purified_HWC)
        for verdict in event.verdicts:
            self._draw_verdict(picture_HWC, verdict, is_held=event.purifier_state == "held")
        self._draw_status(picture_HWC, event)
        return picture_HWC

    def _draw_verdict(self, picture_HWC: NDArray[np.uint8], verdict: RegionVerdict, *, is_held: bool) -> None:
        box, cv2 = verdict.box, self._cv2
        colour = _ALARM if verdict.is_alarm else _HELD if is_held else _CALM
        cv2.rectangle(picture_HWC, (box.left, box.top), (box.right - 1, box.bottom - 1), colour, 2)
        below = min(box.bottom + 14, picture_HWC.shape[0] - 4)
        self._write(picture_HWC, caption_of(verdict), (box.left, box.top - 5 if box.top >= 18 else below))
        if verdict.suspicion is not None:
            width = max(2, round((box.right - box.left) * verdict.suspicion))
            top = max(0, box.bottom - 6)
            cv2.rectangle(picture_HWC, (box.left, top), (box.right - 1, box.bottom - 1), _GROUND, -1)
            cv2.rectangle(picture_HWC, (box.left, top), (box.left + width - 1, box.bottom - 1), _ALARM, -1)

    def _draw_inset(self, picture_HWC: NDArray[np.uint8], purified_HWC: NDArray[np.uint8]) -> None:
        side = max(1, round(_INSET_SHARE * picture_HWC.shape[0]))
        side = min(side, picture_HWC.shape[1])
        inset_HWC = self._cv2.resize(purified_HWC, (side, side), interpolation=self._cv2.INTER_NEAREST)
        picture_HWC[:side, :side] = inset_HWC
        self._cv2.rectangle(picture_HWC, (0, 0), (side - 1, side - 1), _WHITE)

    def _draw_status(self, picture_HWC: NDArray[np.uint8], event: Event) -> None:
        parts = [event.source_state, event.purifier_state, f"{event.age_ms or 0:.0f} ms"]
        parts += [] if event.health == "ok" else [str(event.health).upper()]
        parts += ["DEADLINE MISSED"] if event.is_deadline_missed else []
        parts += ["ERROR"] if event.error else []
        self._write(picture_HWC, "  ".join(parts), (4, picture_HWC.shape[0] - 6))

    def _write(self, picture_HWC: NDArray[np.uint8], text: str, place: tuple[int, int]) -> None:
        """Write on a dark ground, moved to the left where it would not end inside the picture."""
        plain = text.encode("ascii", "replace").decode()  # OpenCV's own letters are ASCII
        font, scale = self._cv2.FONT_HERSHEY_SIMPLEX, 0.4
        (width, height), base = self._cv2.getTextSize(plain, font, scale, 1)
        left, bottom = max(0, min(place[0], picture_HWC.shape[1] - width)), place[1]
        ground = (left, bottom - height - 1), (left + width, bottom + base - 1)
        self._cv2.rectangle(picture_HWC, *ground, _GROUND, -1)
        self._cv2.putText(picture_HWC, plain, (left, bottom), font, scale, _WHITE, 1, self._cv2.LINE_AA)


def caption_of(verdict: RegionVerdict) -> str:
    """Return what is written at a box: a score stands only beside its own class."""
    text = f"#{verdict.track_id} {verdict.label} {verdict.score:.2f}"
    if verdict.voted_label != verdict.label:
        text += f" (vote: {verdict.voted_label} {verdict.vote_share:.0%})"
    if verdict.raw_label not in (None, verdict.label):
        text += f" (unpurified: {verdict.raw_label})"
    return text
