"""How to train a purifier end to end before a frozen victim (mode `robust`)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from capgan_edge.errors import ConfigError
from capgan_edge.training.config import check_rate
from capgan_edge.training.schedule import ScheduleName, check_schedule

MAX_NDF = 256
"""Beyond that one discriminator is hundreds of MiB, which a checkpoint's settings alone must not ask for."""
InitName = Literal["head", "identity", "run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RobustConfig:
    """The loop's settings: four stages, each a schedule of its own; a stage of 0 epochs is left out."""

    init: InitName = "head"
    """`head` trains a class head first, then paints from it; `identity` starts the last stage from the identity; `run`
    starts from the weights of another purifier's run: of this mode in any stage, so that it may be trained further; of
    CAP-GAN's, or of a plain one without cycle and GAN, in the last."""
    head_epochs: int = 36
    """Encoder and class head alone, adversarially: the cheapest place to become robust."""
    head_small_crop_epochs: int = 28
    """The first of them on crops of `small_crop_px`, at half the cost; `--set head_epochs` alone keeps the share."""
    draw_epochs: int = 1
    """The painter learns to draw any shares of the classes, on noisy images; encoder and head frozen, no attack."""
    painter_epochs: int = 2
    """The painter end to end before the frozen victim, encoder and head frozen."""
    whole_epochs: int = 2
    """Everything end to end."""
    batch_size: int = 128
    small_crop_px: int = 24
    learning_rate: float = 0.2
    """Peak rate of SGD with Nesterov momentum 0.9, for encoder and head."""
    draw_learning_rate: float = 5e-3
    """Peak rate of Adam."""
    painter_learning_rate: float = 2e-3
    """Peak rate of Adam."""
    whole_learning_rate: float = 0.02
    """Peak rate of SGD with Nesterov momentum 0.9."""
    schedule: ScheduleName = "one-cycle"
    """Of each stage."""
    weight_decay: float = 5e-4
    max_gradient_norm: float | None = 1.0
    """Clip the gradient to this L2 norm; None does not clip."""
    attack: str = "n-fgsm"
    """What crafts the training images: `n-fgsm`, or `pgd-K` with K steps."""
    epsilon: float = 8 / 255
    """Of the attacks, in [0, 1]."""
    attacks_head: bool = True
    """Whether the training attack of the stage `whole` climbs the class head's cross-entropy together with f(T(.))'s,
    where there is a head. Who holds T climbs the decision itself, however well the painter hides its gradient."""
    beta: float = 1.0
    """Weight of KL(f(T(x)) || f(T(a))) in the last stage."""
    semantic_weight: float = 0.05
    """Weight of the semantic loss of f(T(x)) towards f(x) in the last stage."""
    l1_weight: float = 0.05
    """Weight of L1(T(x), x) in the last stage; a painter of the decision alone cannot follow it."""
    domain_weight: float = 1.0
    """Weight of the domain loss (attacked against clean), from which the suspicion is learned."""
    painter_learns_suspicion: bool = True
    """Whether the suspicion is learned in the stage `painter` as well, so that a run that ends there has one."""
    head_weight: float = 1.0
    """Weight of KL(head(a) || f(T(a))) while the painter is trained."""
    label_smoothing: float = 0.0
    """Share of a label that is spread evenly over all classes."""
    has_cutmix: bool = False
    """Replace a box of each image by another image's and mix the labels (Yun et al. 2019), before the attack."""
    awp_gamma: float = 0.0
    """Adversarial weight perturbation (Wu et al. 2020) in the stages `head` and `whole`: the gradient is taken where
    each layer is moved by this share of its norm up the adversarial loss. 0 is without; the authors take 0.005 to 0.01.
    A step has one pass forward and one back more."""
    awp_warmup_epochs: int = 0
    """First epochs of each of these stages without it."""
    teacher: str = ""
    """Another finished run of this mode, of a wider preset before the same victim: what its head says (in the stage
    `head`), or f(T(.)) of its purifier (in `whole`), of the clean image is asked of the attacked one."""
    teacher_weight: float = 1.0
    """Weight of T^2 KL(softmax(teacher(x) / T) || softmax(student(a) / T)), where there is a teacher (ARD, Goldblum et
    al. 2020; RSLAD, Zi et al. 2021); beside it the labels keep their weight of 1."""
    teacher_temperature: float = 1.0
    """T above; 1 is RSLAD's."""
    gan_weight: float = 0.0
    """Weight of CAP-GAN's GAN (LSGAN) in the last stage: T(a) is to pass for clean before a discriminator that learns
    beside T, and where there is a cycle T_CA(x) for attacked before another. 0 is without."""
    cycle_weight: float = 0.0
    """Weight of CAP-GAN's cycle L1(T_CA(T(a)), a) + L1(T(T_CA(x)), x) in the last stage, with an inverse T_CA that
    learns beside T. 0 is without."""
    inverse_learning_rate: float = 2e-3
    """Peak rate of Adam, for T_CA."""
    discriminator_learning_rate: float = 1e-4
    """Peak rate of Adam, for the discriminators."""
    ndf: int = 16
    """Channels of the discriminators' first convolution."""
    ema_decay: float = 0.998
    """Of the average of the weights that is watched and shipped, a step; 0 ships the weights themselves."""
    collapse_points: float = 8.0
    """Catastrophic overfitting: PGD-10 this many points below the stage's best while accuracy on the training attack
    rose. The stage goes back to its best epoch, and the attack gets one step more."""
    is_mirrored: bool = True
    """Mirror half of the images; False where left and right mean different things (road signs)."""
    num_held_out: int = 1000
    """Training images kept back; the first `num_watched` are attacked by PGD-10 after every epoch."""
    num_watched: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        _check_stages(self)
        _check_rates(self)
        attack_steps(self.attack)
        check_schedule(self.schedule)
        if not 0 <= self.epsilon <= 1:
            raise ConfigError(f"expected epsilon in [0, 1] (8/255 is {8 / 255:.4f}), got {self.epsilon}")
        for name in ("beta", "semantic_weight", "l1_weight", "domain_weight", "head_weight", "teacher_weight",
                     "gan_weight", "cycle_weight"):  # fmt: skip
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"expected {name} of 0 or more, got {getattr(self, name)}")
        if not 0 <= self.label_smoothing < 1 or not 0 <= self.ema_decay < 1 or not self.collapse_points > 0:
            raise ConfigError(
                "expected label_smoothing and ema_decay in [0, 1) and collapse_points > 0, got "
                f"{self.label_smoothing}, {self.ema_decay} and {self.collapse_points}"
            )
        _check_strengthening(self)
        _check_cap_gan(self)
        if not 1 <= self.num_watched <= self.num_held_out or self.seed < 0:
            raise ConfigError(
                f"expected num_watched in [1, {self.num_held_out}] and seed >= 0, got {self.num_watched} and "
                f"{self.seed}"
            )

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return self.epochs_with_class_head + self.whole_epochs

    @property
    def epochs_with_class_head(self) -> int:
        """Epochs of the stages that only a purifier with a class head has."""
        return self.head_epochs + self.draw_epochs + self.painter_epochs


