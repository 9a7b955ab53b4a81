"""Watching a purifier while it trains: held-out images, attacked once on the frozen victim, purified each epoch.

Shapes: N images, B batch, C channel, H height, W width.
"""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.attacks import FGSM, PGD
from capgan_edge.data.images import ImageSet
from capgan_edge.models.purifier import Purifier
from capgan_edge.training.evaluate import batches_in_order

BATCH = 250


class Watch:
    """Accuracy of f(T_AC(.)) on clean, FGSM and PGD-20 images; f is frozen, so the attacks are made once.

    PGD-20 is made at half of epsilon too: what undoes a perturbation of one size need not undo a smaller one. All are
    attacks on f alone: the figures say nothing of an attacker who knows the purifier.
    """

    def __init__(self, images: ImageSet, victim: nn.Module, epsilon: float, fabric: Fabric, *, seed: int) -> None:
        self.victim, self.fabric = victim, fabric
        x_NCHW, y_N = (torch.cat(parts) for parts in zip(*batches_in_order(images), strict=True))
        self.labels_N: Tensor = fabric.to_device(y_N)
        self.sets: dict[str, Tensor] = {"clean": fabric.to_device(x_NCHW.contiguous(memory_format=torch.channels_last))}
        attacks = {
            "fgsm": FGSM(epsilon=epsilon, seed=seed),
            "pgd20": PGD(epsilon=epsilon, steps=20, seed=seed),
            "pgd20_half": PGD(epsilon=epsilon / 2, steps=20, seed=seed),
        }
        for name, attack in attacks.items():
            with fabric.autocast():
                parts = [
                    attack(victim, x, y).images_BCHW
                    for x, y in zip(
                        torch.split(self.sets["clean"], BATCH), torch.split(self.labels_N, BATCH), strict=True
                    )
                ]
            self.sets[name] = torch.cat(parts)

    @torch.no_grad()
    def percentages(self, purifier: Purifier) -> dict[str, float]:
        """Return the accuracy behind the purifier on each set, in percent."""
        was_training = purifier.training
        purifier.eval()
        found = {}
        for name, x_NCHW in self.sets.items():
            correct = 0
            for x_BCHW, y_B in zip(torch.split(x_NCHW, BATCH), torch.split(self.labels_N, BATCH), strict=True):
                with self.fabric.autocast():
                    correct += int((self.victim(purifier(x_BCHW)).argmax(1) == y_B).sum())
            found[f"{name}_percent"] = 100 * correct / len(self.labels_N)
        purifier.train(was_training)
        return found
