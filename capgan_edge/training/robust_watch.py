"""Watching a robust purifier while it trains: held-out images, clean and under PGD-10 on the model that is watched.

Shapes: N images, B batch, C channel, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor

from capgan_edge.attacks import PGD
from capgan_edge.data.images import ImageSet
from capgan_edge.training.evaluate import batches_in_order

BATCH = 250


class RobustWatch:
    """Accuracy of a model on clean images and under PGD-10 with its own gradients, in the run's precision."""

    def __init__(self, images: ImageSet, epsilon: float, fabric: Fabric, *, seed: int) -> None:
        self.fabric = fabric
        x_NCHW, y_N = (torch.cat(parts) for parts in zip(*batches_in_order(images), strict=True))
        self.x_NCHW: Tensor = fabric.to_device(x_NCHW.contiguous(memory_format=torch.channels_last))
        self.labels_N: Tensor = fabric.to_device(y_N)
        self.attack = PGD(epsilon=epsilon, steps=10, seed=seed)

    def percentages(self, model: Callable[[Tensor], Tensor], *climbed: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Return the accuracy on both in percent; the models are in eval mode, their parameters frozen.

        Args:
            model: whose labels count.
            climbed: models whose gradients are climbed, the model itself where none is given. An image counts as held
                only where it withstands each of them.
        """
        num_right = num_robust = 0
        for x_BCHW, y_B in zip(torch.split(self.x_NCHW, BATCH), torch.split(self.labels_N, BATCH), strict=True):
            with self.fabric.autocast():
                num_right += int((self._labels(model, x_BCHW) == y_B).sum())
                attacked = [self.attack(each, x_BCHW, y_B).images_BCHW for each in climbed or (model,)]
                holds = [self._labels(model, a_BCHW) == y_B for a_BCHW in attacked]
                num_robust += int(torch.stack(holds).all(dim=0).sum())
        n = len(self.labels_N)
        return {"clean_percent": 100 * num_right / n, "pgd10_percent": 100 * num_robust / n}

    def some(self, num_images: int) -> Tensor:
        """Return some of the images, evenly apart: they lie in the order of their classes."""
        return self.x_NCHW[self._every(num_images)][:num_images]

    def attacked(self, model: Callable[[Tensor], Tensor], num_images: int) -> Tensor:
        """Return the same images as PGD-10 leaves them."""
        labels_B = self.labels_N[self._every(num_images)][:num_images]
        with self.fabric.autocast():
            return self.attack(model, self.some(num_images), labels_B).images_BCHW

    def _every(self, num_images: int) -> slice:
        return slice(None, None, max(1, len(self.x_NCHW) // num_images))

    @torch.no_grad()
    def _labels(self, model: Callable[[Tensor], Tensor], x_BCHW: Tensor) -> Tensor:
        return model(x_BCHW).argmax(1)
