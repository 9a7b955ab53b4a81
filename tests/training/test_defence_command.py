"""`capgan-edge train defence`: every name with one budget, runs that export takes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pointers import change, make_unfinished, state_of

from capgan_edge.cli import main
from capgan_edge.data.sources import load
from capgan_edge.defences.catalogue import CATALOGUE
from capgan_edge.models.checkpoint import Checkpoint, load_checkpoint
from capgan_edge.models.presets import PRESETS
from capgan_edge.models.victims import load_victim
from capgan_edge.training.device import start_fabric
from capgan_edge.training.runs import load_purifier_run, load_victim_run
from capgan_edge.training.victim import VictimConfig, train_victim
from capgan_export.bundling import export_pair
from capgan_export.parity import ParityConfig
from capgan_export.source import find_source

Output = pytest.CaptureFixture[str]
TRAINED = [name for name, each in CATALOGUE.items() if each.method is not None]
FAST = ["--batch-size", "8", "--epochs", "1", "--precision", "fp32"]
PARITY = ParityConfig(num_frames=8, batches=(1, 4))
PURIFIERS = [name for name in TRAINED if CATALOGUE[name].kind == "purifier"]


RUNS = ("ape-gan", "hgd", "pixel", "cap-gan-without-cycle", "adversarial-training", "thermometer")
"""One of every loop."""


@pytest.fixture(scope="module")
def few(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six of the photos of each class to train on: one held out, and one step of eight an epoch."""
    root = tmp_path_factory.mktemp("few") / "photos"
    for folder in (photos / "train").iterdir():
        (root / "train" / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:6]:
            shutil.copy(path, root / "train" / folder.name)
    return root


