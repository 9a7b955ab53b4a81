"""`capgan-edge train --resume` goes on with what the run was started with, and says so where told otherwise."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from pointers import change, make_unfinished, state_of

from capgan_edge.cli import main
from capgan_edge.errors import ConfigError
from capgan_edge.models.presets import PRESETS
from capgan_edge.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from capgan_edge.training.resumed_options import refuse_other_settings
from capgan_edge.training.runs import is_finished

Output = pytest.CaptureFixture[str]


def resume(photos: Path, run: Path, *options: str) -> int:
    return main(["train", run.name, "--data", str(photos), "-o", str(run), "--resume", *options])


def test_checkpoints_of_both_say_source_precision_processes_and_machine(pair_path: Path, photos: Path) -> None:
    for kind in ("victim", "purifier"):
        state = state_of(pair_path / kind)
        assert (state["source"], state["precision"], state["devices"]) == (str(photos), "fp32", 1)
        assert state["machine"]["cpu"]
        assert state["row"]["seconds"] > 0
    identity = state_of(pair_path / "purifier")["victim"]
    assert identity.keys() == {"kind", "units_per_stage", "num_classes", "sha256"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_computes_in_the_precision_it_was_started_with(precision: str, photos: Path, runs: Path) -> None:
    run = runs / "victim"
    make_unfinished(run)
    change(run, lambda state: state.update(precision=precision))
    assert resume(photos, run) == 0
    checkpoint = load_checkpoint(run, "victim")
    assert (checkpoint.epoch, checkpoint.state["precision"]) == (2, precision)
    assert is_finished(run)


@pytest.mark.parametrize("kind", ["victim", "purifier"])
@pytest.mark.parametrize(("option", "value"), [("--precision", "bf16"), ("--devices", "2")])
def test_resuming_in_another_precision_or_number_of_processes_is_refused(
    kind: str, option: str, value: str, photos: Path, runs: Path, capsys: Output
) -> None:
    assert resume(photos, runs / kind, option, value) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"error: expected {option} ")
    assert message.endswith(f"got {value}; leave {option} out, or start in a new folder")


def test_a_class_head_has_as_many_classes_as_the_data_and_no_preset_is_another_for_it(runs: Path) -> None:
    run, shape = runs / "purifier", asdict(PRESETS["robust-nano"])
    assert shape["num_classes"] != 3
    change(run, lambda state: state.update(purifier=shape | {"num_classes": 3}))
    refuse_other_settings(run, {"preset": "robust-nano"})
    with pytest.raises(ConfigError, match="expected --preset robust-nano, with which"):
        refuse_other_settings(run, {"preset": "nano"})


def test_a_run_of_before_these_were_stored_still_resumes(photos: Path, runs: Path) -> None:
    for kind in ("victim", "purifier"):
        make_unfinished(runs / kind)
        change(runs / kind, lambda state: [state.pop(key) for key in ("source", "precision", "devices", "machine")])
        change(runs / kind, lambda state: state["row"].pop("seconds"))
    change(runs / "purifier", lambda state: state["victim"].pop("sha256"))
    for kind in ("victim", "purifier"):
        assert resume(photos, runs / kind, "--precision", "fp32") == 0
        assert load_checkpoint(runs / kind, "victim" if kind == "victim" else "purifier").epoch == 2
        assert state_of(runs / kind)["source"] == str(photos)


def test_a_resumed_purifier_goes_on_before_its_own_victim(photos: Path, runs: Path) -> None:
    make_unfinished(runs / "purifier")
    before = state_of(runs / "purifier")["victim"]
    shutil.rmtree(runs / "victim")
    assert resume(photos, runs / "purifier") == 0
    assert state_of(runs / "purifier")["victim"] == before


@pytest.mark.parametrize("is_old", [False, True], ids=["hash stored", "checkpoint without it"])
def test_a_victim_of_the_same_shape_and_other_weights_is_refused(
    is_old: bool, photos: Path, runs: Path, capsys: Output
) -> None:
    if is_old:
        change(runs / "purifier", lambda state: state["victim"].pop("sha256"))
    assert resume(photos, runs / "purifier", "--victim", str(runs / "victim")) == 0  # the very one
    was = load_checkpoint(runs / "victim", "victim")
    tensors = {k: t + 1 if k == "victim.head.bias" else t for k, t in was.tensors.items()}
    changed = Checkpoint(kind="victim", epoch=1, tensors=tensors, state=was.state)
    save_checkpoint(runs / "other", changed, is_best=True)
    assert resume(photos, runs / "purifier", "--victim", str(runs / "other")) == 1
    assert "expected the victim that" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["victim", "purifier"])
def test_hostile_settings_are_refused_on_resume(kind: str, photos: Path, runs: Path, capsys: Output) -> None:
    change(runs / kind, lambda state: state["config"].update(epochs="many"))
    assert resume(photos, runs / kind) == 1
    assert "expected epochs of the type int, got 'many'" in capsys.readouterr().err
    name = "units_per_stage" if kind == "victim" else "ndf"
    change(runs / kind, lambda state: state["config"].update({"epochs": 1, name: 64 if kind == "victim" else 4096}))
    assert resume(photos, runs / kind) == 1
    assert "expected the weights of" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["victim", "purifier"])
def test_json_is_one_object_on_stdout(kind: str, photos: Path, runs: Path, capsys: Output) -> None:
    make_unfinished(runs / kind)
    assert resume(photos, runs / kind, "--json") == 0
    out, _ = capsys.readouterr()
    summary = json.loads(out)
    assert summary.keys() == {"run", "is_finished", "epochs", "last", "best"}
    assert (summary["run"], summary["is_finished"], summary["epochs"]) == (str(runs / kind), True, 2)
    assert summary["last"]["epoch"] == 2
    assert summary["last"]["seconds"] > 0
    assert summary["best"]["epoch"] in (1, 2)


def test_without_json_stdout_is_empty(photos: Path, runs: Path, capsys: Output) -> None:
    assert resume(photos, runs / "victim") == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("kind", "option", "value", "its"),
    [
        ("victim", "--epochs", "5", "1"),
        ("victim", "--learning-rate", "0.5", "0.2"),
        ("victim", "--seed", "7", "0"),
        ("victim", "--small-crop-epochs", "1", "0"),
        ("purifier", "--epochs", "5", "1"),
        ("purifier", "--semantic-epochs", "1", "0"),
        ("purifier", "--schedule", "cosine", "one-cycle"),
        ("purifier", "--smallest-epsilon", "4.0", "0.0"),
        ("purifier", "--weights", "ugatit", "paper"),
        ("purifier", "--preset", "small", "nano"),
        ("purifier", "--batch-size", "8", "16"),
    ],
)
def test_a_setting_that_the_run_was_not_started_with_is_refused(
    kind: str, option: str, value: str, its: str, photos: Path, runs: Path, capsys: Output
) -> None:
    assert resume(photos, runs / kind, option, value) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"error: expected {option} {its}, with which ")
    assert f"got {value};" in message


def test_settings_that_are_the_runs_may_be_repeated_and_a_finished_run_says_so(
    photos: Path, runs: Path, capsys: Output
) -> None:
    same = ["--batch-size", "16", "--epochs", "1", "--seed", "0", "--mirror"]
    assert resume(photos, runs / "victim", *same) == 0
    assert "trained to its last epoch" in capsys.readouterr().err
    same += ["--weights", "paper", "--preset", "nano", "--smallest-epsilon", "0"]
    assert resume(photos, runs / "purifier", *same) == 0
    assert "trained to its last epoch" in capsys.readouterr().err


def test_mirroring_otherwise_than_the_run_is_refused(photos: Path, runs: Path, capsys: Output) -> None:
    assert resume(photos, runs / "victim", "--no-mirror") == 1
    assert "expected --mirror True" in capsys.readouterr().err


@pytest.mark.parametrize("is_stored", [True, False], ids=["none stored", "of before it existed"])
def test_a_run_of_one_size_refuses_another_smallest_size(
    is_stored: bool, photos: Path, runs: Path, capsys: Output
) -> None:
    run = runs / "purifier"
    change(run, lambda state: state["config"].pop("smallest_epsilon"))
    if is_stored:
        change(run, lambda state: state["config"].update(smallest_epsilon=None))
    assert resume(photos, run, "--smallest-epsilon", "0") == 1
    assert "expected --smallest-epsilon 8.0" in capsys.readouterr().err
    assert resume(photos, run, "--smallest-epsilon", "8") == 0


def test_a_size_between_two_levels_may_be_repeated(photos: Path, runs: Path) -> None:
    change(runs / "purifier", lambda state: state["config"].update(smallest_epsilon=2.1234567 / 255))
    assert resume(photos, runs / "purifier", "--smallest-epsilon", "2.1234567") == 0
