"""The packaged pair as a bundle, as the commands use it where none is named, and a bench with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_once import made_once

from capgan_benchmarks.endurance.bench import Bench, Running, set_up
from capgan_benchmarks.endurance.packaged import bundle_or_packaged


@pytest.fixture(scope="session")
def packaged_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        with bundle_or_packaged(None) as path:
            shutil.copytree(path, folder / "bundle")

    return made_once(tmp_path_factory, "packaged", make) / "bundle"


@pytest.fixture(scope="session")
def bench(packaged_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return set_up(packaged_bundle, Running(backend="cpu", threads=1), tmp_path_factory.mktemp("bench"))
