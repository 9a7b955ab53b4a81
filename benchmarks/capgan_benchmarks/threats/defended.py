"""A torch classifier behind a defence: what the scenarios without an artifact attack and score.

Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks.base import Model
    from capgan_export.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Defended:
    """f(T(.)): torch models in eval mode with frozen parameters, float32 RGB [B, C, H, W] in [0, 1]."""

    name: str
    """What figures call it."""
    purify: Model
    """T: from images to images of the same shape; `unchanged` for a bare classifier."""
    classify: Model
    """f: from images to logits."""
    device: str = "cpu"
    """Where both are."""

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        return self.classify(self.purify(x_BCHW))


def unchanged(x_BCHW: Tensor) -> Tensor:
    """Return the images as they are: no defence."""
    return x_BCHW


def defended_from_source(source: Source) -> Defended:
    """Return the pair as it is exported, batch norms folded.

    Raises:
        ConfigError: the classifier is an ONNX file that does not convert to torch, so that it has no gradients.
    """
    from capgan_export.fused import inference_copy, inference_victim

    if source.victim.module is None:
        raise ConfigError(
            f"{source.name}: expected a classifier in torch for this threat model, got an ONNX file that does not "
            "convert; use artifact-query, which needs the artifact's outputs alone"
        )
    return Defended(name=source.name, purify=inference_copy(source.purifier),
                    classify=inference_victim(source.victim.module))  # fmt: skip
