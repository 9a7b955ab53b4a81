"""Backward pass differentiable approximation: a purifier whose gradient is taken to be the identity's.

Athalye et al. 2018. The paper's BPDA-I-40 is `PGD(steps=40)` on `IdentityBackward(purifier, victim)`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from capgan_edge.attacks.base import Model


class IdentityBackward:
    """f(T(.)) forward and f's own gradient backward; `purify` needs no gradient: JPEG, quantisation, an ONNX file."""

    def __init__(self, purify: Model, classify: Model) -> None:
        self.purify, self.classify = purify, classify

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        with torch.no_grad():
            purified_BCHW = self.purify(x_BCHW.detach())
        # Not x + (T(x) - x).detach(): the sum would round, and the forward pass would no longer be T's bit for bit.
        return self.classify(_WithGradientOf.apply(purified_BCHW, x_BCHW))  # type: ignore[no-untyped-call]


class _WithGradientOf(torch.autograd.Function):
    """The first tensor forward, the second's gradient backward."""

    @staticmethod
    def forward(ctx: object, value_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
        return value_BCHW.view_as(value_BCHW)

    @staticmethod
    def backward(ctx: object, gradient_BCHW: Tensor) -> tuple[None, Tensor]:
        return None, gradient_BCHW
