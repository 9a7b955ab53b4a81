"""One exported bundle for all tests, and copies of it to spoil."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from made_once import made_once
from tiny_pair import LABELS, SIZE_PX, make_frames, make_purifier, make_victim

from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import export_pair
from capgan_export.fused import GraphOutputs


@pytest.fixture(scope="session")
def whole_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with every output."""
    outputs = GraphOutputs(has_purified=True, has_raw_logits=True)

    def make(folder: Path) -> None:
        export_pair(make_purifier(), make_victim(), labels=LABELS, size_px=SIZE_PX, frames=make_frames(),
                    out=folder / "bundle", outputs=outputs, name="tiny-run")  # fmt: skip

    return Bundle.open(made_once(tmp_path_factory, "whole", make) / "bundle")


@pytest.fixture
def copy_of(whole_bundle: Bundle, tmp_path: Path) -> Callable[[], Path]:
    def copy() -> Path:
        return Path(shutil.copytree(whole_bundle.path, tmp_path / "copy"))

    return copy
