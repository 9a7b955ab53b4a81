"""What is tried where no bundle is named, and that the command of it works: no record of a part of the faults."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from capgan_benchmarks.endurance import faults, soak
from capgan_benchmarks.endurance.packaged import PAIR, bundle_or_packaged
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle


def test_without_a_bundle_it_is_the_packaged_pair(packaged_bundle: Path, tmp_path: Path) -> None:
    assert Bundle.open(packaged_bundle).manifest.purifier.name == PAIR
    with bundle_or_packaged(tmp_path) as path:
        assert path == tmp_path
    assert tmp_path.exists()


def test_a_part_of_the_faults_leaves_no_record(packaged_bundle: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(faults.main)
    out = tmp_path / "out"
    arguments = ["--bundle", str(packaged_bundle), "--out", str(out), "--backend", "cpu", "--only", "file ends"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "1 tried, 1 survived, 0 lost" in done.output
    assert not list(out.iterdir())


def test_a_soak_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="got 0 for both"):
        soak.main(out=tmp_path, minutes=0.0, server_minutes=None)
