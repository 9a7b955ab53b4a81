"""A tiny victim that really classifies road signs, and a purifier with weights as of training: both in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from capgan_benchmarks.demo.findings import Findings
from capgan_edge.attacks.fgsm import FGSM
from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs import load_signs
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import victim_from_module
from capgan_export.source import Source

SIZE_PX = 16
VICTIM, PURIFIER = "victim.safetensors", "purifier.safetensors"
TINY = PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3, norm="batch", padding="zeros", output="residual",
                      has_skips=True)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run: where it wrote, what it found, and what it said."""

    out: Path
    findings: Findings
    said: str


def train_tiny(folder: Path) -> None:
    """Train a one-unit victim, then a purifier to keep its verdicts under FGSM; their weights go into the folder."""
    torch.manual_seed(0)
    images = load_signs("train", size_px=SIZE_PX, n=400)
    victim = SimpleResNet(len(images.class_names), units_per_stage=1)
    optimizer = torch.optim.Adam(victim.parameters(), lr=5e-3)
    for step in range(200):
        x_BCHW, y_B = _batch(images, step)
        _descend(optimizer, F.cross_entropy(victim(x_BCHW), y_B))
    victim.eval().requires_grad_(False)
    purifier, attack = Purifier(TINY), FGSM()
    optimizer = torch.optim.Adam(purifier.parameters(), lr=3e-3)
    for step in range(20):
        x_BCHW, y_B = _batch(images, step)
        a_BCHW = attack(victim, x_BCHW, y_B).images_BCHW
        given = purifier.translate(torch.cat([a_BCHW, x_BCHW]))
        is_attacked_B = torch.arange(2 * len(y_B)) < len(y_B)
        domain = F.binary_cross_entropy_with_logits(given.domain_logits_BJ.mean(1), is_attacked_B.float())
        _descend(optimizer, F.cross_entropy(victim(given.image_BCHW), torch.cat([y_B, y_B])) + 0.3 * domain)
    save_file(victim.state_dict(), folder / VICTIM)
    save_file(purifier.state_dict(), folder / PURIFIER)


def tiny_source(folder: Path) -> Source:
    """Return the pair whose weights `train_tiny` left there."""
    labels, size = load_signs("train", size_px=SIZE_PX, n=20).class_names, (SIZE_PX, SIZE_PX)
    victim, purifier = SimpleResNet(len(labels), units_per_stage=1), Purifier(TINY)
    victim.load_state_dict(load_file(folder / VICTIM))
    purifier.load_state_dict(load_file(folder / PURIFIER))
    for module in (victim, purifier):
        module.eval().requires_grad_(False)
    held = victim_from_module(victim, {"kind": "simple-resnet", "name": "tiny"}, size_px=size, labels=labels)
    return Source(name="tiny", origin="tiny, trained for the test", purifier=purifier, victim=held, labels=labels,
                  size_px=size, data=f"signs-{SIZE_PX}/train")  # fmt: skip


def _batch(images: ImageSet, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = torch.randint(len(images), (64,), generator=torch.Generator().manual_seed(step)).numpy()
    x_BCHW = torch.from_numpy(images.images_NHWC[chosen]).permute(0, 3, 1, 2).float() / 255
    return x_BCHW, torch.from_numpy(images.labels_N[chosen])


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
