"""HGD's training: a denoiser that is guided by what the victim says of its images.

Liao et al., arXiv 1712.02976, section 3.3, the logits guided denoiser (LGD): L1 between the victim's logits of T(a) and
of x, both by the same frozen victim. Pixels play no part. Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.presets import purifier_from
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.training.config import PurifierRunConfig
from capgan_edge.training.device import place
from capgan_edge.training.method import Optimized, Step
from capgan_edge.training.pairs import Pair, fgsm_pair
from capgan_edge.training.update import update


@dataclass(frozen=True, kw_only=True, slots=True)
class HgdConfig(PurifierRunConfig):
    """The default rate is the paper's."""

    learning_rate: float = 1e-3
    """Peak rate of Adam, for the denoiser."""


class Hgd:
    """The denoiser before a frozen victim, and its optimizer."""

    loss_names = ("guided",)
    warm_up_epochs = 0

    def __init__(self, purifier: PurifierConfig, config: HgdConfig, victim: nn.Module, fabric: Fabric) -> None:
        self.config, self.fabric, self.victim = config, fabric, victim
        self.t_ac = place(fabric, purifier_from(purifier))
        self.t_optimizer = torch.optim.Adam(self.t_ac.parameters(), config.learning_rate)

    @property
    def purifier(self) -> Purifier:
        """The denoiser."""
        return self.t_ac

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The trained network by the name it has in checkpoints."""
        return {"t_ac": self.t_ac}

    @property
    def optimizers(self) -> dict[str, Optimized]:
        """The denoiser's."""
        return {"t_optimizer": Optimized(self.t_optimizer, self.config.learning_rate)}

    def pair(self, x_BCHW: Tensor, y_B: Tensor) -> Pair:
        """As CAP-GAN's: FGSM on f alone."""
        return fgsm_pair(self.victim, x_BCHW, y_B, self.config, self.fabric)

    def step_in(self, epoch: int) -> Step:
        """The same in every epoch."""
        return self.step

    def step(self, pair: Pair) -> dict[str, Tensor]:
        """Draw f(T(a)) to f(x): the sum over the classes, the mean over the batch."""
        with self.fabric.autocast():
            logits_BK = self.victim(self.t_ac(pair.a_BCHW))
        guided = (logits_BK.float() - pair.x_logits_BK.float()).abs().sum(dim=1).mean()
        update(self.fabric, self.t_optimizer, guided, self.t_ac, max_norm=self.config.max_gradient_norm)
        return {"guided": guided}
