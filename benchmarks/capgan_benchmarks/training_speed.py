"""Training throughput: images a second of CAP-GAN's loop against the plain FP32 loop of the same losses, in rounds.

Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from capgan_benchmarks.latency.conditions import read_clocks, read_conditions
from capgan_benchmarks.latency.roof import measure_ceilings
from capgan_benchmarks.records import record_head
from capgan_edge.errors import ConfigError
from capgan_edge.hardware import num_cpus

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.models.purifier import PurifierConfig
    from capgan_edge.training.cap_gan import CapGan

_SEED = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSpeedConfig:
    """How much to train."""

    presets: tuple[str, ...] = ("nano",)
    batch_size: int = 128
    size_px: int = 32
    num_rounds: int = 5
    """In each both loops have a turn."""
    num_steps: int = 4
    """Of a turn, counted; one more before them is not."""
    threads: int | None = None
    """None is as many as this process may use."""

    def __post_init__(self) -> None:
        if self.num_rounds < 2 or self.num_steps < 1 or self.batch_size < 2:
            raise ConfigError(
                f"expected at least 2 rounds, 1 step and a batch of 2, got {self.num_rounds}, {self.num_steps} and "
                f"{self.batch_size}; the defaults are 5, 4 and 128"
            )
        if self.size_px < 32 or self.size_px % 4:
            raise ConfigError(f"expected a size of at least 32 px, a multiple of 4, got {self.size_px}; use 32")


def measure_training(config: TrainingSpeedConfig) -> dict[str, Any]:
    """Return the record: images a second of both loops by preset, and their ratio with its spread over rounds.

    Raises:
        ConfigError: there is no such preset, or CAP-GAN's loop does not train it.
    """
    import torch

    presets = {name: _trainable(name) for name in config.presets}
    threads, before = config.threads or num_cpus(), torch.get_num_threads()
    torch.set_num_threads(threads)
    conditions, clocks = read_conditions(threads=threads, has_gpu=torch.cuda.is_available()), read_clocks(has_gpu=False)
    try:
        ceilings: dict[str, float] = {each.kind: each.value for each in measure_ceilings(threads)}
        rows = [_row(name, held, config, ceilings) for name, held in presets.items()]
    finally:
        torch.set_num_threads(before)
    return {
        **record_head(
            "training-speed",
            command="capgan-edge benchmark training",
            environment={**conditions, "before": clocks, "after": read_clocks(has_gpu=False)},
        ),
        "protocol": asdict(config) | {"threads": threads, "seed": _SEED},
        "ceilings": ceilings,
        "rows": rows,
    }


def _trainable(name: str) -> PurifierConfig:
    from capgan_edge.models.presets import preset
    from capgan_edge.models.purifier import PurifierConfig

    held = preset(name)
    if type(held) is not PurifierConfig:
        raise ConfigError(f"expected a preset that CAP-GAN's loop trains, got {name!r}; leave it out")
    return held


def _row(name: str, held: PurifierConfig, config: TrainingSpeedConfig, ceilings: Mapping[str, float]) -> dict[str, Any]:
    loops = {"fast": fast_loop(held), "plain": _plain_loop(held)}
    x_BCHW, y_B = drawn_batch(config)
    speeds: dict[str, list[float]] = {loop: [] for loop in loops}
    for index in range(config.num_rounds):
        for loop in ("fast", "plain") if index % 2 == 0 else ("plain", "fast"):
            given_BCHW = x_BCHW.contiguous() if loop == "plain" else x_BCHW
            seconds = _turn_s(loops[loop], given_BCHW, y_B, config.num_steps)
            speeds[loop].append(config.num_steps * config.batch_size / seconds)
    ratios = [fast / plain for fast, plain in zip(speeds["fast"], speeds["plain"], strict=True)]
    return {
        "preset": name,
        "ndf": held.ngf,
        "loops": {loop: _said(loops[loop], values, x_BCHW, y_B, ceilings) for loop, values in speeds.items()},
        "ratio": spread(ratios),
    }


def _said(
    loop: CapGan, images_per_s: Sequence[float], x_BCHW: Tensor, y_B: Tensor, ceilings: Mapping[str, float]
) -> dict[str, Any]:
    """Return the speed of a loop, and the share of the ceiling on products in its precision."""
    from torch.utils.flop_counter import FlopCounterMode

    from capgan_edge.models.cost import cost_of
    from capgan_edge.training.device import precision_of

    height, width = x_BCHW.shape[2:]
    pair = loop.pair(*loop.fabric.to_device((x_BCHW, y_B)))
    with FlopCounterMode(display=False) as counter:
        loop.step(pair)
    # The counter cannot look into `pair`, which asks for a gradient: one pass of the victim forward, one backward.
    attack_macs = 2 * cost_of(loop.victim, height_px=height, width_px=width).macs
    macs = counter.get_total_flops() / 2 / len(y_B) + attack_macs
    precision, speed = precision_of(loop.fabric), spread(images_per_s)
    percent = 100 * macs * speed["median"] / ceilings[precision]
    return {"precision": precision, "images_per_s": speed, "macs_per_image": macs, "roof_percent": percent}


def fast_loop(purifier: PurifierConfig) -> CapGan:
    """Return the loop as `capgan-edge train` runs it: bf16 where it is fast, folded victim, channels last,
    discriminators as wide as the purifier.
    """
    from capgan_edge.models.victim import folded
    from capgan_edge.training.cap_gan import CapGan
    from capgan_edge.training.config import CapGanConfig
    from capgan_edge.training.device import place, start_fabric

    fabric = start_fabric("auto")
    return CapGan(purifier, CapGanConfig(ndf=purifier.ngf), place(fabric, folded(_victim())), fabric)


def _plain_loop(purifier: PurifierConfig) -> CapGan:
    """Return the loop as the paper's equations are typed down: FP32, contiguous, one pass a term, victim as it is."""
    import torch
    from torch import nn

    from capgan_benchmarks.plain_cap_gan import PlainCapGan
    from capgan_edge.training.config import CapGanConfig
    from capgan_edge.training.device import start_fabric

    fabric = start_fabric("fp32")
    victim = _victim()
    fabric.to_device(victim)
    loop = PlainCapGan(purifier, CapGanConfig(ndf=purifier.ngf), victim, fabric)
    for network in loop.networks.values():
        move: Any = nn.Module.to  # torch's own stub lacks this form
        move(network, memory_format=torch.contiguous_format)
    return loop


