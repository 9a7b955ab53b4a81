"""What attacks raise, or lower: margins and logit ratios of each image. Shapes: B batch, K classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.errors import ConfigError


def cross_entropy(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    """Return each image's cross-entropy against its true label."""
    return F.cross_entropy(logits_BK, y_B, reduction="none")


def other_minus_true(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    """Return the largest logit of a wrong class minus the true one's: above zero exactly where the label is wrong."""
    true_B = logits_BK.gather(1, y_B[:, None]).squeeze(1)
    masked_BK = logits_BK.scatter(1, y_B[:, None], -torch.inf)
    return masked_BK.amax(1) - true_B


def target_minus_true(logits_BK: Tensor, y_B: Tensor, target_B: Tensor) -> Tensor:
    """Return the target's logit minus the true one's."""
    return (logits_BK.gather(1, target_B[:, None]) - logits_BK.gather(1, y_B[:, None])).squeeze(1)


def targeted_dlr(logits_BK: Tensor, y_B: Tensor, target_B: Tensor) -> Tensor:
    """Return the targeted difference-of-logits ratio (Croce & Hein 2020, eq. 7), which no scale of the logits changes.

    Raises:
        ConfigError: there are fewer than four classes, of which the ratio is made.
    """
    if logits_BK.shape[1] < 4:
        raise ConfigError(
            f"expected four classes or more for the targeted DLR loss, got {logits_BK.shape[1]}; use APGDCE, FABT and "
            "Square, which need two"
        )
    sorted_BK = logits_BK.sort(dim=1, descending=True).values
    spread_B = sorted_BK[:, 0] - (sorted_BK[:, 2] + sorted_BK[:, 3]) / 2
    return target_minus_true(logits_BK, y_B, target_B) / (spread_B + 1e-12)


def likeliest_others(logits_BK: Tensor, y_B: Tensor, num_targets: int) -> Tensor:
    """Return the wrong classes with the largest logits, largest first, [B, T] with T at most K - 1."""
    masked_BK = logits_BK.scatter(1, y_B[:, None], -torch.inf)
    return masked_BK.topk(min(num_targets, logits_BK.shape[1] - 1), dim=1).indices
