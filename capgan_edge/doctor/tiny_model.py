"""An ONNX graph of three nodes as bytes: an edge device has no onnx to make one with.

frames uint8 [N] -> Cast to float32 -> Mul with itself -> ReduceMax -> y. The test of this file makes it again with onnx
and holds the bytes to that; opset 17 and IR 8 are old enough for every ONNX Runtime that capgan-edge takes.
"""

from __future__ import annotations

FRAMES, RESULT = (0, 3, 16, 7), 256.0
"""An input, and what the graph makes of it."""
TINY_MODEL = bytes.fromhex(
    "08083a7c0a1c0a066672616d65731201612204436173742a090a02746f1801a001020a0e0a01610a016112016222034d756c"
    "0a220a016212017922095265647563654d61782a0f0a086b65657064696d731800a00102120474696e795a150a066672616d"
    "6573120b0a09080212050a0312014e620b0a017912060a040801120042040a001011"
)
