"""One exported bundle for all tests, and copies of it to spoil."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_pair import LABELS, SIZE_PX, make_frames, make_purifier, make_victim

from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import export_pair
from capgan_export.fused import GraphOutputs


@pytest.fixture(scope="session")
def whole_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with every output."""
    out = tmp_path_factory.mktemp("export") / "bundle"
    outputs = GraphOutputs(has_purified=True, has_raw_logits=True)
    return export_pair(make_purifier(), make_victim(), labels=LABELS, size_px=SIZE_PX, frames=make_frames(), out=out,
                       outputs=outputs, name="tiny-run")  # fmt: skip


@pytest.fixture
def copy_of(whole_bundle: Bundle, tmp_path: Path) -> Callable[[], Path]:
    def copy() -> Path:
        return Path(shutil.copytree(whole_bundle.path, tmp_path / "copy"))

    return copy
