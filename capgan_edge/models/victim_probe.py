"""One run of a victim on noise: does it take these images, give logits [B, K], and judge each image on its own?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from capgan_edge.errors import CapganError, ConfigError

_MAX_PX = 8192


@torch.no_grad()
def num_classes_of(module: nn.Module, size_px: tuple[int, int], name: str) -> int:
    """Return K.

    Raises:
        ConfigError: the victim refuses images of this size, gives no finite float32 logits [B, K], or lets the images
            of a batch influence one another (a batch norm or a dropout that was left in training mode).
    """
    height, width = size_px
    if not all(1 <= size <= _MAX_PX for size in size_px):
        raise ConfigError(
            f"{name}: expected images of 1 to {_MAX_PX} px a side, got {height}x{width}; export it for such a size"
        )
    images_BCHW = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0))
    logits_BK = _run(module, images_BCHW, name)
    if not torch.isfinite(logits_BK).all():
        raise ConfigError(f"{name}: expected finite logits, got NaN or infinity on noise; check the victim's weights")
    alone_1K = _run(module, images_BCHW[1:2], name)
    scale = max(1.0, float(logits_BK.abs().max()))
    if float((alone_1K[0] - logits_BK[1]).abs().max()) > 1e-3 * scale:
        raise ConfigError(
            f"{name}: expected the same logits for an image alone and in a batch, got others; put the victim in eval "
            "mode before it is exported (batch norm and dropout)"
        )
    return int(logits_BK.shape[1])


def _run(module: nn.Module, images_BCHW: Tensor, name: str) -> Tensor:
    size = f"{images_BCHW.shape[2]}x{images_BCHW.shape[3]} px"
    try:
        logits_BK: Any = module(images_BCHW)
    except CapganError:
        raise
    except Exception as error:  # the user's own model
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
        raise ConfigError(
            f"{name}: expected a victim of float32 RGB images [B, 3, H, W] at {size}, but: {detail}; "
            "give the size that it was made for, or wrap it so that it takes such images"
        ) from error
    came = f"{logits_BK.dtype} {list(logits_BK.shape)}" if isinstance(logits_BK, Tensor) else type(logits_BK).__name__
    is_logits = isinstance(logits_BK, Tensor) and logits_BK.dtype == torch.float32
    if not is_logits or logits_BK.dim() != 2 or len(logits_BK) != len(images_BCHW) or logits_BK.shape[1] < 2:
        raise ConfigError(
            f"{name}: expected float32 logits [{len(images_BCHW)}, K] at {size}, got {came}; return the logits alone"
        )
    checked_BK: Tensor = logits_BK
    return checked_BK
