"""A robust run: resumed bit for bit, rolled back where it overfits catastrophically, and its best by PGD-10."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from pointers import change
from robust_runs import CONFIG, SHAPE, STEPS, ScriptedWatch, make_run, make_victim

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CheckpointError, ConfigError, TrainingError
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
from capgan_edge.training.checkpoint import load_checkpoint, load_tensors
from capgan_edge.training.device import start_fabric
from capgan_edge.training.robust_overfitting import Watched, has_collapsed, more_steps
from capgan_edge.training.runs import is_finished, load_purifier_run, victim_state

Interrupt = Callable[[Fabric, int], None]
CLOCKED = ("images_per_s", "seconds")
HEAD_ALONE = {"head_epochs": 1, "draw_epochs": 0, "painter_epochs": 0, "whole_epochs": 0}


def state_of(path: Path) -> dict[str, Any]:
    pointer: dict[str, Any] = json.loads((path / "last.json").read_text())
    for clocked in CLOCKED:
        assert pointer["state"]["row"].pop(clocked) > 0
    return pointer


def rows_of(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in CLOCKED} for row in csv.DictReader(file)]


def test_stopped_in_every_stage_and_resumed_it_is_bit_for_bit_the_run_that_never_stopped(
    tmp_path: Path, signs: ImageSet, fabric: Fabric, interrupt: Interrupt
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    make_run(straight, fabric, signs).run()
    done = 0
    for epochs, stage in ((1, "head"), (2, "draw"), (3, "painter"), (5, "whole")):
        shaken = start_fabric("fp32")
        interrupt(shaken, (epochs - done) * STEPS + 1)
        run = make_run(stopped, shaken, signs)
        if done:
            run.resume()
        with pytest.raises(KeyboardInterrupt):
            run.run()
        assert load_checkpoint(stopped, "purifier").epoch == epochs
        assert not is_finished(stopped)
        told, wanted = ([{key: value for key, value in row.items() if value} for row in rows_of(path)[:epochs]]
                        for path in (stopped, straight))  # fmt: skip
        assert told == wanted, f"it differs before it was stopped in {stage}"
        done = epochs
    again = make_run(stopped, start_fabric("fp32"), signs)
    again.resume()
    purifier = again.run()

    assert state_of(stopped) == state_of(straight)  # names the tensors' SHA-256
    assert rows_of(stopped) == rows_of(straight)
    assert is_finished(stopped)
    loaded, victim, checkpoint = load_purifier_run(stopped)
    assert isinstance(loaded, RobustPurifier)
    assert victim is not None
    assert victim_state(victim) == victim_state(make_victim())
    assert checkpoint.epoch == CONFIG.epochs
    x_BCHW = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(loaded(x_BCHW), purifier(x_BCHW))


def test_a_finished_run_resumed_is_what_it_was(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    first = make_run(tmp_path, fabric, signs, **HEAD_ALONE).run()
    again = make_run(tmp_path, fabric, signs, **HEAD_ALONE)
    again.resume()
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.run().state_dict().values(),
                                                 strict=True))  # fmt: skip


def test_a_collapse_goes_back_to_the_best_epoch_with_more_steps(
    tmp_path: Path, signs: ImageSet, fabric: Fabric, interrupt: Interrupt
) -> None:
    script = [(20.0, 20.0), (30.0, 30.0), (60.0, 3.0), (28.0, 31.0)]
    epochs = HEAD_ALONE | {"head_epochs": 4}
    run = make_run(tmp_path, fabric, signs, **epochs)
    interrupt(fabric, 3 * STEPS)  # right after the epoch that collapses
    run.watch = ScriptedWatch(script[:3])  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        run.run()
    best, last = (load_checkpoint(tmp_path / name, "purifier") for name in ("best.json", "last.json"))
    assert (best.epoch, last.epoch, last.state["attack_steps"]) == (2, 3, 2)
    assert last.state["history"] == [[20.0, 20.0], [30.0, 30.0]]
    assert all(torch.equal(tensor, last.tensors[name]) for name, tensor in best.tensors.items())

    again = make_run(tmp_path, start_fabric("fp32"), signs, **epochs)
    again.resume()
    again.watch = ScriptedWatch(script[3:])  # type: ignore[assignment]
    again.run()
    rows = rows_of(tmp_path)
    assert [row["is_rolled_back"] for row in rows] == ["0", "0", "1", "0"]
    assert [row["attack_steps"] for row in rows] == ["0", "0", "0", "2"]
    assert load_checkpoint(tmp_path / "best.json", "purifier").epoch == 4


def test_the_best_epoch_is_that_of_the_last_stage_by_pgd10(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    run = make_run(tmp_path, fabric, signs, draw_epochs=0, painter_epochs=0, whole_epochs=3)
    run.watch = ScriptedWatch([(9, 70), (9, 80), (9, 20), (9, 25), (9, 22)])  # type: ignore[assignment]
    run.run()
    best = load_checkpoint(tmp_path / "best.json", "purifier")
    assert (best.epoch, best.state["best_percent"], best.state["stage"]) == (4, 25, "whole")


@pytest.mark.parametrize(
    ("history", "collapsed"),
    [([(20, 20)], False), ([(20, 20), (60, 3)], True), ([(20, 20), (18, 3)], False), ([(20, 20), (60, 13)], False),
     ([(20, 30), (25, 24), (26, 21)], True), ([], False)],
    ids=["first", "overfits", "both fall", "within the points", "against the best", "none"],
)  # fmt: skip
def test_a_collapse_is_pgd_down_while_the_training_attack_is_up(
    history: list[tuple[float, float]], collapsed: bool
) -> None:
    assert has_collapsed([Watched(*pair) for pair in history], 8.0) is collapsed


def test_more_steps_follow_n_fgsm_and_one_by_one() -> None:
    assert [more_steps(steps) for steps in (0, 1, 2, 7)] == [2, 2, 3, 8]


def test_a_loss_that_explodes_keeps_the_last_good_checkpoint(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    run = make_run(tmp_path, fabric, signs)
    backward = fabric.backward
    calls = iter(range(10**6))

    def poisoned(loss: torch.Tensor) -> None:
        backward(loss * (float("nan") if next(calls) == STEPS else 1))

    fabric.backward = poisoned  # type: ignore[method-assign, assignment]
    with pytest.raises(TrainingError, match="expected finite losses, got nan"):
        run.run()
    assert load_checkpoint(tmp_path, "purifier").epoch == 1


def test_other_ways_to_start_train_the_last_stage_alone(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    nano = PurifierConfig(ngf=2, num_blocks=0, end_kernel_px=3, norm="batch", padding="zeros", output="residual")
    stages = HEAD_ALONE | {"head_epochs": 0, "head_small_crop_epochs": 0, "whole_epochs": 1}
    tricks = {"has_cutmix": True, "label_smoothing": 0.1, "attack": "pgd-2"}
    run = make_run(tmp_path, fabric, signs, shape=nano, init="identity", **stages, **tricks)
    purifier = run.run()
    loaded, _, checkpoint = load_purifier_run(tmp_path)
    assert not isinstance(loaded, RobustPurifier)
    assert checkpoint.state["attack_steps"] == 2
    assert not torch.equal(purifier(torch.full((1, 3, 32, 32), 0.5)), torch.full((1, 3, 32, 32), 0.5)), "it has moved"


@pytest.mark.parametrize(
    ("shape", "message"),
    [(PurifierConfig(ngf=2), "use the preset robust-nano"),
     (RobustPurifierConfig(ngf=2, num_classes=7), "a class head of 20 classes, those of the images, got 7")],
)  # fmt: skip
def test_a_purifier_without_the_head_that_is_needed_is_refused(
    shape: PurifierConfig, message: str, tmp_path: Path, signs: ImageSet, fabric: Fabric
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_run(tmp_path, fabric, signs, shape=shape)


@pytest.mark.parametrize(
    "change_of", [{"attack_steps": -1}, {"attack_steps": "2"}, {"history": [[1]]}, {"history": None}]
)
def test_a_state_that_is_not_a_robust_runs_is_refused(
    change_of: dict[str, Any], tmp_path: Path, signs: ImageSet, fabric: Fabric
) -> None:
    make_run(tmp_path, fabric, signs, **HEAD_ALONE).run()
    change(tmp_path, lambda state: state.update(change_of))
    with pytest.raises(CheckpointError, match="expected the state of a robust run"):
        make_run(tmp_path, fabric, signs, **HEAD_ALONE).resume()


def test_another_victim_is_refused(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    make_run(tmp_path, fabric, signs, **HEAD_ALONE).run()
    other = make_victim()
    with torch.no_grad():
        other.head.bias.add_(1)
    with pytest.raises(ConfigError, match="expected the victim that"):
        make_run(tmp_path, fabric, signs, victim=other, **HEAD_ALONE).resume()


def test_the_checkpoint_holds_what_ships_and_what_trains(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    make_run(tmp_path, fabric, signs, **HEAD_ALONE).run()
    pointer = json.loads((tmp_path / "last.json").read_text())
    tensors = load_tensors(tmp_path / pointer["tensors"]["file"], sha256=pointer["tensors"]["sha256"])
    assert {name.split(".")[0] for name in tensors} == {"t_ac", "raw", "optimizer", "victim"}
    assert not torch.equal(tensors["t_ac.class_head.weight"], tensors["raw.class_head.weight"])
    assert pointer["state"]["purifier"]["kind"] == SHAPE.kind