def attack_steps(name: str) -> int:
    """Return the steps of a training attack by name; `n-fgsm` has 0, since its one step starts outside the ball."""
    found = re.fullmatch(r"n-fgsm|pgd-([1-9]\d?)", name)
    if found is None:
        raise ConfigError(f"expected an attack among n-fgsm and pgd-1 to pgd-99, got {name!r}; name one of these")
    return int(found[1] or 0)


def _check_stages(c: RobustConfig) -> None:
    stages = (c.head_epochs, c.draw_epochs, c.painter_epochs, c.whole_epochs)
    if min(stages) < 0 or c.epochs < 1 or c.batch_size < 2:
        raise ConfigError(f"expected stages of 0 epochs or more, at least one in all, and batch_size >= 2, got {stages}"
                          f" and {c.batch_size}")  # fmt: skip
    if not 0 <= c.head_small_crop_epochs <= c.head_epochs or c.small_crop_px < 4 or c.small_crop_px % 4:
        raise ConfigError(
            f"expected head_small_crop_epochs in [0, {c.head_epochs}] and small_crop_px a multiple of 4, got "
            f"{c.head_small_crop_epochs} and {c.small_crop_px}"
        )
    if c.init not in get_args(InitName):
        raise ConfigError(f"expected init among {', '.join(get_args(InitName))}, got {c.init!r}; name one of these")
    if c.init == "identity" and any(stages[:-1]):
        raise ConfigError(
            "expected head_epochs, draw_epochs and painter_epochs of 0 with init 'identity', which has only the last "
            f"stage, got {stages[:-1]}"
        )


def _check_rates(c: RobustConfig) -> None:
    rates = (c.learning_rate, c.draw_learning_rate, c.painter_learning_rate, c.whole_learning_rate)
    if not all(0 < rate < math.inf for rate in rates) or not 0 <= c.weight_decay < math.inf:
        raise ConfigError(f"expected learning rates above 0 and weight_decay of 0 or more, got {rates} and "
                          f"{c.weight_decay}")  # fmt: skip
    if c.max_gradient_norm is not None and not c.max_gradient_norm > 0:
        raise ConfigError(f"expected max_gradient_norm > 0, or None, got {c.max_gradient_norm}")


def _check_strengthening(c: RobustConfig) -> None:
    if not 0 <= c.awp_gamma < 1 or c.awp_warmup_epochs < 0:
        raise ConfigError(
            "expected awp_gamma, a share of each layer's norm, in [0, 1) and awp_warmup_epochs of 0 or more, got "
            f"{c.awp_gamma} and {c.awp_warmup_epochs}; the authors take 0.005 to 0.01"
        )
    if not 0 < c.teacher_temperature < math.inf:
        raise ConfigError(f"expected teacher_temperature above 0, got {c.teacher_temperature}; RSLAD's is 1, ARD's 30")
    wanted = f"awp_gamma {c.awp_gamma}" if c.awp_gamma else "a teacher" if c.teacher else ""
    if wanted and not (c.head_epochs or c.whole_epochs):
        raise ConfigError(
            f"expected head_epochs or whole_epochs of 1 or more with {wanted}, got 0 of both: no other stage has it; "
            "leave it out"
        )


def _check_cap_gan(c: RobustConfig) -> None:
    check_rate("inverse_learning_rate", c.inverse_learning_rate)
    check_rate("discriminator_learning_rate", c.discriminator_learning_rate)
    if not 1 <= c.ndf <= MAX_NDF:
        raise ConfigError(f"expected ndf in [1, {MAX_NDF}], got {c.ndf}; the paper's is 64")
    wanted = [f"{name} {getattr(c, name)}" for name in ("gan_weight", "cycle_weight") if getattr(c, name)]
    if wanted and not c.whole_epochs:
        raise ConfigError(
            f"expected whole_epochs of 1 or more with {' and '.join(wanted)}, got 0: no other stage has "
            "it; leave it out"
        )
