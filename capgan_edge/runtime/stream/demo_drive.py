"""The demo's source: a drive past road signs, drawn by code, with an attack on them that can be switched on."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs.catalogue import SIGN_CLASSES
from capgan_edge.data.signs.face import draw_face
from capgan_edge.errors import MissingDependencyError
from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.capture import Picture

ATTACK_PATH = Path(__file__).with_name("demo_attack.npz")
HEIGHT, WIDTH, FPS = 320, 480, 20.0
FRAMES_PER_SIGN = 40
SIGNS_ON_ROUTE = (0, 4, 10, 1, 13, 2, 6, 9, 11, 14)
"""Classes, in the order of the drive."""
_HORIZON = 130
_FACE_PX = 256
_ALTERNATE_FRAMES = 20


class DemoDrive:
    """Frames of the drive; where each sign is comes with them, so that no detector is needed."""

    fps: float | None = FPS

    def __init__(self, attack: str = "", *, seed: int = 0, perturbation_KHWC: NDArray[np.int8] | None = None) -> None:
        """Begin the drive.

        Args:
            attack: empty for none, `attack` for always, `alternate` for a second off and a second on.
            seed: of the sensor's noise.
            perturbation_KHWC: of each class, in levels of 255; None takes the stored one.

        Raises:
            MissingDependencyError: Pillow is not installed.
        """
        self.num_unreadable = 0
        self._attack = attack
        self._noise = np.random.default_rng(seed)
        self._next = 0
        self._road_HWC = _road()
        self._perturbation_KHWC = perturbation_KHWC
        if attack and perturbation_KHWC is None:
            self._perturbation_KHWC = stored_attack()

    @property
    def num_frames(self) -> int:
        return FRAMES_PER_SIGN * len(SIGNS_ON_ROUTE)

    def read(self) -> Picture | None:
        if self._next >= self.num_frames:
            return None
        started_s = time.monotonic()
        number, self._next = self._next, self._next + 1
        class_index = SIGNS_ON_ROUTE[number // FRAMES_PER_SIGN]
        frame_HWC = self._scene(number)
        box = _box_at(number % FRAMES_PER_SIGN)
        _put_sign(frame_HWC, class_index, box)
        grain_HWC = self._noise.integers(-4, 5, frame_HWC.shape, dtype=np.int16)
        frame_HWC = np.clip(frame_HWC + grain_HWC, 0, 255).astype(np.uint8)
        if self._perturbation_KHWC is not None and self.is_attacked(number):
            _perturb(frame_HWC, box, self._perturbation_KHWC[class_index])
        return Picture(
            frame_HWC=frame_HWC, arrived_s=started_s, capture_ms=1000 * (time.monotonic() - started_s), boxes=(box,)
        )

    def is_attacked(self, number: int) -> bool:
        """Say whether the attack is on in a frame."""
        return self._attack == "attack" or (self._attack == "alternate" and number // _ALTERNATE_FRAMES % 2 == 1)

    def close(self) -> None:
        self._next = self.num_frames

    def _scene(self, number: int) -> NDArray[np.uint8]:
        """Return the road with its dashes where they are by now."""
        frame_HWC = self._road_HWC.copy()
        for dash in range(6):
            depth = (dash + number * 0.12) % 6 / 6
            y = round(_HORIZON + (HEIGHT - _HORIZON) * depth**2)
            half = 1 + round(5 * depth**2)
            frame_HWC[y : y + 3 + round(14 * depth**2), WIDTH // 2 - half : WIDTH // 2 + half] = 225
        return frame_HWC


def stored_attack() -> NDArray[np.int8]:
    """Return a perturbation for each class [K, H, W, 3] in levels of 255, made against the victim of signs-nano."""
    with np.load(ATTACK_PATH, allow_pickle=False) as stored:
        return np.asarray(stored["perturbation_KHWC"], np.int8)


@functools.cache
def _road() -> NDArray[np.uint8]:
    """Return sky, fields and road [HEIGHT, WIDTH, 3]."""
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None, None]
    sky = _colour(120, 165, 215) + rows * _colour(0.7, 0.5, 0.2)
    field = _colour(96, 128, 70) - (rows - _HORIZON) * _colour(0.15, 0.2, 0.12)
    scene = np.where(rows < _HORIZON, sky, field) + np.zeros((1, WIDTH, 1), np.float32)
    columns = np.arange(WIDTH, dtype=np.float32)[None, :, None]
    half_width = (rows - _HORIZON) * 1.1 + 4
    is_road = (rows >= _HORIZON) & (np.abs(columns - WIDTH / 2) < half_width)
    shade = _colour(88, 88, 92) + (rows - _HORIZON) * np.float32(0.08)
    return np.clip(np.where(is_road, shade, scene), 0, 255).astype(np.uint8)


def _colour(red: float, green: float, blue: float) -> NDArray[np.float32]:
    return np.array([red, green, blue], np.float32)


def _box_at(step: int) -> Box:
    """Return where the sign is, `step` frames after it came in sight: it grows and moves to the right."""
    nearness = 1 / (1.25 - step / FRAMES_PER_SIGN)
    size = round(26 * nearness)
    left = round(WIDTH / 2 + 34 * nearness)
    top = round(_HORIZON - 26 * nearness)
    return Box(left, max(0, top), min(WIDTH, left + size), max(0, top) + size)


def _put_sign(frame_HWC: NDArray[np.uint8], class_index: int, box: Box) -> None:
    side = box.bottom - box.top
    post = slice((box.left + box.right) // 2 - max(1, side // 24), (box.left + box.right) // 2 + max(1, side // 24))
    frame_HWC[box.bottom - side // 8 : min(HEIGHT, box.bottom + side), post] = 110
    face = _image(_face(class_index)).resize((side, side), _bilinear())
    face_HW4 = np.asarray(face, np.float32)[:, : box.right - box.left]
    alpha = face_HW4[..., 3:] / 255
    part = frame_HWC[box.top : box.bottom, box.left : box.right]
    part[:] = (part * (1 - alpha) + face_HW4[..., :3] * alpha).astype(np.uint8)


def _perturb(frame_HWC: NDArray[np.uint8], box: Box, perturbation_HWC: NDArray[np.int8]) -> None:
    """Add a perturbation to a sign, enlarged to its size, as if it were printed on it."""
    part = frame_HWC[box.top : box.bottom, box.left : box.right]
    biased = _image((perturbation_HWC.astype(np.int16) + 128).astype(np.uint8))
    scaled = np.asarray(biased.resize((part.shape[1], part.shape[0]), _bilinear()), np.int16) - 128
    part[:] = np.clip(part + scaled, 0, 255).astype(np.uint8)


@functools.cache
def _face(class_index: int) -> NDArray[np.uint8]:
    assert class_index < len(SIGN_CLASSES)
    return draw_face(class_index, size_px=_FACE_PX)


def _image(pixels: NDArray[np.uint8]) -> Any:
    return _pillow().fromarray(pixels)


def _bilinear() -> Any:
    return _pillow().Resampling.BILINEAR


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingDependencyError("pillow", "drawing the demo's drive", "cpu") from error
    return Image
