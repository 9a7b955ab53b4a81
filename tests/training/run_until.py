"""A process that trains a tiny victim and, in epoch 2, says so and waits: in a step, or in the middle of a write.

python run_until.py FOLDER step|write|never
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from capgan_edge.data.images import ImageSet
from capgan_edge.training.device import start_fabric
from capgan_edge.training.victim import VictimConfig, train_victim

CONFIG = VictimConfig(epochs=3, batch_size=8, units_per_stage=1, num_held_out=8, learning_rate=0.05)
STEPS = 3


def make_images() -> ImageSet:
    """Return 32 images of noise, 8 px, in four classes."""
    images_NHWC = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    return ImageSet(name="noise", images_NHWC=images_NHWC, labels_N=np.arange(32) % 4, class_names=tuple("abcd"))


def wait_here() -> None:
    """Tell the parent, and give it a minute to send a signal."""
    sys.stdout.write("here\n")
    sys.stdout.flush()
    time.sleep(60)


def wait_in_step(fabric: Fabric) -> None:
    """Wait in the second step of epoch 2."""
    backward, calls = fabric.backward, iter(range(100))

    def waiting(loss: torch.Tensor) -> None:
        if next(calls) == STEPS + 1:
            wait_here()
        backward(loss)

    fabric.backward = waiting  # type: ignore[method-assign, assignment]


def wait_in_write() -> None:
    """Wait when the tensors of epoch 2 are written to their temporary file and not yet renamed."""
    fsync = os.fsync

    def waiting(descriptor: int) -> None:
        if ".epoch-0002" in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            wait_here()
        fsync(descriptor)

    os.fsync = waiting  # type: ignore[assignment]


def main(folder: Path, place: str) -> None:
    """Train, waiting in the place named."""
    fabric = start_fabric("fp32")
    if place == "step":
        wait_in_step(fabric)
    elif place == "write":
        wait_in_write()
    train_victim(CONFIG, make_images(), folder, fabric)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2])
