"""Where the camera sees a sign: roll, yaw, pitch, size and place as one homography."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.signs.canvas import EXTENT

_VIEWING_DISTANCE = 3.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """A sign's plane in the frame; the frame is [-1, 1] both ways, y down."""

    matrix: NDArray[np.float64]
    """3 x 3, from sign coordinates to frame coordinates."""
    fill: float
    """Width of the sign as a share of the frame, before it is turned."""

    def place(self, points_N2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sign coordinates as frame coordinates."""
        homogeneous = np.column_stack([points_N2, np.ones(len(points_N2))]) @ self.matrix.T
        return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])

    def face_from_frame(self, frame_px: int, face_px: int) -> tuple[float, ...]:
        """Return the eight coefficients with which Pillow finds, for a frame pixel, its pixel of the face."""
        frame = np.array([[2 / frame_px, 0, -1], [0, 2 / frame_px, -1], [0, 0, 1]])
        half = face_px / 2
        face = np.array([[half / EXTENT, 0, half], [0, half / EXTENT, half], [0, 0, 1]])
        whole = face @ np.linalg.inv(self.matrix) @ frame
        return tuple((whole / whole[2, 2]).ravel()[:8].tolist())


def random_pose(rng: np.random.Generator, *, fill: tuple[float, float], tilt: float) -> Pose:
    """Return a pose; `fill` is the range of the sign's share of the frame, `tilt` scales all angles."""
    roll, yaw, pitch = np.radians(rng.uniform(-1, 1, 3) * (11, 34, 20)) * tilt
    share = rng.uniform(*fill)
    stretch = 1 + rng.uniform(-0.05, 0.05) * tilt
    slack = max(0.0, 1 - share) * 0.85 + 0.03
    shift = rng.uniform(-slack, slack, 2)
    rotation = _turn(0, 1, roll) @ _turn(0, 2, yaw) @ _turn(1, 2, pitch)
    matrix = np.eye(3)
    matrix[:2, :2] = rotation[:2, :2]
    matrix[2, :2] = rotation[2, :2] / _VIEWING_DISTANCE
    place = np.array([[share * stretch, 0, shift[0]], [0, share / stretch, shift[1]], [0, 0, 1]])
    return Pose(matrix=place @ matrix, fill=float(share))


def _turn(first: int, second: int, angle: float) -> NDArray[np.float64]:
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = -math.sin(angle), math.sin(angle)
    return matrix
