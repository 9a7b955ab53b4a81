"""Test images attacked on a torch model, as floats and rounded to the 8 bits that a camera gives.

Shapes: N images, B batch, C channel, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks import Attack

BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackedSet:
    """Images attacked on one model, float and rounded to the 8 bits that a camera gives."""

    name: str
    knowledge: str
    """Who made the gradient: `f` alone, or `f(T(.))`; empty for clean images."""
    settings: dict[str, Any]
    x_NCHW: Tensor
    frames_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]

    @property
    def title(self) -> str:
        """What figures call it."""
        return f"{self.name} on {self.knowledge}" if self.knowledge else self.name


class Chain:
    """f(T(.)), for gradients end to end."""

    def __init__(self, purifier: Callable[[Tensor], Tensor], victim: Callable[[Tensor], Tensor]) -> None:
        self.purifier, self.victim = purifier, victim

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        return self.victim(self.purifier(x_BCHW))


def clean_set(images: ImageSet) -> AttackedSet:
    """Return the images as they are."""
    import torch

    x_NCHW = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float().div(255)
    return AttackedSet(name="clean", knowledge="", settings={}, x_NCHW=x_NCHW, frames_NHWC=images.images_NHWC,
                       labels_N=images.labels_N)  # fmt: skip


def attacked_set(
    attack: Attack, model: Callable[[Tensor], Tensor], knowledge: str, images: ImageSet, *, is_bf16: bool
) -> AttackedSet:
    """Attack every image with its true label on `model`, in batches, behind a progress bar.

    `is_bf16` takes the gradients under autocast: for attacks on f alone, where a test shows the same success.
    """
    import torch

    clean, parts = clean_set(images), []
    labels_N = torch.from_numpy(images.labels_N)
    started_s = time.monotonic()
    pairs = list(zip(batched(clean.x_NCHW), batched(labels_N), strict=True))
    for x_BCHW, y_B in track(pairs, f"{title_of(attack)} on {knowledge}", console=Console(stderr=True)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
            parts.append(attack(model, x_BCHW, y_B).images_BCHW)
    x_NCHW = torch.cat(parts)
    frames_NHWC = (x_NCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    settings = {"attack": title_of(attack), **asdict(attack), "gradients": "bf16 autocast" if is_bf16 else "fp32",
                "seconds": round(time.monotonic() - started_s, 1)}  # fmt: skip
    return AttackedSet(name=title_of(attack), knowledge=knowledge, settings=settings, x_NCHW=x_NCHW,
                       frames_NHWC=frames_NHWC, labels_N=images.labels_N)  # fmt: skip


def right_frames(model: Callable[[Tensor], Tensor], attacked: AttackedSet) -> NDArray[np.bool_]:
    """Return which of the 8-bit frames a model labels rightly, [N]."""
    import torch

    x_NCHW = torch.from_numpy(attacked.frames_NHWC).permute(0, 3, 1, 2).float().div(255)
    with torch.no_grad():
        labels_N: NDArray[np.int64] = torch.cat([model(x_BCHW).argmax(1) for x_BCHW in batched(x_NCHW)]).numpy()
    is_right_N: NDArray[np.bool_] = labels_N == attacked.labels_N
    return is_right_N


def batched(tensor_N: Tensor) -> Iterator[Tensor]:
    """Yield the tensor in batches along its first axis."""
    for start in range(0, len(tensor_N), BATCH):
        yield tensor_N[start : start + BATCH]


def title_of(attack: Attack) -> str:
    """Return the attack's name with its steps, as in `PGD-40`."""
    steps = getattr(attack, "steps", None)
    return type(attack).__name__ + (f"-{steps}" if steps else "")
