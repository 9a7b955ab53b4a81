"""What a run of the recipes will cost: operations counted, and hours from steps that were really made here.

Training is timed on one step after a first one; an attack by what an image takes forward and back. Early stops make
attacks cheaper than that; what a codec (JPEG) takes is not in it. Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.paper.cells import NumAttacked
from capgan_benchmarks.paper.plan import PaperConfig, defence_and_weights
from capgan_benchmarks.paper.printed import CLEAN, Column
from capgan_benchmarks.paper.systems import System
from capgan_benchmarks.paper.training import run_config
from capgan_benchmarks.paper.victims import Victims
from capgan_benchmarks.robustness import attack_menu

if TYPE_CHECKING:
    from torch import Tensor, nn

    from capgan_edge.data.images import ImageSet
    from capgan_edge.training.victim import VictimConfig

_TIER = "paper"
_PETA = 1e15
_TIMED_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one training, or of one attack."""

    what: str
    images: int
    """Seen in training, each epoch anew; or attacked."""
    pflop: float
    """Floating-point operations in 1e15: a multiply-accumulate is two."""
    images_per_s: float
    """As measured here; of an attack, forward passes an image takes are in it."""

    @property
    def hours(self) -> float:
        """At that speed."""
        return self.images / self.images_per_s / 3600


def training_cost(name: str, config: PaperConfig, victims: Victims, train: ImageSet, *, num_epochs: int) -> Cost:
    """Return what it takes to train a row for so many epochs, from two steps of it; nothing of them is kept."""
    from capgan_edge.models.cost import cost_of
    from capgan_edge.training.victim import VictimConfig

    wanted = run_config(name, config)
    x_BCHW, y_B = _batch(train, config.batch_size)
    if isinstance(wanted, VictimConfig):
        made = _victim_step(wanted, len(train.class_names))
    else:
        made = _purifier_step(name, config, victims)
    given = made.attack(x_BCHW, y_B)
    flop, _ = _measured(lambda: made.step(given))
    macs = cost_of(made.attacked, height_px=x_BCHW.shape[2], width_px=x_BCHW.shape[3]).macs
    flop += 2 * macs * len(y_B) * made.attack_passes  # the counter cannot look into what asks for a gradient of images
    started_s = time.perf_counter()
    made.step(made.attack(x_BCHW, y_B))
    seconds = time.perf_counter() - started_s
    num = num_epochs * len(train)
    return Cost(what=f"train {name}", images=num, pflop=flop / len(y_B) * num / _PETA, images_per_s=len(y_B) / seconds)


def attack_cost(
    system: System, column: Column, victims: Victims, images: ImageSet, *, num_attacked: NumAttacked
) -> Cost | None:
    """Return what it takes to attack as a column says; None where nothing is attacked."""
    if column == CLEAN:
        return None
    threat, attack = column
    num = num_attacked(attack, len(images))
    crafted_on = {"transfer": victims.surrogate, "white-box-victim": victims.classifier}.get(threat)
    model = system.defended if crafted_on is None else crafted_on.model
    x_BCHW, _ = _batch(images, _TIMED_BATCH)
    flop, seconds = _measured(lambda: model(x_BCHW))
    passes = attack_menu.passes_of(attack, _TIER)
    pflop = flop / len(x_BCHW) * num * passes / _PETA
    return Cost(what=f"{threat}: {attack} on {system.name}", images=num, pflop=pflop,
                images_per_s=len(x_BCHW) / seconds / passes)  # fmt: skip


def _measured(call: Callable[[], Any]) -> tuple[float, float]:
    """Return operations and seconds of a call; the first call, which counts, also warms up."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    started_s = time.perf_counter()
    call()
    return float(counter.get_total_flops()), time.perf_counter() - started_s


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """A step of a training in two parts: what attacks the batch, and what learns from it."""

    attack: Callable[[Tensor, Tensor], Any]
    step: Callable[[Any], Any]
    attacked: nn.Module
    """What the attack takes gradients of."""
    attack_passes: int
    """Forward passes that it is worth."""


def _purifier_step(name: str, config: PaperConfig, victims: Victims) -> _Step:
    """Return a step of the method's last epoch, which is the dearest of a run with a warm-up."""
    from capgan_edge.defences.catalogue import defence
    from capgan_edge.models.presets import preset
    from capgan_edge.training.config import PurifierRunConfig
    from capgan_edge.training.defence import preset_name
    from capgan_edge.training.device import place, start_fabric
    from capgan_edge.training.methods import method_from

    wanted, fabric = run_config(name, config), start_fabric()
    assert isinstance(wanted, PurifierRunConfig)
    shape = preset(preset_name(defence(defence_and_weights(name)[0]), config.scale))
    model: Any = copy.deepcopy(victims.classifier.model)  # which stays where it is, for the attacks
    victim = place(fabric, model)
    method = method_from(wanted, shape, victim, fabric)
    return _Step(attack=lambda x_BCHW, y_B: method.pair(*fabric.to_device((x_BCHW, y_B))), attacked=victim,
                 step=method.step_in(config.epochs - 1), attack_passes=2)  # fmt: skip


def _victim_step(wanted: VictimConfig, num_classes: int) -> _Step:
    import torch
    import torch.nn.functional as F

    from capgan_edge.models.own_victim import own_victim
    from capgan_edge.training.device import place, start_fabric
    from capgan_edge.training.robust_attack import craft

    fabric = start_fabric()
    victim = place(fabric, own_victim(num_classes, units_per_stage=wanted.units_per_stage, encoding=wanted.encoding,
                                      levels=wanted.levels))  # fmt: skip
    noise = torch.Generator().manual_seed(wanted.seed)

    def attack(x_BCHW: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
        x_BCHW, y_B = fabric.to_device((x_BCHW, y_B))
        if wanted.attack_steps:
            with fabric.autocast():
                x_BCHW = craft(victim, x_BCHW, y_B, epsilon=wanted.epsilon, steps=wanted.attack_steps, generator=noise)
        return x_BCHW, y_B

    def step(given: tuple[Tensor, Tensor]) -> None:
        x_BCHW, y_B = given
        with fabric.autocast():
            logits_BK = victim(x_BCHW)
        fabric.backward(F.cross_entropy(logits_BK.float(), y_B))

    return _Step(attack=attack, step=step, attacked=victim, attack_passes=2 * wanted.attack_steps)


def _batch(images: ImageSet, size: int) -> tuple[Tensor, Tensor]:
    import torch

    from capgan_benchmarks.threats.crafting import images_as_floats, rows_of

    few = rows_of(images, slice(size))
    x_BCHW = images_as_floats(few.images_NHWC).contiguous(memory_format=torch.channels_last)
    return x_BCHW, torch.from_numpy(few.labels_N)
