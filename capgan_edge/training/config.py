"""How to train a purifier: what the runs of all methods have, and CAP-GAN's own settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from capgan_edge.errors import ConfigError
from capgan_edge.models.attention import AttentionName
from capgan_edge.training.losses import LossWeights
from capgan_edge.training.schedule import ScheduleName, check_schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class PurifierRunConfig:
    """The settings that every method has, so that two runs differ in their method alone.

    The defaults are Section IV-A of the paper.
    """

    epochs: int = 200
    """All epochs, those of a warm-up included."""
    batch_size: int = 128
    learning_rate: float = 1e-4
    """Peak rate of Adam, for the purifiers."""
    schedule: ScheduleName = "cosine"
    max_gradient_norm: float | None = None
    """Clip the gradient of each network to this L2 norm; None does not clip."""
    epsilon: float = 8 / 255
    """Of the FGSM images that make up the adversarial domain, in [0, 1]."""
    smallest_epsilon: float | None = None
    """Each FGSM image has a size of its own, uniform in [smallest_epsilon, epsilon]; None: all have epsilon, as in the
    paper.

    A purifier of one size need not undo a smaller perturbation, which lies within every budget of the larger.
    """
    is_mirrored: bool = True
    """Mirror half of the images; False where left and right mean different things (road signs)."""
    num_held_out: int = 1000
    """Training images kept back; the first `num_watched` are attacked and watched."""
    num_watched: int = 500
    figure_every: int = 1
    """Epochs between figures."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ConfigError(f"expected epochs >= 1 and batch_size >= 2, got {self.epochs} and {self.batch_size}")
        if not 1 <= self.num_watched <= self.num_held_out:
            raise ConfigError(f"expected num_watched in [1, {self.num_held_out}], got {self.num_watched}")
        check_schedule(self.schedule)
        check_rate("learning_rate", self.learning_rate)
        if self.max_gradient_norm is not None and not self.max_gradient_norm > 0:
            raise ConfigError(f"expected max_gradient_norm > 0, or None, got {self.max_gradient_norm}")
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"expected epsilon in [0, 1] (8/255 is {8 / 255:.4f}), got {self.epsilon}")
        if self.smallest_epsilon is not None and not 0 <= self.smallest_epsilon <= self.epsilon:
            raise ConfigError(
                f"expected smallest_epsilon in [0, {self.epsilon:.4f}], the epsilon, got {self.smallest_epsilon}"
            )
        if self.figure_every < 1 or self.seed < 0:
            raise ConfigError(f"expected figure_every >= 1 and seed >= 0, got {self.figure_every} and {self.seed}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CapGanConfig(PurifierRunConfig):
    """CAP-GAN's loop; the defaults are Section IV-A of the paper, with every term of its loss.

    The rows of Table VI leave terms out: pixel losses only has neither CAM nor semantic loss.
    """

    semantic_epochs: int = 0
    """First epochs that train T_AC alone: semantic, CAM and L1 losses on A2C and C2C, without cycle and GAN.

    Of these, too, only the terms that are on. Not in the paper: a small purifier learns to purify in a fifth of the
    time, and the cycle then starts from it.
    """
    discriminator_learning_rate: float = 1e-4
    """Peak rate of Adam, for the discriminators."""
    weights: LossWeights = field(default_factory=LossWeights)
    has_cam: bool = True
    """Whether L_cam is part of the loss, of the translators and of the discriminators."""
    has_semantic: bool = True
    """Whether L_sem is part of the loss."""
    has_cycle: bool = True
    """False leaves out all that passes through T_CA: L_cyc, and the semantic loss on C2A2C and A2C2A."""
    ndf: int = 64
    """Channels of the discriminators' first convolution."""
    discriminator_attention: AttentionName = "gap"

    def __post_init__(self) -> None:
        PurifierRunConfig.__post_init__(self)
        if not 0 <= self.semantic_epochs <= self.epochs:
            raise ConfigError(f"expected semantic_epochs in [0, {self.epochs}], got {self.semantic_epochs}")
        check_rate("discriminator_learning_rate", self.discriminator_learning_rate)
        if self.ndf < 1:
            raise ConfigError(f"expected ndf >= 1, got {self.ndf}")


def check_rate(name: str, rate: float) -> None:
    """Raise ConfigError unless a learning rate is above 0 and finite."""
    if not 0 < rate < math.inf:
        raise ConfigError(f"expected {name} above 0, got {rate}")
