"""What TensorRT's ONNX parser could not take, a line an error: the node, what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capgan_edge.errors import ArtifactError

_NOISE = ("catchCudaError",)
_MOST = 8
"""Errors of one message: after so many, the rest is counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParserError:
    """One error, as TensorRT's parser gives it."""

    code: str
    """`UNSUPPORTED_NODE` and the like."""
    text: str
    node_name: str
    """Empty where it is of no node."""
    operator: str

    def __str__(self) -> str:
        lines = [line for line in self.text.splitlines() if not any(noise in line for noise in _NOISE)]
        said = " ".join(" ".join(lines).split())
        node = f"{self.operator} node {self.node_name or 'without a name'}" if self.operator else "the file"
        return f"{node}: {self.code}: {said} ({_hint(self)})"


def parser_refusal(origin: str, errors: Sequence[ParserError]) -> ArtifactError:
    """Return the error that tells them all."""
    told = " | ".join(str(error) for error in errors[:_MOST])
    more = f" | and {len(errors) - _MOST} more" if len(errors) > _MOST else ""
    noun = "error" if len(errors) == 1 else "errors"
    return ArtifactError(
        f"{origin}: expected a graph that TensorRT takes, got {len(errors)} parser {noun}: {told}{more}; "
        "export the graph again with capgan-edge export, or run it with ONNX Runtime (backend cpu or cuda)"
    )


def _hint(error: ParserError) -> str:
    text = error.text
    if not error.operator and "parse" in text.lower():
        return "corrupt, cut short, or no ONNX file: copy or export it again"
    if "UInt8" in text:
        return "TensorRT takes uint8 only into a Cast right after the input and out of one right before an output"
    if "must have same input types" in text or "must be of the same type" in text:
        return "strong typing casts nothing by itself: put a Cast before it, as capgan-edge's own FP16 pass does"
    if "Plugin not found" in text or error.code.startswith("UNSUPPORTED"):
        return (
            f"TensorRT has no {error.operator}: replace it in the model by operators that it has, at opset 20 or older"
        )
    return "TensorRT's own list of operators and opsets says what it takes"
