"""A model that counts, image by image, how often an attack asks for its outputs and for its gradients.

Shapes: N images of the whole batch, B of the part at hand, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.attacks.losses import cross_entropy
from capgan_edge.errors import ConfigError, DataError, InputError

Model = Callable[[Tensor], Tensor]
"""From float32 RGB in [0, 1], [B, 3, H, W], to logits [B, K]; in eval mode, parameters frozen."""
Loss = Callable[[Tensor], Tensor]
"""From logits [B, K] to what an attack raises, [B]."""


class Evaluated(NamedTuple):
    """A model's answer with the gradient of a loss; nothing in it requires grad."""

    gradient_BCHW: Tensor
    loss_B: Tensor
    logits_BK: Tensor


class CountedModel:
    """One query is one image put through the model; one gradient is one image taken back through it (and one query).

    `at` narrows it to some of the images and `averaged` makes every answer a mean over draws of a random defence; both
    go on counting for the same batch.
    """

    def __init__(self, model: Model, y_N: Tensor) -> None:
        self._model = model
        self._labels_N = y_N
        self._rows_B = torch.arange(len(y_N), device=y_N.device)
        self._samples = 1
        self._num_classes: list[int] = []  # shared with every narrowed model: the labels are checked once
        self.queries_N = torch.zeros_like(y_N)
        self.gradients_N = torch.zeros_like(y_N)

    def at(self, rows_B: Tensor) -> CountedModel:
        """Return this model for the images at `rows_B` of those it is for; a row may come several times."""
        narrowed = copy.copy(self)
        narrowed._rows_B = self._rows_B[rows_B]
        return narrowed

    def uncounted(self) -> CountedModel:
        """Return this model as a judge asks it: what it asks is not counted here."""
        judge = copy.copy(self)
        judge.queries_N, judge.gradients_N = torch.zeros_like(self.queries_N), torch.zeros_like(self.gradients_N)
        return judge

    def averaged(self, samples: int) -> CountedModel:
        """Return this model with each answer the mean of `samples`; every one of them is counted."""
        twin = copy.copy(self)
        twin._samples = self._samples * samples
        return twin

    @torch.no_grad()
    def logits(self, x_BCHW: Tensor) -> Tensor:
        """Return float32 logits [B, K]."""
        self._count(self.queries_N)
        return torch.stack([self._checked(self._ask(x_BCHW)) for _ in range(self._samples)]).mean(0)

    def gradient(self, x_BCHW: Tensor, loss: Loss) -> Evaluated:
        """Return the gradient of each image's own loss, the losses, and the logits they were taken at.

        Raises:
            ConfigError: the model's logits do not depend on the images through torch.
        """
        self._count(self.queries_N)
        self._count(self.gradients_N)
        found = [self._gradient_once(x_BCHW, loss) for _ in range(self._samples)]
        if len(found) == 1:
            return found[0]
        return Evaluated(*(torch.stack(part).mean(0) for part in zip(*found, strict=True)))

    def cross_entropy_gradient(self, x_BCHW: Tensor, y_B: Tensor) -> Tensor:
        """Return the gradient of the summed cross-entropy by the input."""
        return self.gradient(x_BCHW, partial(cross_entropy, y_B=y_B)).gradient_BCHW

    def _gradient_once(self, x_BCHW: Tensor, loss: Loss) -> Evaluated:
        with torch.enable_grad():
            x_BCHW = x_BCHW.detach().requires_grad_()
            logits_BK = self._checked(self._ask(x_BCHW))
            loss_B = loss(logits_BK)
            needs_grad = loss_B.requires_grad
            gradient_BCHW = torch.autograd.grad(loss_B.sum(), x_BCHW, allow_unused=True)[0] if needs_grad else None
        if gradient_BCHW is None:
            raise ConfigError(
                "expected a torch model for an attack that needs gradients, but the logits do not depend on the "
                "images through torch (an ONNX file, or a model that detaches); use SPSA or Square, which need "
                "outputs alone, or attack a torch twin"
            )
        if bool(gradient_BCHW.isnan().any()):
            raise ConfigError(
                "expected gradients that are numbers, but the model's are NaN for some images; look for a square root "
                "or a division at zero in it, or use SPSA or Square, which need outputs alone"
            )
        return Evaluated(gradient_BCHW, loss_B.detach(), logits_BK.detach())

    def _ask(self, x_BCHW: Tensor) -> Tensor:
        try:
            return self._model(x_BCHW)
        except (torch.OutOfMemoryError, NotImplementedError):
            raise
        except RuntimeError as error:
            if self._num_classes:
                raise  # it took the first images, so that it is not their shape
            raise InputError(
                f"expected images [B, C, H, W] that the model takes, got {list(x_BCHW.shape)}, and it says: {error}; "
                "scale them to its size, in RGB"
            ) from error

    def _checked(self, logits_BK: Tensor) -> Tensor:
        if logits_BK.ndim != 2 or len(logits_BK) != len(self._rows_B):
            raise ConfigError(
                f"expected a model that gives logits [{len(self._rows_B)}, classes] for as many images, got "
                f"{list(logits_BK.shape)}; wrap it so that it returns the logits alone"
            )
        if bool(logits_BK.isnan().any()):
            raise ConfigError(
                "expected logits that are numbers, but the model's are NaN for some images; NaN would count as fooled, "
                "so mend the model first"
            )
        if not self._num_classes:
            largest, num_classes = int(self._labels_N.max()), logits_BK.shape[1]
            if largest >= num_classes:
                raise DataError(
                    f"expected labels below {num_classes}, the number of the model's classes, got {largest}; attack "
                    "the model that these labels are for"
                )
            self._num_classes.append(num_classes)
        return logits_BK.float()

    def _count(self, counts_N: Tensor) -> None:
        counts_N.index_add_(0, self._rows_B, torch.full_like(self._rows_B, self._samples))


def cross_entropy_gradient(model: Model, x_BCHW: Tensor, y_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of the summed cross-entropy by the input, and the logits it was taken at."""
    with torch.enable_grad():
        x_BCHW = x_BCHW.detach().requires_grad_()
        logits_BK = model(x_BCHW)
        loss = F.cross_entropy(logits_BK.float(), y_B, reduction="sum")
        (gradient_BCHW,) = torch.autograd.grad(loss, x_BCHW)
    return gradient_BCHW, logits_BK.detach()
