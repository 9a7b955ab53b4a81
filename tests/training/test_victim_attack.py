"""`train victim --adversarial`: what it trains on, what it refuses, and that a resumed run keeps its attack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pointers import FAST, change, state_of
from torch import Tensor
from victim_by_hand import check_step

from capgan_edge.cli import main
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.device import start_fabric
from capgan_edge.training.robust_attack import noise_generator
from capgan_edge.training.victim import VictimConfig, train_victim
from capgan_edge.training.victim_attack import attack_settings
from capgan_edge.training.victim_watch import AdversarialWatch

Output = pytest.CaptureFixture[str]
CONFIG = VictimConfig(epochs=1, batch_size=48, num_held_out=16, units_per_stage=1, learning_rate=0.05,
                      schedule="cosine", attack_steps=1, is_n_fgsm=True)  # fmt: skip


def test_n_fgsm_starts_from_twice_the_noise_and_leaves_the_ball(signs: ImageSet, tmp_path: Path) -> None:
    """After de Jorge et al. 2022: x + uniform(-2e, 2e), then e along the gradient's sign, clipped."""

    def attack(victim: SimpleResNet, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        noise = 2 * torch.rand(x_BCHW.shape, generator=noise_generator(CONFIG.seed, 0, 0)) - 1
        leaf = (x_BCHW + 16 / 255 * noise).requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(victim(leaf), y_B), leaf)
        a_BCHW = (leaf.detach() + 8 / 255 * gradient.sign()).clamp(0, 1)
        assert (a_BCHW - x_BCHW).abs().max() > 20 / 255
        return a_BCHW

    check_step(CONFIG, signs, train_victim(CONFIG, signs, tmp_path, start_fabric("fp32")), attack)


@pytest.mark.parametrize(
    ("name", "epsilon", "found"),
    [("", None, {}), ("n-fgsm", None, {"attack_steps": 1, "is_n_fgsm": True}),
     ("pgd-1", None, {"attack_steps": 1, "is_n_fgsm": False}),
     ("pgd-7", 4.0, {"attack_steps": 7, "is_n_fgsm": False, "epsilon": 4 / 255})],
)  # fmt: skip
def test_a_name_stands_for_settings(name: str, epsilon: float | None, found: dict[str, Any]) -> None:
    assert attack_settings(name, epsilon) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--adversarial", "fgsm"], "expected an attack among n-fgsm and pgd-1 to pgd-99, got 'fgsm'"),
     (["--epsilon", "4"], "expected --adversarial ATTACK beside --epsilon, got 4 alone; add n-fgsm or pgd-7")],
)  # fmt: skip
def test_an_attack_that_is_none_is_one_line(
    options: list[str], message: str, photos: Path, tmp_path: Path, capsys: Output
) -> None:
    assert main(["train", "victim", "--data", str(photos), "-o", str(tmp_path / "run"), *options, *FAST]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not (tmp_path / "run").exists()


def test_n_fgsm_has_one_step() -> None:
    with pytest.raises(ConfigError, match="expected attack_steps of 1 with N-FGSM, which has one step, got 0"):
        replace(CONFIG, attack_steps=0)


def test_a_run_keeps_its_attack_and_refuses_another(photos: Path, tmp_path: Path, capsys: Output) -> None:
    run = tmp_path / "victim"
    arguments = ["train", "victim", "--data", str(photos), "-o", str(run)]
    assert main([*arguments, "--adversarial", "n-fgsm", "--epsilon", "4", *FAST]) == 0
    config = state_of(run)["config"]
    assert (config["attack_steps"], config["is_n_fgsm"], config["epsilon"]) == (1, True, pytest.approx(4 / 255))
    for options, message in (
        (["--adversarial", "pgd-1"], "expected --adversarial n-fgsm, with which"),
        (["--epsilon", "8"], "expected --epsilon 4, with which"),
    ):
        capsys.readouterr()
        assert main([*arguments, "--resume", *options]) == 1
        assert message in capsys.readouterr().err
    assert main([*arguments, "--resume", "--adversarial", "n-fgsm", "--epsilon", "4"]) == 0


def test_a_victim_of_clean_images_does_not_go_on_with_an_attack(photos: Path, runs: Path, capsys: Output) -> None:
    arguments = ["train", "victim", "--data", str(photos), "-o", str(runs / "victim"), "--resume"]
    assert main([*arguments, "--adversarial", "n-fgsm"]) == 1
    assert "expected --adversarial of no attack, with which" in capsys.readouterr().err


class Scripted:
    """Stands for the watch's attack."""

    def __init__(self, *percents: float) -> None:
        self.percents = iter(percents)

    def percentages(self, model: object) -> dict[str, float]:
        return {"clean_percent": 90.0, "pgd10_percent": next(self.percents)}


def test_a_collapse_is_said_and_a_dip_is_not(signs: ImageSet, capsys: Output) -> None:
    watch = AdversarialWatch(signs, 8 / 255, start_fabric("fp32"), seed=0)
    watch.watch = Scripted(40.0, 33.0, 30.0, 41.0)  # type: ignore[assignment]
    victim, said = SimpleResNet(20, units_per_stage=1), []
    for _ in range(4):
        watch.percent(victim)
        said.append(capsys.readouterr().err)
    assert [bool(each) for each in said] == [False, False, True, False]
    assert "note: accuracy under PGD-10 fell from 40.0 to 30.0 % of held-out images" in said[2]


def test_an_adversarial_run_logs_pgd_10_and_an_ordinary_one_does_not(signs: ImageSet, tmp_path: Path) -> None:
    for name, config in (("adversarial", CONFIG), ("ordinary", replace(CONFIG, attack_steps=0, is_n_fgsm=False))):
        train_victim(config, signs, tmp_path / name, start_fabric("fp32"))
        assert ("pgd10_percent" in state_of(tmp_path / name)["row"]) == (name == "adversarial")


def test_hostile_settings_beside_a_size_are_one_line(photos: Path, runs: Path, capsys: Output) -> None:
    change(runs / "victim", lambda state: state["config"].update(epsilon="x"))
    arguments = ["train", "victim", "--data", str(photos), "-o", str(runs / "victim"), "--resume", "--epsilon", "4"]
    assert main(arguments) == 1
    assert "expected epsilon of the type" in capsys.readouterr().err
