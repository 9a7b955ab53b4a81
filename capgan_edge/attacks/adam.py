"""Adam for a batch of images of which some are left early (Kingma & Ba 2015)."""

from __future__ import annotations

import torch
from torch import Tensor

BETA1, BETA2, TINY = 0.9, 0.999, 1e-8


class Adam:
    """The moments of each image's own descent; torch's optimizer cannot drop rows."""

    def __init__(self, like_BCHW: Tensor, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._mean_BCHW, self._square_BCHW = torch.zeros_like(like_BCHW), torch.zeros_like(like_BCHW)
        self._num_steps = 0

    def step(self, gradient_BCHW: Tensor) -> Tensor:
        """Return the step along the gradient: add it to climb, subtract it to descend."""
        self._num_steps += 1
        self._mean_BCHW = BETA1 * self._mean_BCHW + (1 - BETA1) * gradient_BCHW
        self._square_BCHW = BETA2 * self._square_BCHW + (1 - BETA2) * gradient_BCHW**2
        mean_BCHW = self._mean_BCHW / (1 - BETA1**self._num_steps)
        square_BCHW = self._square_BCHW / (1 - BETA2**self._num_steps)
        return self._learning_rate * mean_BCHW / (square_BCHW.sqrt() + TINY)

    def narrow(self, still: Tensor) -> None:
        """Keep the rows `still`."""
        self._mean_BCHW, self._square_BCHW = self._mean_BCHW[still], self._square_BCHW[still]
