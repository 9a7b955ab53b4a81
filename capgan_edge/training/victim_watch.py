"""Watching a victim that is trained adversarially: PGD-10 on held-out images after every epoch, a word on a collapse.

One-step attacks invite catastrophic overfitting (Wong et al. 2020): accuracy on clean images, by which a victim's run
is followed otherwise, does not show it.
"""

from __future__ import annotations

from lightning_fabric import Fabric
from rich.console import Console
from torch import nn

from capgan_edge.data.images import ImageSet
from capgan_edge.training.robust_watch import RobustWatch

NUM_WATCHED = 200
COLLAPSE_POINTS = 8.0
"""RobustConfig's default."""


class AdversarialWatch:
    """Accuracy under PGD-10 with the victim's own gradients, and the best of it so far."""

    def __init__(self, held_out: ImageSet, epsilon: float, fabric: Fabric, *, seed: int) -> None:
        self.watch = RobustWatch(held_out.take(NUM_WATCHED, seed=seed), epsilon, fabric, seed=seed)
        self.fabric, self.best_percent = fabric, 0.0

    def percent(self, victim: nn.Module) -> float:
        """Return the accuracy in percent; where it collapsed, say so on stderr. Leaves the victim in eval mode."""
        found = self.watch.percentages(victim.eval())["pgd10_percent"]
        if found < self.best_percent - COLLAPSE_POINTS and self.fabric.is_global_zero:
            Console(stderr=True).print(
                f"note: accuracy under PGD-10 fell from {self.best_percent:.1f} to {found:.1f} % of held-out images, "
                "which is catastrophic overfitting where it does not recover; train in a new folder with --adversarial "
                "n-fgsm or pgd-7",
                highlight=False,
                soft_wrap=True,
            )
        self.best_percent = max(self.best_percent, found)
        return found