@pytest.fixture(scope="module")
def defences(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small victim's run, and a finished run of one name of every loop."""
    root = tmp_path_factory.mktemp("defences")
    config = VictimConfig(epochs=1, batch_size=8, units_per_stage=1, num_held_out=1)
    train_victim(config, load(str(few), "train"), root / "victim", start_fabric("fp32"), source=str(few))
    for name in RUNS:
        victim = ["--victim", str(root / "victim")] if name in PURIFIERS else []
        command = ["train", "defence", name, "--data", str(few), *victim, "-o", str(root / name), *FAST]
        assert main(command) == 0, name
    return root


def loaded(path: Path, name: str) -> Checkpoint:
    return load_checkpoint(path / name, "purifier" if name in PURIFIERS else "victim")


def test_every_loop_sees_the_same_images(defences: Path) -> None:
    """By the counts of their batch norms, which are called once a step."""
    seen = {}
    for name in RUNS:
        checkpoint, network = loaded(defences, name), "t_ac." if name in PURIFIERS else "victim."
        counts = {
            int(tensor) for key, tensor in checkpoint.tensors.items()
            if key.startswith(network) and key.endswith("num_batches_tracked")
        }  # fmt: skip
        assert len(counts) == 1, name
        seen[name] = counts.pop() * checkpoint.state["config"]["batch_size"]
    assert set(seen.values()) == {8}, seen


def test_every_run_loads_as_what_it_is_and_names_its_settings(defences: Path) -> None:
    for name in RUNS:
        each, config = CATALOGUE[name], loaded(defences, name).state["config"]
        assert all(config[key] == value for key, value in each.settings.items()), name
        if name in PURIFIERS:
            purifier, victim, _ = load_purifier_run(defences / name)
            assert purifier.config == PRESETS[each.presets["nano"]]
            assert victim is not None
        else:
            assert load_victim_run(defences / name).num_classes == 2


@pytest.mark.parametrize("name", ["ape-gan", "hgd"])
def test_a_run_exports_with_parity_and_its_bundle_says_what_it_is(
    name: str, defences: Path, few: Path, tmp_path: Path
) -> None:
    source = find_source(str(defences / name))
    frames = load(str(few), "train")
    bundle = export_pair(source.purifier, source.victim, labels=source.labels, size_px=source.size_px, frames=frames,
                         out=tmp_path / "bundle", name=source.name, parity=PARITY)  # fmt: skip
    identity = bundle.manifest.purifier
    assert (identity.preset, identity.config["kind"]) == (CATALOGUE[name].presets["nano"], name)
    assert bundle.manifest.parity


@pytest.mark.parametrize("name", ["ape-gan", "thermometer"])
def test_a_run_goes_on_from_its_last_epoch_with_its_own_settings(
    name: str, defences: Path, few: Path, tmp_path: Path, capsys: Output
) -> None:
    run = Path(shutil.copytree(defences / name, tmp_path / name))
    make_unfinished(run)
    assert main(["train", "defence", name, "--data", str(few), "-o", str(run), "--resume", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["defence"], summary["epochs"], summary["is_finished"]) == (name, 2, True)
    config = state_of(run)["config"]
    assert config["batch_size"] == 8
    assert all(config[key] == value for key, value in CATALOGUE[name].settings.items())


@pytest.mark.parametrize(
    ("name", "its"),
    [("hgd", "ape-gan"), ("pixel-cam", "pixel"), ("cap-gan", "pixel"), ("thermometer", "adversarial-training")],
)
def test_another_defences_run_is_not_resumed(name: str, its: str, defences: Path, few: Path, capsys: Output) -> None:
    command = [
        "train",
        "defence",
        name,
        "--data",
        str(few),
        "-o",
        str(defences / its),
        "--resume",
        "--scale",
        "nano",
    ]
    assert main(command) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"error: expected a run of {name} to resume in ")
    assert f"got one of {its};" in message


def test_train_purifier_takes_cap_gans_runs_and_no_others(
    defences: Path, few: Path, tmp_path: Path, capsys: Output
) -> None:
    for its, code in (("pixel", 0), ("hgd", 1)):
        run = Path(shutil.copytree(defences / its, tmp_path / its))
        assert main(["train", "purifier", "--data", str(few), "-o", str(run), "--resume"]) == code
    assert "expected a run of cap-gan in" in capsys.readouterr().err.splitlines()[-1]


def test_a_scale_the_run_was_not_started_with_is_refused(defences: Path, few: Path, capsys: Output) -> None:
    command = ["train", "defence", "hgd", "--data", str(few), "-o", str(defences / "hgd"), "--resume"]
    assert main([*command, "--scale", "nano"]) == 0
    assert main([*command, "--scale", "paper"]) == 1
    assert "expected --preset hgd-nano" in capsys.readouterr().err


def test_a_scale_of_the_same_shape_and_another_rate_is_refused(
    defences: Path, few: Path, tmp_path: Path, capsys: Output
) -> None:
    """APE-GAN's network is the same at every scale; at `paper` it is trained otherwise."""
    run = Path(shutil.copytree(defences / "ape-gan", tmp_path / "ape-gan"))
    command = ["train", "defence", "ape-gan", "--data", str(few), "-o", str(run), "--resume", "--scale"]
    assert [main([*command, scale]) for scale in ("nano", "small", "paper")] == [0, 0, 1]
    assert f"expected --scale nano or small, with which {run} was started, got paper;" in capsys.readouterr().err
    change(run, lambda state: state["config"].update(learning_rate=1e-3))
    assert main([*command, "nano"]) == 1
    assert "expected --scale of other settings, with which " in capsys.readouterr().err
    change(run, lambda state: [state["config"].pop(key) for key in ("learning_rate", "schedule")])
    assert main([*command, "paper"]) == 0, "what a run did not store is not compared"


def test_a_victim_has_no_scale_that_could_contradict_its_run(defences: Path, few: Path) -> None:
    run = defences / "adversarial-training"
    command = ["train", "defence", run.name, "--data", str(few), "-o", str(run), "--resume", "--scale", "paper"]
    assert main(command) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [(["bpda"], "expected a defence among jpeg, thermometer"),
     (["jpeg"], "nothing to train; choose its quality with capgan_edge.defences.jpeg.choose_quality"),
     (["hgd", "--scale", "huge"], "expected a scale among nano, small, paper, got 'huge'"),
     (["adversarial-training", "--victim", "v"], "expected no --victim for adversarial-training"),
     (["ape-gan", "--resume"], "expected a run to resume in")],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_is_one_line(options: list[str], said: str, few: Path, tmp_path: Path, capsys: Output) -> None:
    assert main(["train", "defence", *options, "--data", str(few), "-o", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "run").exists()


def test_no_purifier_is_trained_before_a_victim_without_a_gradient(
    defences: Path, few: Path, tmp_path: Path, capsys: Output
) -> None:
    assert load_victim(defences / "thermometer").identity["kind"] == "thermometer-resnet"
    command = ["train", "defence", "hgd", "--data", str(few), "--victim", str(defences / "thermometer")]
    assert main([*command, "-o", str(tmp_path / "run"), *FAST]) == 1
    assert "thermometer code, whose gradient is 0" in capsys.readouterr().err


def test_the_mode_cap_gan_does_not_take_another_methods_preset(few: Path, tmp_path: Path, capsys: Output) -> None:
    command = ["train", "purifier", "--data", str(few), "--preset", "hgd-nano", "-o", str(tmp_path / "run"), *FAST]
    assert main(command) == 1
    assert "got hgd-nano; train it with `capgan-edge train defence`" in capsys.readouterr().err
