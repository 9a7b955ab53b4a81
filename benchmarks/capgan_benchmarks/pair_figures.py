"""What a pair of purifier and victim holds: accuracy, clean and attacked, of the torch modules and of the ONNX file.

Shapes: N images, B batch, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.attacked_sets import BATCH, AttackedSet, Chain, attacked_set, batched, clean_set, title_of
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from capgan_edge.runtime.runner import Runner
    from capgan_edge.zoo import Pair


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

        Of a purifier with a class head, PGD-40 on that as well. These two must not flatter: their gradients are fp32
        whatever the others' are.
        """
        from capgan_edge.attacks import FGSM, PGD
        from capgan_edge.models.robust_purifier import RobustPurifier

        images = self.test.take(num_images, seed=self.seed)
        say(f"clean, n = {len(images)}")
        self._score(clean_set(images))
        for attack in (FGSM(seed=self.seed), PGD(steps=40, seed=self.seed)):
            say(f"{title_of(attack)} on f, n = {len(images)}")
            self._score(attacked_set(attack, self.fast_victim, "f", images, is_bf16=self.is_bf16))
        few = self.test.take(num_end_to_end, seed=self.seed)
        say(f"PGD-40 on f(T(.)), n = {len(few)}")
        both = Chain(self.pair.purifier, self.fast_victim)
        self._score(attacked_set(PGD(steps=40, seed=self.seed), both, "f(T(.))", few, is_bf16=False))
        if isinstance(self.pair.purifier, RobustPurifier):
            say(f"PGD-40 on the class head, n = {len(few)}")
            self._score(attacked_set(PGD(steps=40, seed=self.seed), self.pair.purifier.class_logits, "the class head",
                                     few, is_bf16=False))  # fmt: skip
        return self.figures

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
        self.figures.append(
            {
                "name": f"{attacked.title}: {what}",
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
