"""GTSRB's numbered folders are signs with names; what only looks like them keeps its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from capgan_edge.data import load
from capgan_edge.data.gtsrb import NAMES, readable_names

FOLDERS = [f"{label:05d}" for label in range(43)]


def test_the_benchmarks_folders_get_the_names_of_their_signs(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label, folder in enumerate(FOLDERS):
            (tmp_path / "gtsrb" / split / folder).mkdir(parents=True)
            frame_HWC = np.full((8, 8, 3), label, np.uint8)
            Image.fromarray(frame_HWC).save(tmp_path / "gtsrb" / split / folder / "a.png")
    loaded = load(tmp_path / "gtsrb", "test", cache=False)
    assert loaded.class_names == NAMES
    assert [loaded.class_names[label] for label in (1, 13, 14, 17)] == ["speed limit 30", "yield", "stop", "no entry"]
    assert (loaded.images_NHWC[:, 0, 0, 0] == loaded.labels_N).all()


def test_other_classes_keep_their_names() -> None:
    assert len(set(NAMES)) == 43
    for names in (FOLDERS[:-1], FOLDERS[::-1], [*FOLDERS, "00043"], ["0", "1"], []):
        assert readable_names(names) == tuple(names)