def _victim() -> Any:
    import torch

    from capgan_edge.models.victim import SimpleResNet

    torch.manual_seed(_SEED)
    return SimpleResNet().eval().requires_grad_(False)


def drawn_batch(config: TrainingSpeedConfig) -> tuple[Tensor, Tensor]:
    """Return drawn signs, float32 in [0, 1] in channels_last, [B, 3, H, W], and labels by chance, [B]."""
    import torch

    from capgan_edge.data.signs import load_signs

    images = load_signs("train", size_px=config.size_px, n=max(32, config.batch_size)).images_NHWC[: config.batch_size]
    x_BCHW = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    labels_B = np.random.default_rng(_SEED).integers(0, 10, len(images))
    return x_BCHW.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels_B)


def _turn_s(loop: CapGan, x_BCHW: Tensor, y_B: Tensor, num_steps: int) -> float:
    """Return the seconds of some steps, after one that is not counted."""
    x_BCHW, y_B = loop.fabric.to_device((x_BCHW, y_B))
    started_s = 0.0
    for index in range(1 + num_steps):
        if index == 1:
            started_s = time.perf_counter()
        losses = loop.step(loop.pair(x_BCHW, y_B))
        sum(value.item() for value in losses.values())  # waits for a GPU, as the training loop does
    return time.perf_counter() - started_s


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of what rounds gave, its lowest and its highest, and how many they were."""
    return {"median": float(np.median(values)), "low": min(values), "high": max(values), "num_rounds": len(values)}
