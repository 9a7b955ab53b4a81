"""A robust teacher of a run: which one it is, that it is the same when the run is resumed, and which are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from pointers import change, state_of
from robust_runs import CONFIG, Interrupt, check_resumed, make_run, make_victim

from capgan_edge.cli import main
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifierConfig
from capgan_edge.models.weights import weights_sha256
from capgan_edge.training.device import start_fabric
from capgan_edge.training.robust_teacher import load_teacher
from capgan_edge.training.runs import load_purifier_run, victim_state

Output = pytest.CaptureFixture[str]
WIDER = RobustPurifierConfig(ngf=3, middle_channels=6, feature_channels=9, num_blocks=1, num_classes=20)
SHORT = {"head_epochs": 1, "head_small_crop_epochs": 0, "draw_epochs": 0, "painter_epochs": 0, "whole_epochs": 1}


@pytest.fixture(scope="module")
def teacher_path(signs: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a wider purifier, before the victim of all runs here."""
    path = tmp_path_factory.mktemp("teacher")
    make_run(path, start_fabric("fp32"), signs, shape=WIDER, **SHORT).run()
    return path


@pytest.fixture
def spoilt(teacher_path: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(teacher_path, tmp_path / "spoilt"))


def test_the_teacher_is_the_epoch_that_would_be_exported(teacher_path: Path, signs: ImageSet) -> None:
    config = replace(CONFIG, teacher=str(teacher_path))
    teacher = load_teacher(config, victim_state(make_victim()), signs)
    assert teacher is not None
    assert weights_sha256(teacher) == weights_sha256(load_purifier_run(teacher_path / "best.json")[0])
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    named = load_teacher(replace(config, teacher=str(teacher_path / "best.json")), victim_state(make_victim()), signs)
    assert named is not None
    assert weights_sha256(named) == weights_sha256(teacher)
    assert load_teacher(CONFIG, victim_state(make_victim()), signs) is None


