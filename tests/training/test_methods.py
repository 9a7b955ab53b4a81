"""APE-GAN, HGD, CAP-GAN without cycle, the two victims: their losses by hand, their gradients, their resuming."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import nn
from victim_by_hand import check_step

from capgan_edge.attacks.base import project, uniform_start
from capgan_edge.data.images import ImageSet
from capgan_edge.defences.ape_gan import ApeGanPurifierConfig
from capgan_edge.defences.hgd import HgdPurifierConfig
from capgan_edge.defences.thermometer import ThermometerResNet
from capgan_edge.errors import ConfigError
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import load_victim
from capgan_edge.training.ape_gan import ApeGan, ApeGanConfig
from capgan_edge.training.cap_gan import Pair
from capgan_edge.training.config import CapGanConfig, PurifierRunConfig
from capgan_edge.training.device import start_fabric
from capgan_edge.training.hgd import Hgd, HgdConfig
from capgan_edge.training.methods import method_from
from capgan_edge.training.purifier import PurifierRun
from capgan_edge.training.robust_attack import noise_generator
from capgan_edge.training.runs import load_purifier_run, load_victim_run, victim_state
from capgan_edge.training.victim import VictimConfig, train_victim

SHARED: dict[str, Any] = {"epochs": 2, "batch_size": 16, "num_held_out": 16, "num_watched": 1, "figure_every": 2}
SMALL: dict[str, Any] = {"epochs": 2, "batch_size": 16, "num_held_out": 16, "units_per_stage": 1, "learning_rate": 0.05}
SHAPES: dict[str, PurifierConfig] = {
    "without-cycle": PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3, norm="batch", padding="zeros"),
    "ape-gan": ApeGanPurifierConfig(ngf=4), "hgd": HgdPurifierConfig(ngf=2, num_convs=2)
}  # fmt: skip
CONFIGS: dict[str, PurifierRunConfig] = {
    "without-cycle": CapGanConfig(
        semantic_epochs=1, ndf=4, has_cycle=False, learning_rate=1e-3, smallest_epsilon=0.0, **SHARED
    ),
    "ape-gan": ApeGanConfig(ndf=4, learning_rate=1e-3, **SHARED),
    "hgd": HgdConfig(learning_rate=1e-3, **SHARED),
}
VICTIMS: dict[str, VictimConfig] = {
    "adversarial-training": VictimConfig(attack_steps=7, **SMALL),
    "thermometer": VictimConfig(encoding="thermometer", **SMALL),
}
CLOCKED = ("images_per_s", "seconds")


def make_pair(victim: nn.Module) -> Pair:
    torch.manual_seed(2)
    x_BCHW = torch.rand(3, 3, 32, 32)
    a_BCHW = (x_BCHW + 0.03 * torch.randn_like(x_BCHW).sign()).clamp(0, 1)
    return Pair(x_BCHW, a_BCHW, victim(x_BCHW))


def gradients(module: nn.Module) -> list[torch.Tensor]:
    return [p.grad for p in module.parameters() if p.grad is not None]


def test_ape_gan_restores_by_pixels_and_fools_its_discriminator(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    torch.manual_seed(0)
    method = ApeGan(SHAPES["ape-gan"], ApeGanConfig(ndf=2, mse_weight=5.0, adversarial_weight=0.5), tiny_victim, fabric)
    pair = make_pair(tiny_victim)
    restored = method.t_ac(pair.a_BCHW)
    mse = (restored - pair.x_BCHW).square().mean()
    adversarial = F.softplus(-method.d(restored)).mean()
    d = F.softplus(-method.d(pair.x_BCHW)).mean() + F.softplus(method.d(restored.detach())).mean()
    by_hand = torch.autograd.grad(5 * mse + 0.5 * adversarial, list(method.t_ac.parameters()), retain_graph=True)
    of_d = torch.autograd.grad(d, list(method.d.parameters()))
    losses = method.step(pair)
    found = {name: loss.item() for name, loss in losses.items()}
    assert found == pytest.approx({"mse": mse.item(), "adversarial": adversarial.item(), "d": d.item()}, rel=1e-4)
    for got, expected in zip(gradients(method.t_ac), by_hand, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)
    for got, expected in zip(gradients(method.d), of_d, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)
    assert not gradients(tiny_victim)


def test_hgd_draws_the_victims_logits_of_the_denoised_image_to_those_of_the_clean_one(
    tiny_victim: SimpleResNet, fabric: Fabric
) -> None:
    torch.manual_seed(0)
    method = Hgd(SHAPES["hgd"], HgdConfig(), tiny_victim, fabric)
    pair = make_pair(tiny_victim)
    at_start = (tiny_victim(pair.a_BCHW) - tiny_victim(pair.x_BCHW)).abs().sum(1).mean()  # T starts as the identity
    by_hand = torch.autograd.grad(
        (tiny_victim(method.t_ac(pair.a_BCHW)) - tiny_victim(pair.x_BCHW)).abs().sum() / 3,
        list(method.t_ac.parameters()),
    )
    assert method.step(pair)["guided"].item() == pytest.approx(at_start.item(), rel=1e-4)
    for got, expected in zip(gradients(method.t_ac), by_hand, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)
    assert bool(by_hand[-1].any()), "through the frozen victim"
    assert not gradients(tiny_victim)
    moved = Hgd(SHAPES["hgd"], HgdConfig(learning_rate=0.01), tiny_victim, fabric)
    first = moved.step(pair)["guided"]
    for _ in range(12):
        last = moved.step(pair)["guided"]
    assert last < 0.95 * first


def test_cap_gan_does_not_train_a_network_without_its_attention(tiny_victim: SimpleResNet, fabric: Fabric) -> None:
    with pytest.raises(ConfigError, match=r"shape of a CAP-GAN purifier .* got HgdPurifierConfig"):
        method_from(CONFIGS["without-cycle"], SHAPES["hgd"], tiny_victim, fabric)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(ApeGanConfig, {"mse_weight": -1.0}), (ApeGanConfig, {"adversarial_weight": float("inf")}),
     (ApeGanConfig, {"discriminator_learning_rate": 0.0}), (HgdConfig, {"learning_rate": float("nan")}),
     (VictimConfig, {"attack_steps": -1}), (VictimConfig, {"attack_steps": 7, "encoding": "thermometer"}),
     (VictimConfig, {"encoding": "morse"}), (VictimConfig, {"levels": 1}), (VictimConfig, {"epsilon": 8.0})],
    ids=str,
)  # fmt: skip
def test_a_setting_out_of_range_is_refused(kind: type, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"expected .*got"):
        kind(**options)


def test_adversarial_training_steps_on_the_images_that_pgd_7_leaves(signs: ImageSet, tmp_path: Path) -> None:
    """Crafted in eval mode with steps of 2/255 from a random start."""
    config = replace(VICTIMS["adversarial-training"], epochs=1, batch_size=48, schedule="cosine")

    def attack(victim: SimpleResNet, x_BCHW: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
        a_BCHW = uniform_start(x_BCHW, 8 / 255, noise_generator(config.seed, 0, 0))
        for _ in range(7):
            leaf = a_BCHW.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(victim(leaf), y_B), leaf)
            a_BCHW = project(a_BCHW + 2 / 255 * gradient.sign(), x_BCHW, 8 / 255)
        return a_BCHW

    check_step(config, signs, train_victim(config, signs, tmp_path, start_fabric("fp32")), attack)


def train(kind: str, signs: ImageSet, victim: SimpleResNet, path: Path, fabric: Fabric, *, is_resumed: bool) -> None:
    if kind in VICTIMS:
        train_victim(VICTIMS[kind], signs, path, fabric, is_resumed=is_resumed, source="signs")
        return
    run = PurifierRun(CONFIGS[kind], SHAPES[kind], victim, victim_state(victim), signs, path, fabric, source="signs")
    if is_resumed:
        run.resume()
    run.run()


def told(path: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return pointer and log without what depends on the clock; the pointer has the hash of weights and optimizers."""
    pointer: dict[str, Any] = json.loads((path / "last.json").read_text())
    with (path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in (pointer["state"]["row"], *rows):
        for name in CLOCKED:
            del row[name]
    return pointer, rows


@pytest.mark.parametrize("kind", [*CONFIGS, *VICTIMS])
def test_one_epoch_and_one_resumed_are_two_bit_for_bit(
    kind: str, signs: ImageSet, tiny_victim: SimpleResNet, tmp_path: Path,
    interrupt: Callable[[Fabric, int], None],
) -> None:  # fmt: skip
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(kind, signs, tiny_victim, straight, start_fabric("fp32"), is_resumed=False)
    fabric = start_fabric("fp32")
    interrupt(fabric, 6 if kind == "ape-gan" else 3)  # in the first step of the second epoch; APE-GAN's have two
    with pytest.raises(KeyboardInterrupt):
        train(kind, signs, tiny_victim, stopped, fabric, is_resumed=False)
    assert not (stopped / "finished.json").exists()
    train(kind, signs, tiny_victim, stopped, start_fabric("fp32"), is_resumed=True)
    assert told(stopped) == told(straight)
    assert [row["epoch"] for row in told(stopped)[1]] == ["1", "2"]
    if kind in CONFIGS:  # and what is on the disk is a purifier of its kind
        purifier, own, checkpoint = load_purifier_run(stopped)
        assert purifier.config == SHAPES[kind]
        assert own is not None
        assert checkpoint.state["mode"] == ("cap-gan" if kind == "without-cycle" else kind)


def test_a_thermometer_victim_comes_back_from_its_run_by_both_ways(signs: ImageSet, tmp_path: Path) -> None:
    config = replace(VICTIMS["thermometer"], epochs=1, levels=5)
    trained = train_victim(config, signs, tmp_path, start_fabric("fp32")).eval()
    x_BCHW = torch.rand(2, 3, 32, 32)
    loaded, brought = load_victim_run(tmp_path), load_victim(tmp_path)
    assert isinstance(loaded, ThermometerResNet)
    assert loaded.levels == 5
    for victim in (loaded, brought.torch_module()):
        torch.testing.assert_close(victim(x_BCHW), trained(x_BCHW))
    assert (brought.identity["kind"], brought.identity["levels"]) == ("thermometer-resnet", 5)
    assert victim_state(loaded)["sha256"] == brought.identity["sha256"]
