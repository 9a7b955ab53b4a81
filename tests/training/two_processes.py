"""Train tiny purifiers for a few steps on some processes (gloo) and leave their weights.

    python two_processes.py FOLDER PROCESSES

InstanceNorm, or no norm: BatchNorm takes its statistics from the images of its own process, so that with it n processes
are one process with smaller batches for the norms, and not bit-equal by design.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from capgan_edge.data.images import ImageSet
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.device import start_fabric
from capgan_edge.training.purifier import PurifierRun

SHAPES = {
    "instance": PurifierConfig(ngf=3, num_blocks=1, end_kernel_px=3, norm="instance"),
    "none": PurifierConfig(ngf=3, num_blocks=1, end_kernel_px=3, norm="none", padding="zeros", has_skips=True),
}
CONFIG = CapGanConfig(epochs=2, semantic_epochs=1, batch_size=8, learning_rate=1e-4, ndf=3, num_held_out=8,
                      num_watched=4, schedule="cosine", figure_every=2)  # fmt: skip


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
