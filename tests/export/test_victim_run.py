"""A victim's run is a pair without a purifier: exported, quantised and attacked as any other."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from made_once import made_once

from capgan_edge.cli import GROUP, main
from capgan_edge.data.signs import load_signs
from capgan_edge.defences.unpurified import Unpurified
from capgan_edge.errors import ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.training.device import start_fabric
from capgan_edge.training.runs import load_victim_run
from capgan_edge.training.victim import VictimConfig, train_victim
from capgan_export.gate.twin import is_twin
from capgan_export.source import find_source

PARTS = [EntryPoint("export", "capgan_export.command:app", GROUP),
         EntryPoint("calibrate", "capgan_calibration.command:app", GROUP),
         EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)]  # fmt: skip
DEFENCES = {"adversarial-training": {"attack_steps": 1}, "thermometer": {"encoding": "thermometer"}}


@pytest.fixture(scope="module", params=DEFENCES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A victim that is its own defence, trained for a moment."""
    name = str(request.param)

    def make(folder: Path) -> None:
        config = VictimConfig(epochs=1, batch_size=32, units_per_stage=1, num_held_out=20, **DEFENCES[name])
        signs = load_signs("train", n=120)
        train_victim(config, signs, folder / name, start_fabric("fp32"), source="signs")

    return made_once(tmp_path_factory, f"victim-{name}", make) / name


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "b"
    assert main(["export", str(run), "-o", str(out), "--with-purified"], parts=PARTS) == 0
    return out


def test_the_graph_is_the_victim_and_leaves_the_frame_as_it_is(run: Path, bundle: Path) -> None:
    frames_NHWC = load_signs("test", n=40).images_NHWC
    x_NCHW = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255
    wanted_NK = load_victim_run(run)(x_NCHW)
    opened = Bundle.open(bundle)
    with OrtRunner(opened.read_artifact("fp32")) as runner:
        held = runner(frames_NHWC)
    np.testing.assert_allclose(held.logits_NK, wanted_NK.numpy(), atol=1e-3)
    assert held.purified_NHWC is not None
    np.testing.assert_array_equal(held.purified_NHWC, frames_NHWC)
    np.testing.assert_allclose(held.suspicion_N, 1 / (1 + np.exp(4.0)), rtol=1e-5)
    described = opened.manifest.purifier
    assert (described.preset, described.macs, described.parameters) == ("none", 0, 0)
    assert described.name == run.name


def test_it_is_quantised(run: Path, bundle: Path) -> None:
    options = ["--images", "signs", "--n", "64", "--num-check", "40", "--no-cache", "--against", str(run)]
    assert main(["calibrate", str(bundle), *options], parts=PARTS) == 0
    assert "model.int8.onnx" in Bundle.open(bundle).manifest.artifacts


def test_it_is_attacked_as_a_pair(run: Path, tmp_path: Path) -> None:
    options = ["--data", "signs", "--n", "16", "--scenarios", "end-to-end", "--attacks", "fgsm", "--threads", "1"]
    assert main(["benchmark", "robustness", str(run), *options, "-o", str(tmp_path / "out")], parts=PARTS) == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    (cell,) = [cell for cell in record["cells"] if cell["scenario"] == "end-to-end"]
    assert len({score["percent"] for score in cell["scores"]}) == 1  # bare, pair and graph are one classifier
    assert cell["zero_gradient_percent"] == (100 if run.name == "thermometer" else 0)


def test_a_folder_stands_for_the_last_epoch_not_for_the_best_and_is_the_twin_of_its_bundle(
    run: Path, bundle: Path
) -> None:
    assert (run / "best.json").is_file()
    source = find_source(str(run))
    assert isinstance(source.purifier, Unpurified)
    assert "a victim without a purifier, epoch 1 (last)" in source.origin
    assert is_twin(source, Bundle.open(bundle).manifest)


def test_a_victim_before_a_victim_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected no --victim.*is a victim itself"):
        find_source(str(run), victim="other.onnx")
