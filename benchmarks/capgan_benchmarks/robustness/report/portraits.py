"""What the pair in torch, or else the file alone, makes of chosen frames: purified, where it looked, what it says.

Shapes: R frames, B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from capgan_benchmarks.threats.artifact import Artifact
    from capgan_export.source import Source

_BATCH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Portraits:
    """Of R frames; None where that is not to be had."""

    purified_RHWC: NDArray[np.uint8] | None
    heat_RHW: NDArray[np.float32] | None
    """Sum over the channels of w_k E_k, at a quarter of the resolution."""
    suspicion_R: NDArray[np.float64]
    bare_RK: NDArray[np.float64] | None
    """The classifier's logits for the frames as they are."""
    behind_RK: NDArray[np.float64]
    """And for what the purifier makes of them, not rounded."""
    file: str | None = None
    """The artifact that said so; None for the pair in torch."""


def portraits_of(source: Source, frames_RHWC: NDArray[np.uint8]) -> Portraits:
    """Put frames through the pair as it is exported; the classifier has a torch module."""
    import torch

    from capgan_export.fused import inference_copy, inference_victim, rounded, scaled, suspicion

    assert source.victim.module is not None
    purifier, victim = inference_copy(source.purifier), inference_victim(source.victim.module)
    parts = []
    with torch.no_grad():
        for start in range(0, len(frames_RHWC), _BATCH):
            x_BCHW = scaled(torch.from_numpy(np.ascontiguousarray(frames_RHWC[start : start + _BATCH])))
            given = purifier.translate(x_BCHW.to(_device(purifier)))
            parts.append((
                rounded(given.image_BCHW), given.heat_map_BHW, suspicion(given.domain_logits_BJ),
                victim(x_BCHW.to(_device(victim))), victim(given.image_BCHW.to(_device(victim))),
            ))  # fmt: skip
    purified, heat, suspicious, bare, behind = (_joined(list(held)) for held in zip(*parts, strict=True))
    return Portraits(purified_RHWC=purified, heat_RHW=heat, suspicion_R=suspicious.astype(np.float64),
                     bare_RK=bare.astype(np.float64), behind_RK=behind.astype(np.float64))  # fmt: skip


def portraits_of_file(artifact: Artifact, frames_RHWC: NDArray[np.uint8]) -> Portraits:
    """Put frames through a file that ships, which gives what it was exported with."""
    given = [artifact.outputs_of(batch_NHWC) for batch_NHWC in artifact.batches(frames_RHWC)]
    purified = [each.purified_NHWC for each in given if each.purified_NHWC is not None]
    bare = [each.raw_logits_NK for each in given if each.raw_logits_NK is not None]
    return Portraits(
        purified_RHWC=np.concatenate(purified) if purified else None, heat_RHW=None,
        suspicion_R=np.concatenate([each.suspicion_N for each in given]).astype(np.float64),
        bare_RK=np.concatenate(bare).astype(np.float64) if bare else None,
        behind_RK=np.concatenate([each.logits_NK for each in given]).astype(np.float64), file=artifact.name,
    )  # fmt: skip


def said(logits_RK: NDArray[np.float64]) -> list[tuple[int, float]]:
    """Return of each frame the label and its softmax probability."""
    exp_RK = np.exp(logits_RK - logits_RK.max(axis=1, keepdims=True))
    share_RK = exp_RK / exp_RK.sum(axis=1, keepdims=True)
    return [(int(share_K.argmax()), float(share_K.max())) for share_K in share_RK]


def _device(module: nn.Module) -> str:
    first = next(module.parameters(), None)
    return "cpu" if first is None else str(first.device)


def _joined(parts: list[Tensor]) -> NDArray[Any]:
    return np.concatenate([part.cpu().numpy() for part in parts])
