"""A few road signs, and a small classifier that has learnt four of them: made once a session, never downloaded."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs.dataset import load_signs
from capgan_edge.models.victim import SimpleResNet

NUM_CLASSES = 4

# A shell that starts pytest in the background makes it ignore SIGINT, and with it every process that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def signs() -> ImageSet:
    """64 signs of 32 px, all classes."""
    return load_signs("train", size_px=32, n=64)


@pytest.fixture(scope="session")
def trained() -> tuple[SimpleResNet, Tensor, Tensor]:
    """Return a frozen net with one unit a stage, fitted to four classes of signs for seconds, the signs, the labels."""
    drawn = load_signs("train", size_px=32, n=600)
    chosen = np.flatnonzero(drawn.labels_N < NUM_CLASSES)
    x_NCHW = torch.from_numpy(drawn.images_NHWC[chosen]).permute(0, 3, 1, 2).float() / 255
    y_N = torch.from_numpy(drawn.labels_N[chosen])
    torch.manual_seed(0)
    model = SimpleResNet(NUM_CLASSES, units_per_stage=1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(8):
        for chosen_B in torch.split(torch.randperm(len(y_N)), 24):
            optimizer.zero_grad()
            F.cross_entropy(model(x_NCHW[chosen_B]), y_N[chosen_B]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model.eval().requires_grad_(False), x_NCHW, y_N
