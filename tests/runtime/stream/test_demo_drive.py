"""The demo's drive: signs where the boxes say, and an attack that is small, stored, and can be switched on."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

import capgan_edge
from capgan_edge.data.signs.catalogue import SIGN_CLASSES
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.demo_drive import (
    FRAMES_PER_SIGN,
    HEIGHT,
    SIGNS_ON_ROUTE,
    WIDTH,
    DemoDrive,
    stored_attack,
)


def _first(drive: DemoDrive, num_frames: int) -> list[tuple[np.ndarray, Box]]:
    seen: list[tuple[np.ndarray, Box]] = []
    for _ in range(num_frames):
        picture = drive.read()
        assert picture is not None
        assert picture.boxes is not None
        seen.append((picture.frame_HWC, picture.boxes[0]))
    return seen


def test_a_sign_grows_while_it_comes_nearer_and_stays_in_the_picture() -> None:
    boxes = [box for _, box in _first(DemoDrive(), FRAMES_PER_SIGN)]
    sides = [box.right - box.left for box in boxes]
    assert sides == sorted(sides)
    assert sides[-1] > 3 * sides[0]
    assert all(box == box.clipped(HEIGHT, WIDTH) and box.right - box.left == box.bottom - box.top for box in boxes)


def test_a_drive_ends_and_the_same_seed_is_the_same_drive() -> None:
    drive = DemoDrive(seed=3)
    frames = _first(drive, drive.num_frames)
    assert drive.read() is None
    again = _first(DemoDrive(seed=3), 5)
    assert all((frame == other).all() for (frame, _), (other, _) in zip(frames, again, strict=False))
    assert (frames[0][0] != _first(DemoDrive(seed=4), 1)[0][0]).any()


def test_the_attack_touches_the_sign_alone_and_no_pixel_by_more_than_it_may() -> None:
    largest = int(np.abs(stored_attack()).max())
    assert 0 < largest <= 16
    for (clean, box), (attacked, _) in zip(_first(DemoDrive(), 30), _first(DemoDrive("attack"), 30), strict=True):
        change = np.abs(attacked.astype(int) - clean.astype(int))
        assert 0 < change.max() <= largest
        change[box.top : box.bottom, box.left : box.right] = 0
        assert change.max() == 0


def test_the_stored_attack_has_a_perturbation_for_each_sign_on_the_route() -> None:
    attack = stored_attack()
    assert len(attack) == len(SIGN_CLASSES)
    assert all(attack[label].any() for label in SIGNS_ON_ROUTE)


def test_alternating_is_a_second_off_and_a_second_on() -> None:
    clean, attacked = _first(DemoDrive(), 45), _first(DemoDrive("alternate"), 45)
    is_on = [bool((frame != other).any()) for (frame, _), (other, _) in zip(clean, attacked, strict=True)]
    assert is_on == [False] * 20 + [True] * 20 + [False] * 5


def test_the_loop_looks_where_the_drive_says_and_follows_each_sign(classifier: Classifier) -> None:
    events = capgan_edge.stream(classifier, "demo:attack", regions="source", every_frame=True)
    tracks: list[int] = []
    for event in events:
        if event.kind == "frame":
            (verdict,) = event.verdicts
            tracks.append(verdict.track_id)
        if len(tracks) == 3 * FRAMES_PER_SIGN:
            break
    events.close()
    assert tracks == [number // FRAMES_PER_SIGN for number in range(3 * FRAMES_PER_SIGN)]


def test_the_drive_needs_neither_torch_nor_opencv() -> None:
    code = """
import sys
for name in ("torch", "onnx", "cv2", "matplotlib"):
    sys.modules[name] = None
from capgan_edge.runtime.stream.demo_drive import DemoDrive
print(DemoDrive("attack").read().frame_HWC.shape)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert (done.stdout, done.stderr) == ("(320, 480, 3)\n", "")
