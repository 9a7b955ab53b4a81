"""The graph contract: the inputs and outputs that every fused graph has, checked once when it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An input or output of a graph: a free dimension is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dimensions = ", ".join("N" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype} [{dimensions}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphContract:
    """What a checked graph takes and gives."""

    size_px: tuple[int, int]
    """Height and width of a frame."""
    num_classes: int
    output_names: tuple[str, ...]

    def refuse_other_frames(self, frames_NHWC: NDArray[np.uint8], *, taker: str = "this graph") -> None:
        """Raise InputError unless these are uint8 frames of the graph's size; `taker` is what the error calls it."""
        height, width = self.size_px
        if frames_NHWC.dtype != np.uint8 or frames_NHWC.shape[1:] != (height, width, 3):
            raise InputError(
                f"{taker} takes uint8 frames [N, {height}, {width}, 3], got {frames_NHWC.dtype} "
                f"{list(frames_NHWC.shape)}; give them to Classifier, which resizes"
            )


def check_contract(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> GraphContract:
    """Return the contract of a graph.

    Raises:
        ArtifactError: the graph takes or gives something else, so that it is no graph of ours.
    """
    if [tensor.name for tensor in inputs] != ["frames"]:
        raise _broken("one input, frames uint8 [N, H, W, 3]", inputs)
    frames = inputs[0]
    if frames.dtype != "uint8" or len(frames.shape) != 4 or frames.shape[0] is not None or frames.shape[3] != 3:
        raise _broken("frames uint8 [N, H, W, 3] with N free", inputs)
    _, height, width, _ = frames.shape
    if not height or not width:
        raise _broken("frames of a fixed height and width", inputs)
    held = {tensor.name: tensor for tensor in outputs}
    if not {"logits", "suspicion"} <= held.keys():
        raise _broken("the outputs logits and suspicion", outputs)
    num_classes = held["logits"].shape[-1] if held["logits"].shape else None
    if not num_classes:
        raise _broken("logits [N, K] with K fixed", outputs)
    allowed = {
        "logits": ("float32", (None, num_classes)),
        "suspicion": ("float32", (None,)),
        "purified": ("uint8", (None, height, width, 3)),
        "raw_logits": ("float32", (None, num_classes)),
    }
    for tensor in outputs:
        if (tensor.dtype, tensor.shape) != allowed.get(tensor.name):
            expected = ", ".join(str(Tensor(name=name, dtype=d, shape=s)) for name, (d, s) in allowed.items())
            raise _broken(f"outputs among {expected}", [tensor])
    return GraphContract(size_px=(height, width), num_classes=num_classes, output_names=tuple(held))


def _broken(expected: str, came: Sequence[Tensor]) -> ArtifactError:
    got = "; ".join(str(tensor) for tensor in came) or "none"
    return ArtifactError(f"the graph: expected {expected}, got {got}; export it with capgan-edge export")
