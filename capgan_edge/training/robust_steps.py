"""One step of each stage of a robust purifier's training. T is updated; f gives gradients and stays.

Attacks are crafted on the weights as they are deployed: in eval mode, with the running statistics.
Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.purifier import Purifier
from capgan_edge.models.robust_purifier import RobustPurifier
from capgan_edge.training.device import average_gradients
from capgan_edge.training.losses import LossWeights, domain_loss, semantic_loss
from capgan_edge.training.method import Optimized
from capgan_edge.training.robust_attack import Logits, craft, noisy
from capgan_edge.training.robust_awp import perturbed
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.robust_cycle import CapGanTerms, cap_gan_terms
from capgan_edge.training.robust_stages import Stage, StageName

LOSS_NAMES = ("attacked", "drawn", "head", "kl", "semantic", "l1", "domain", "distilled", "gan", "cycle", "d")
ADVERSARIAL = ("attacked", "kl", "distilled")
"""Those that AWP climbs: what an attack raises."""
DRAWN_SPREAD = 5.0
"""Class logits that the painter learns to draw have a deviation of 0 (any class) to this (one class), drawn evenly."""
SEMANTIC = LossWeights()  # only its temperature, 10, plays a part


class RobustSteps:
    """The purifier in training before its victim, the optimizer of the stage at hand, and a frozen teacher or none.

    In the stage `whole` CAP-GAN's other networks learn beside the purifier, where its terms have a weight.
    """

    def __init__(
        self, purifier: Purifier, victim: nn.Module, config: RobustConfig, fabric: Fabric,
        teacher: Purifier | None = None,
    ) -> None:  # fmt: skip
        self.purifier, self.victim, self.config, self.fabric = purifier, victim, config, fabric
        self.teacher = teacher
        self.cap_gan: CapGanTerms | None = None
        self.optimizer: torch.optim.Optimizer
        self.peak_rate: float

    def enter(self, stage: Stage) -> None:
        """Free the weights that the stage trains and start its optimizer, and CAP-GAN's networks where it has them."""
        self.purifier.requires_grad_(False)
        self.purifier.zero_grad()  # what the stage before left would count where gradients are clipped
        for module in self._trained(stage.name):
            module.requires_grad_(True)
        free = [p for p in self.purifier.parameters() if p.requires_grad]
        self.peak_rate = stage.learning_rate
        has_terms = stage.name == "whole"
        self.cap_gan = cap_gan_terms(self.config, self.purifier.config.ngf, self.fabric) if has_terms else None
        if stage.optimizer == "adam":
            self.optimizer = torch.optim.Adam(free, stage.learning_rate)
        else:
            self.optimizer = torch.optim.SGD(free, stage.learning_rate, momentum=0.9, nesterov=True,
                                             weight_decay=self.config.weight_decay)  # fmt: skip

    @property
    def auxiliary(self) -> dict[str, nn.Module]:
        """The networks that the stage trains beside the purifier, by the names they have in checkpoints."""
        return {} if self.cap_gan is None else self.cap_gan.networks

    @property
    def optimizers(self) -> dict[str, Optimized]:
        """The purifier's optimizer and the auxiliary networks', by the names they have in checkpoints."""
        own = {"optimizer": Optimized(self.optimizer, self.peak_rate)}
        return own if self.cap_gan is None else own | self.cap_gan.optimizers

    def deployed(self, stage: StageName, purifier: Purifier) -> Callable[[Tensor], Tensor]:
        """Return what a stage makes robust, from images to class logits: the head alone, or f(T(.))."""
        if stage == "head":
            assert isinstance(purifier, RobustPurifier)
            return purifier.class_logits
        return lambda x_BCHW: self.victim(purifier(x_BCHW))

    def attacked(self, stage: StageName) -> Callable[[Tensor], Logits]:
        """Return what the training attack climbs: what is deployed, in the last stage with the decision behind it.

        Where the painter hides the gradient the head still gives one. The stage `painter`, whose head is frozen, is
        attacked where the painter can mend it.
        """
        purifier = self.purifier
        if stage != "whole" or not self.config.attacks_head or not isinstance(purifier, RobustPurifier):
            return self.deployed(stage, purifier)

        def both(x_BCHW: Tensor) -> Logits:
            decided = purifier.decide(x_BCHW)
            image_BCHW = purifier.paint(x_BCHW, decided.features_BCHW, decided.class_logits_BK)
            return self.victim(image_BCHW), decided.class_logits_BK

        return both

    def watched(self, stage: StageName, purifier: Purifier) -> list[Callable[[Tensor], Tensor]]:
        """Return the models whose gradients the watch attacks with: what is deployed, and the head behind it."""
        deployed = self.deployed(stage, purifier)
        has_head = stage != "head" and isinstance(purifier, RobustPurifier)
        return [deployed, self.deployed("head", purifier)] if has_head else [deployed]

    def step(
        self, stage: StageName, x_BCHW: Tensor, targets_BK: Tensor, steps: int, generator: torch.Generator, *,
        awp_gamma: float = 0.0,
    ) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
        """Attack, then update; return the losses, and which attacked images were labelled rightly.

        The stage `draw` attacks nothing: there it is which images the victim labels as they were drawn.
        With `awp_gamma` the update is by the gradient at perturbed weights; what is returned is of the weights proper.
        """
        self.purifier.eval()
        if stage == "draw":
            return self._draw(x_BCHW, targets_BK.shape[1], generator)
        with self.fabric.autocast():
            a_BCHW = craft(self.attacked(stage), x_BCHW, targets_BK, epsilon=self.config.epsilon, steps=steps,
                           generator=generator)  # fmt: skip
        taught_BK = self._taught(stage, x_BCHW)
        for module in self._trained(stage):
            module.train()
        losses, logits_BK = self._losses(stage, x_BCHW, a_BCHW, targets_BK, taught_BK)
        if awp_gamma:
            with perturbed(self.purifier, self._total(losses, ADVERSARIAL), awp_gamma, self.fabric):
                self._backward(self._losses(stage, x_BCHW, a_BCHW, targets_BK, taught_BK)[0])
        else:
            self._backward(losses)
        self._descend()
        return losses, logits_BK.argmax(1) == targets_BK.argmax(1)

    @torch.no_grad()
    def _taught(self, stage: StageName, x_BCHW: Tensor) -> Tensor | None:
        """Return the teacher's logits of the clean images, in the stages that are taught."""
        if self.teacher is None or stage not in ("head", "whole"):
            return None
        with self.fabric.autocast():
            return self.deployed(stage, self.teacher)(x_BCHW)

    def _losses(
        self, stage: StageName, x_BCHW: Tensor, a_BCHW: Tensor, targets_BK: Tensor, taught_BK: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return a stage's losses at the weights as they are, and the logits of the attacked images."""
        losses_of = {"head": self._head_losses, "painter": self._painter_losses, "whole": self._whole_losses}[stage]
        with self.fabric.autocast():  # a new one: autocast keeps casts of weights until it ends, and AWP moves them
            losses, logits_BK = losses_of(x_BCHW, a_BCHW, targets_BK)
        if taught_BK is not None:
            softened = LossWeights(temperature=self.config.teacher_temperature)
            losses["distilled"] = semantic_loss(taught_BK, logits_BK[None], softened)
        return losses, logits_BK

    def _draw(self, x_BCHW: Tensor, num_classes: int, generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Learn to paint any shares of the classes, whatever the image and the features are of."""
        spread_B1 = DRAWN_SPREAD * torch.rand(len(x_BCHW), 1, generator=generator)
        drawn_BK = (torch.randn(len(x_BCHW), num_classes, generator=generator) * spread_B1).to(x_BCHW)
        purifier, noisy_BCHW = self.purifier, noisy(x_BCHW, self.config.epsilon, generator)
        assert isinstance(purifier, RobustPurifier)
        features_BCHW = None
        if purifier.config.paints == "features":
            with torch.no_grad(), self.fabric.autocast():
                features_BCHW = purifier.decide(noisy_BCHW).features_BCHW
        purifier.painter.train()
        with self.fabric.autocast():
            logits_BK = self.victim(purifier.paint(noisy_BCHW, features_BCHW, drawn_BK)).float()
        losses = {"drawn": divergence(drawn_BK, logits_BK)}
        self._backward(losses)
        self._descend()
        return losses, logits_BK.argmax(1) == drawn_BK.argmax(1)

    def _head_losses(self, x_BCHW: Tensor, a_BCHW: Tensor, targets_BK: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        logits_BK = self.deployed("head", self.purifier)(a_BCHW)
        return {"attacked": F.cross_entropy(logits_BK, targets_BK)}, logits_BK

    def _painter_losses(self, x_BCHW: Tensor, a_BCHW: Tensor, targets_BK: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        purifier = self.purifier
        assert isinstance(purifier, RobustPurifier)
        with torch.no_grad():
            features_BCHW, head_BK, _, seen_a_BC = purifier.decide(a_BCHW)
        logits_BK = self.victim(purifier.paint(a_BCHW, features_BCHW, head_BK)).float()
        losses = {"attacked": F.cross_entropy(logits_BK, targets_BK), "head": divergence(head_BK, logits_BK)}
        if self.config.painter_learns_suspicion:
            with torch.no_grad():
                seen_x_BC = purifier.decide(x_BCHW).seen_BC
            losses["domain"] = domain_loss(*(purifier.domain_head(seen).float() for seen in (seen_a_BC, seen_x_BC)))
        return losses, logits_BK

    def _whole_losses(self, x_BCHW: Tensor, a_BCHW: Tensor, targets_BK: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        terms: dict[str, Tensor] = {}
        if self.cap_gan is None:
            out = self.purifier.translate(torch.cat([a_BCHW, x_BCHW]))
        else:
            out, terms = self.cap_gan.translate(self.purifier, a_BCHW, x_BCHW)
        logits_a_BK, logits_x_BK = self.victim(out.image_BCHW).float().chunk(2)
        with torch.no_grad():
            teacher_BK = self.victim(x_BCHW)
        losses = {
            "attacked": F.cross_entropy(logits_a_BK, targets_BK),
            "kl": divergence(logits_x_BK, logits_a_BK),
            "semantic": semantic_loss(teacher_BK, logits_x_BK[None], SEMANTIC),
            "l1": F.l1_loss(out.image_BCHW.chunk(2)[1], x_BCHW),
            "domain": domain_loss(*out.domain_logits_BJ.chunk(2)),
        }
        return losses | terms, logits_a_BK

    def _total(self, losses: dict[str, Tensor], names: Iterable[str]) -> Tensor:
        """Return the weighted sum of the losses that are named, of those that the stage has."""
        c = self.config
        weights = {"attacked": 1.0, "drawn": 1.0, "head": c.head_weight, "kl": c.beta, "semantic": c.semantic_weight,
                   "l1": c.l1_weight, "domain": c.domain_weight, "distilled": c.teacher_weight, "gan": c.gan_weight,
                   "cycle": c.cycle_weight, "d": 1.0}  # fmt: skip
        return torch.stack([weights[name] * losses[name] for name in names if name in losses]).sum()

    def _backward(self, losses: dict[str, Tensor]) -> None:
        for optimized in self.optimizers.values():
            optimized.optimizer.zero_grad()
        self.fabric.backward(self._total(losses, losses))

    def _descend(self) -> None:
        average_gradients(self.fabric, self.purifier, *self.auxiliary.values())
        if self.config.max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(self.purifier.parameters(), self.config.max_gradient_norm)
        for optimized in self.optimizers.values():
            optimized.optimizer.step()

    def _trained(self, stage: StageName) -> list[nn.Module]:
        if stage == "whole":
            return [self.purifier]
        purifier = self.purifier
        assert isinstance(purifier, RobustPurifier)
        if stage == "head":
            return [purifier.encoder, purifier.class_head]
        is_suspicion_learned = stage == "painter" and self.config.painter_learns_suspicion
        return [purifier.painter, purifier.domain_head] if is_suspicion_learned else [purifier.painter]


def divergence(teacher_BK: Tensor, student_BK: Tensor) -> Tensor:
    """Return KL(softmax(teacher) || softmax(student)), batch mean; the gradient flows into both."""
    return F.kl_div(F.log_softmax(student_BK, 1), F.log_softmax(teacher_BK, 1), reduction="batchmean", log_target=True)
