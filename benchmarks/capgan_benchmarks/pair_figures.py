"""What a pair of purifier and victim holds: accuracy, clean and attacked, of the torch modules and of the ONNX file.

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

from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks import LinfAttack
    from capgan_edge.runtime.runner import Runner
    from capgan_edge.zoo import Pair

BATCH = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackedSet:
    """Images attacked on one model, float and rounded to the 8 bits that a camera gives."""

    name: str
    knowledge: str
    """Who made the gradient: `f` alone, or `f(T(.))`."""
    settings: dict[str, Any]
    x_NCHW: Tensor
    frames_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]


class PairFigures:
    """Measure one pair on one test set; every figure carries its n, seed and settings."""

    def __init__(self, pair: Pair, runner: Runner, test: ImageSet, *, seed: int, is_bf16: bool, device: str) -> None:
        from capgan_edge.models.victim import folded

        self.pair, self.runner, self.test = pair, runner, test
        self.seed, self.is_bf16, self.device = seed, is_bf16, device
        self.fast_victim = folded(pair.victim)
        self.figures: list[dict[str, Any]] = []

    def measure(
        self, say: Callable[[str], None], *, num_images: int | None, num_end_to_end: int
    ) -> list[dict[str, Any]]:
        """Clean, FGSM and PGD-40 on f alone on `num_images` (None is all), PGD-40 end to end on `num_end_to_end`.

        The end-to-end attack is the one that must not flatter: its gradients are fp32 whatever the others are.
        """
        from capgan_edge.attacks import FGSM, PGD

        images = self.test.take(num_images, seed=self.seed)
        say(f"clean, n = {len(images)}")
        self._score(_clean(images))
        for attack in (FGSM(seed=self.seed), PGD(steps=40, seed=self.seed)):
            say(f"{_title(attack)} on f, n = {len(images)}")
            self._score(self._attacked(attack, self.fast_victim, "f", images, is_bf16=self.is_bf16))
        few = self.test.take(num_end_to_end, seed=self.seed)
        say(f"PGD-40 on f(T(.)), n = {len(few)}")
        both = _Chain(self.pair.purifier, self.fast_victim)
        self._score(self._attacked(PGD(steps=40, seed=self.seed), both, "f(T(.))", few, is_bf16=False))
        return self.figures

    def _attacked(
        self, attack: LinfAttack, model: Callable[[Tensor], Tensor], knowledge: str, images: ImageSet, *, is_bf16: bool
    ) -> AttackedSet:
        import torch

        clean, parts = _clean(images), []
        labels_N = torch.from_numpy(images.labels_N)
        started_s = time.monotonic()
        pairs = list(zip(batched(clean.x_NCHW), batched(labels_N), strict=True))
        for x_BCHW, y_B in track(pairs, f"{_title(attack)} on {knowledge}", console=Console(stderr=True)):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
                parts.append(attack(model, x_BCHW, y_B).images_BCHW)
        x_NCHW = torch.cat(parts)
        frames_NHWC = (x_NCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        precision = "bf16 autocast" if is_bf16 else "fp32"
        settings = {"attack": _title(attack), **asdict(attack), "gradients": precision,
                    "seconds": round(time.monotonic() - started_s, 1)}  # fmt: skip
        return AttackedSet(name=_title(attack), knowledge=knowledge, settings=settings, x_NCHW=x_NCHW,
                           frames_NHWC=frames_NHWC, labels_N=images.labels_N)  # fmt: skip

    def _score(self, attacked: AttackedSet) -> None:
        import torch

        bare, purified = [], []
        with torch.no_grad():
            for x_BCHW in batched(attacked.x_NCHW):
                bare.append(self.pair.victim(x_BCHW).argmax(1))
                purified.append(self.pair.victim(self.pair.purifier(x_BCHW)).argmax(1))
        outputs = [self.runner(attacked.frames_NHWC[i : i + BATCH]) for i in range(0, len(attacked.labels_N), BATCH)]
        self._add("victim, torch, float images", attacked, torch.cat(bare).numpy())
        self._add("purified, torch, float images", attacked, torch.cat(purified).numpy())
        raw_logits_NK = np.concatenate([o.raw_logits_NK for o in outputs if o.raw_logits_NK is not None])
        self._add("bare classifier, raw_logits of model.fp32.onnx, 8-bit frames", attacked, raw_logits_NK.argmax(1))
        logits_NK = np.concatenate([o.logits_NK for o in outputs])
        self._add("purified, model.fp32.onnx, 8-bit frames", attacked, logits_NK.argmax(1))

    def _add(self, what: str, attacked: AttackedSet, predicted_N: NDArray[np.int64]) -> None:
        n, correct = len(attacked.labels_N), int((predicted_N == attacked.labels_N).sum())
        low, high = wilson_interval_percent(correct, n)
        knowledge = f" on {attacked.knowledge}" if attacked.knowledge else ""
        self.figures.append(
            {
                "name": f"{attacked.name}{knowledge}: {what}",
                "value": round(100 * correct / n, 3),
                "unit": "% accuracy",
                "n": n,
                "seed": self.seed,
                "settings": attacked.settings,
                "interval_95": [round(low, 3), round(high, 3)],
                "data": self.test.name,
                "device": self.device,
            }
        )


class _Chain:
    """f(T(.)), for gradients end to end."""

    def __init__(self, purifier: Callable[[Tensor], Tensor], victim: Callable[[Tensor], Tensor]) -> None:
        self.purifier, self.victim = purifier, victim

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        return self.victim(self.purifier(x_BCHW))


def batched(tensor_N: Tensor) -> Iterator[Tensor]:
    """Yield the tensor in batches along its first axis."""
    for start in range(0, len(tensor_N), BATCH):
        yield tensor_N[start : start + BATCH]


def _clean(images: ImageSet) -> AttackedSet:
    import torch

    x_NCHW = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float().div(255)
    return AttackedSet(name="clean", knowledge="", settings={}, x_NCHW=x_NCHW, frames_NHWC=images.images_NHWC,
                       labels_N=images.labels_N)  # fmt: skip


def _title(attack: LinfAttack) -> str:
    steps = getattr(attack, "steps", None)
    return type(attack).__name__ + (f"-{steps}" if steps else "")