def test_with_a_teacher_and_awp_it_is_resumed_bit_for_bit_in_both_stages(
    teacher_path: Path, tmp_path: Path, signs: ImageSet, fabric: Fabric, interrupt: Interrupt
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    settings = SHORT | {"head_epochs": 2, "whole_epochs": 2, "teacher": str(teacher_path), "teacher_weight": 2.0,
                        "awp_gamma": 0.01, "awp_warmup_epochs": 1}  # fmt: skip
    check_resumed(
        straight, stopped, lambda path, fabric: make_run(path, fabric, signs, **settings), interrupt, at=(1, 3)
    )
    state = state_of(stopped)
    teacher = load_teacher(replace(CONFIG, teacher=str(teacher_path)), victim_state(make_victim()), signs)
    assert teacher is not None
    assert state["teacher"] == {"sha256": weights_sha256(teacher)}
    assert state["row"]["distilled"] > 0

    plain = make_run(tmp_path / "plain", start_fabric("fp32"), signs, **settings | {"teacher": "", "awp_gamma": 0.0})
    plain.run()
    state = json.loads((tmp_path / "plain" / "last.json").read_text())
    taught = json.loads((straight / "last.json").read_text())
    assert state["tensors"] != taught["tensors"], "the options have a part in what is trained"
    assert "teacher" not in state["state"]


def other_classes(path: Path) -> None:
    for name in ("best.json", "last.json"):
        pointer = json.loads((path / name).read_text())
        pointer["state"]["class_names"][-1] = "elk crossing"
        (path / name).write_text(json.dumps(pointer))


def edited(**values: Any) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        (path / "best.json").unlink()  # without one the last epoch teaches
        change(path, lambda state: state.update(values))

    return edit


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "unfinished": (lambda path: (path / "finished.json").unlink(), "expected a finished run of.* an unfinished"),
    "another mode": (edited(mode="cap-gan"), "expected a finished run of the mode robust.*'cap-gan'"),
    "other classes": (other_classes, "expected a teacher of the same classes .*elk crossing"),
    "another size": (
        edited(size_px=[64, 32]),
        r"expected a teacher of the same size in px \(\[32, 32\]\).*of \[64, 32\]",
    ),
    "the head alone": (edited(stage="head"), "expected a teacher trained end to end.*'head'"),
    "a stage of nonsense": (edited(stage=["whole"]), "expected a teacher trained end to end"),
    "nothing there": (shutil.rmtree, "expected the folder of a robust run as teacher.*--set teacher=RUN"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_teacher_is_refused_before_anything_is_written(
    name: str, spoilt: Path, tmp_path: Path, signs: ImageSet, fabric: Fabric
) -> None:
    spoil, message = REFUSED[name]
    spoil(spoilt)
    with pytest.raises(ConfigError, match=message):
        make_run(tmp_path / "student", fabric, signs, teacher=str(spoilt), **SHORT)
    assert not (tmp_path / "student").exists()


def test_a_teacher_before_another_victim_is_refused(
    teacher_path: Path, tmp_path: Path, signs: ImageSet, fabric: Fabric
) -> None:
    other = make_victim()
    with torch.no_grad():
        other.head.bias.add_(1)
    with pytest.raises(ConfigError, match=r"expected a teacher of the same victim .*sha256.*train one before this"):
        make_run(tmp_path / "student", fabric, signs, victim=other, teacher=str(teacher_path), **SHORT)


def test_a_teacher_without_a_head_teaches_the_last_stage_alone(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    nano = PurifierConfig(ngf=2, num_blocks=0, end_kernel_px=3, norm="batch", padding="zeros", output="residual")
    last_alone = SHORT | {"head_epochs": 0, "init": "identity"}
    make_run(tmp_path / "teacher", fabric, signs, shape=nano, **last_alone).run()
    taught_by = {"teacher": str(tmp_path / "teacher")}
    with pytest.raises(ConfigError, match="expected a teacher with a class head for the stage head"):
        make_run(tmp_path / "student", fabric, signs, **SHORT, **taught_by)
    make_run(tmp_path / "student", fabric, signs, shape=nano, **last_alone, **taught_by)


def test_files_that_are_no_purifiers_run_are_refused(spoilt: Path, signs: ImageSet) -> None:
    (spoilt / "best.json").write_text("{}")
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        load_teacher(replace(CONFIG, teacher=str(spoilt)), victim_state(make_victim()), signs)


@pytest.mark.parametrize("was_taught", [True, False])
def test_a_run_resumed_with_another_teacher_or_without_its_own_is_refused(
    was_taught: bool, teacher_path: Path, tmp_path: Path, signs: ImageSet, fabric: Fabric
) -> None:
    first, other = str(teacher_path) if was_taught else "", "" if was_taught else str(teacher_path)
    make_run(tmp_path / "run", fabric, signs, teacher=first, **SHORT).run()
    with pytest.raises(ConfigError, match=r"expected the teacher that .* started with \((none|\w{12})\), got another"):
        make_run(tmp_path / "run", fabric, signs, teacher=other, **SHORT).resume()


def test_the_command_takes_a_teacher_and_knows_it_again_wherever_it_lies(
    photos: Path, pair_path: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shared = ["train", "purifier", "--mode", "robust", "--data", str(photos), "--victim", str(pair_path / "victim"),
              "--batch-size", "16", "--precision", "fp32", "--set", "head_small_crop_epochs=0"]  # fmt: skip
    for name in ("draw_epochs=0", "painter_epochs=0", "whole_epochs=0", "head_epochs=1"):
        shared += ["--set", name]
    assert main([*shared, "-o", "first"]) == 0
    assert main([*shared, "--seed", "1", "-o", "second"]) == 0
    assert main([*shared, "-o", "student", "--set", "teacher=first"]) == 0
    resumed = [*shared, "-o", "student", "--resume"]
    capsys.readouterr()
    assert main([*resumed, "--set", "teacher=second"]) == 1
    assert "expected the teacher that student was started with" in capsys.readouterr().err
    assert main([*resumed, "--set", "teacher="]) == 1
    assert f"expected --set teacher={tmp_path / 'first'}, with which" in capsys.readouterr().err
    Path("first").rename("moved")
    assert main(resumed) == 1
    assert "where there is none; name it with --set teacher=RUN" in capsys.readouterr().err
    assert main([*resumed, "--set", "teacher=moved"]) == 0


def test_a_setting_that_an_older_run_does_not_store_is_its_default(
    photos: Path, pair_path: Path, tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "old"
    arguments = ["train", "purifier", "--data", str(photos), "--victim", str(pair_path / "victim"), "-o", str(out)]
    stages = [f"{name}_epochs=0" for name in ("head_small_crop", "draw", "painter", "whole")] + ["head_epochs=1"]
    short = [part for setting in stages for part in ("--set", setting)]
    assert main([*arguments, "--mode", "robust", "--batch-size", "16", "--precision", "fp32", *short]) == 0
    newer = ("awp_gamma", "teacher", "gan_weight", "cycle_weight", "inverse_learning_rate", "ndf")
    change(out, lambda state: [state["config"].pop(name) for name in newer])
    assert main([*arguments, "--resume", "--set", "awp_gamma=0.01"]) == 1, "it must not be passed over"
    assert "expected --set awp_gamma=0.0, with which" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--set", "gan_weight=0.1", "--set", "whole_epochs=1"]) == 1
    assert "expected --set gan_weight=0.0, with which" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--set", "awp_gamma=0", "--set", "gan_weight=0"]) == 0
