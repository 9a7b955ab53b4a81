"""Which nodes stay in FP32: one case a reason, and what is told to people."""

from __future__ import annotations

from typing import NamedTuple

import onnx
import pytest
from written_graph import small_graph

from capgan_export.precision.fp16 import fp16_from_fp32
from capgan_export.precision.kept import (
    A_NORM,
    A_SCORE,
    A_SUM,
    BETWEEN,
    IN_A_NORM,
    ON_PIXELS,
    UNSUPPORTED,
    WIDE,
    KeptNode,
    described,
)


class Case(NamedTuple):
    name: str
    body: str
    weights: str
    reason: str | None
    """Why the node that makes `p` stays in FP32; None where it does not."""
    name_of_p: str = "p"


VECTOR = "float[4] s = {1, 1, 1, 1}, float[4] b = {0, 0, 0, 0}"
CASES = [
    Case("an instance norm, by op", "p = InstanceNormalization (x, s, b)", VECTOR, A_NORM),
    Case("a layer norm, by op", "s3 = Slice (s, o, e)\n p = LayerNormalization (x, s3)",
         VECTOR + ", int64[1] o = {0}, int64[1] e = {3}", A_NORM),
    Case("a multiplication in a norm, by name", "p = Mul (x, k)", "float k = {0.5}", IN_A_NORM,
         "purifier.decoder_blocks.3.norm1/Mul_2"),
    Case("the same in an ONNX victim", "p = Mul (x, k)", "float k = {0.5}", IN_A_NORM, "victim//stem/LayerNorm/Mul"),
    Case("a multiplication elsewhere", "p = Mul (x, k)", "float k = {0.5}", None, "purifier.normal/conv/Mul"),
    Case("a mean", "p = ReduceMean (x, a)", "int64[1] a = {2}", A_SUM),
    Case("a square root", "p = Sqrt (x)", "", WIDE),
    Case("the root's scaling of pixels", "p = Div (x, k)", "float k = {255}", ON_PIXELS, "graph/Div_2"),
    Case("the victim's scaling of pixels", "p = Sub (x, k)", "float k = {0.5}", ON_PIXELS, "victim/Sub"),
    Case("the root's concatenation of features", "p = Concat <axis = 1> (x, x)", "", None, "graph/Concat"),
    Case("what the converter does not take", "p = Max (x, k)", "float k = {1}", UNSUPPORTED),
    Case("a convolution's companion", "p = Relu (x)", "", None),
]  # fmt: skip


def kept_of(body: str, weights: str, name_of_p: str = "p") -> dict[str, str]:
    model = onnx.load_model_from_string(small_graph(body, weights))
    next(node for node in model.graph.node if "p" in node.output).name = name_of_p
    return {node.name: node.reason for node in fp16_from_fp32(model.SerializeToString()).kept}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_node_stays_for_its_op_or_its_name(case: Case) -> None:
    kept = kept_of(f"h = Relu (x)\n {case.body}\n".replace("(x", "(h").replace("Relu (h)", "Relu (x)"), case.weights,
                   case.name_of_p)  # fmt: skip
    assert kept.get(case.name_of_p) == case.reason
    assert "h" not in kept


def test_what_makes_a_score_stays() -> None:
    kept = kept_of("p = Relu (x)", "")
    assert kept["suspicion"] == A_SCORE
    assert kept["logits"] == A_SUM, "the first reason counts"


def test_a_node_between_nodes_that_stay_does_too_but_none_at_their_edge() -> None:
    kept = kept_of("h = Relu (x)\n r = Sqrt (h)\n m = Relu (r)\n e = Sqrt (m)\n f = Neg (e)\n p = Mul (f, h)\n", "")
    assert kept["m"] == BETWEEN
    assert not {"h", "f", "p"} & kept.keys()


def test_nodes_without_floats_are_not_spoken_of() -> None:
    kept = kept_of("shape = Shape (x)\n total = ReduceSum <keepdims = 0> (shape)\n p = Relu (x)\n", "")
    assert "total" not in kept


def test_people_read_a_line_a_reason_with_counts() -> None:
    kept = [KeptNode(name=str(n), op=op, reason=reason)
            for n, (op, reason) in enumerate([("Mul", "b"), ("Add", "a"), ("Mul", "a"), ("Mul", "a")])]  # fmt: skip
    assert described(kept) == ["3 (2 Mul, 1 Add): a", "1 (1 Mul): b"]
