"""Train tiny purifiers for a few steps on some processes (gloo) and leave their weights.

    python two_processes.py FOLDER PROCESSES

InstanceNorm, or no norm: BatchNorm takes its statistics from the images of its own process, so that with it n processes
are one process with smaller batches for the norms, and not bit-equal by design. With it each process leaves what it
has in the end, which must be the same in all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import nn

from capgan_edge.data.images import ImageSet
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import average_statistics, start_fabric
from capgan_edge.training.purifier import PurifierRun
from capgan_edge.training.victim import VictimConfig, train_victim

SHAPES = {
    "instance": PurifierConfig(ngf=3, num_blocks=1, end_kernel_px=3, norm="instance"),
    "none": PurifierConfig(ngf=3, num_blocks=1, end_kernel_px=3, norm="none", padding="zeros", has_skips=True),
}
BATCH_NORM = PurifierConfig(ngf=3, num_blocks=1, end_kernel_px=3, norm="batch", padding="zeros")
VICTIM_CONFIG = VictimConfig(epochs=1, batch_size=8, units_per_stage=1, num_held_out=8)
CONFIG = CapGanConfig(epochs=2, semantic_epochs=1, batch_size=8, learning_rate=1e-4, ndf=3, num_held_out=8,
                      num_watched=4, schedule="cosine", figure_every=2, smallest_epsilon=0.0)  # fmt: skip


def make_images() -> ImageSet:
    """Return 32 smooth random images of 32 px in four classes: three steps an epoch of eight."""
    coarse = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    images_NHWC = coarse.repeat(4, axis=1).repeat(4, axis=2)
    return ImageSet(name="noise", images_NHWC=images_NHWC, labels_N=np.arange(32) % 4, class_names=tuple("abcd"))


def make_victim() -> nn.Module:
    """Return a smooth classifier."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 4))


def main(folder: Path, processes: int) -> None:
    """Train each shape in a folder of its own."""
    fabric = start_fabric("fp32", devices=processes)
    for name, shape in SHAPES.items():
        PurifierRun(CONFIG, shape, make_victim(), {"kind": "factory"}, make_images(), folder / name, fabric).run()
    if processes > 1:
        leave_batch_norms(folder, fabric)


def leave_batch_norms(folder: Path, fabric: Fabric) -> None:
    """Write what this process has after two runs with BatchNorm, and after averaging 0 and 2 (variances 1 and 2)."""
    images, identity = make_images(), {"kind": "factory"}
    gan = PurifierRun(CONFIG, BATCH_NORM, make_victim(), identity, images, folder / "batch", fabric).run()
    victim = train_victim(VICTIM_CONFIG, images, folder / "victim", fabric)
    norm = nn.BatchNorm2d(2)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.fill_(2.0 * fabric.global_rank)
    norm.running_var.fill_(1.0 + fabric.global_rank)
    average_statistics(fabric, norm)
    modules = {"t_ac": gan.t_ac, "t_ca": gan.t_ca, "victim": victim, "norm": norm}
    states = {f"{name}.{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}
    tensors = {name: tensor.contiguous().clone() for name, tensor in states.items()}
    save_file(tensors, folder / f"rank-{fabric.global_rank}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
