"""Tiny image folders and zips, and a cache of their own for every test."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeFolder = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's own cache or data."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(folder))
    return folder


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes `num` random PNGs of each class and split."""

    def make(
        name: str = "set",
        *,
        classes: tuple[str, ...] = ("cat", "dog"),
        num: int = 2,
        size_px: int = 4,
        splits: tuple[str, ...] = ("train", "test"),
    ) -> Path:
        rng = np.random.default_rng(7)
        root = tmp_path / name
        for split in splits:
            for label in classes:
                folder = root / split / label
                folder.mkdir(parents=True)
                for index in range(num):
                    pixels_HWC = rng.integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)
                    Image.fromarray(pixels_HWC).save(folder / f"{index:03}.png")
        return root

    return make


@pytest.fixture
def zip_of() -> Callable[..., Path]:
    """Return a function that zips a folder beside it, its names under `prefix`."""

    def pack(folder: Path, *, prefix: str = "", compression: int = zipfile.ZIP_DEFLATED) -> Path:
        path = folder.with_suffix(".zip")
        with zipfile.ZipFile(path, "w", compression) as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, prefix + file.relative_to(folder).as_posix())
        return path

    return pack
