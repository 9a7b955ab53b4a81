"""Cut a fused graph: the classifier alone, with the same input, and the two halves of the way through the purifier.

The cuts honour the graph contract, so that every runner takes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_edge.errors import ArtifactError

if TYPE_CHECKING:
    import onnx

_HEAD = ("Cast", "Transpose", "Div")
"""How every fused graph begins: uint8 NHWC to float NCHW in [0, 1]."""


def deployed(model_bytes: bytes) -> bytes:
    """Return the graph with `logits` and `suspicion` alone, as export writes it by default."""
    model = _parsed(model_bytes)
    return model_bytes if len(model.graph.output) == 2 else _cut(model, "frames", ["logits", "suspicion"])


def victim_alone(model_bytes: bytes) -> bytes:
    """Return the classifier on the frames as they come, with the weights of the fused graph.

    Its `suspicion`, which the contract asks for, is the least of the logits: it costs and says next to nothing.

    Raises:
        ArtifactError: the classifier cannot be told apart from the purifier.
    """
    from onnx import TensorProto, helper

    model = _parsed(model_bytes)
    logits = "raw_logits"
    if logits not in {output.name for output in model.graph.output}:
        logits = "logits"
        entry, head = purified_image(model), _scaled_frames(model)
        for node in model.graph.node:
            if _is_victim(node):
                node.input[:] = [head if name == entry else name for name in node.input]
    alone = _parsed(_cut(model, "frames", [logits]))
    for node in alone.graph.node:
        node.input[:] = ["victim_logits" if name == logits else name for name in node.input]
        node.output[:] = ["victim_logits" if name == logits else name for name in node.output]
    axes = helper.make_tensor("victim_axes", TensorProto.INT64, [1], [1])
    alone.graph.initializer.append(axes)
    alone.graph.node.append(helper.make_node("Identity", ["victim_logits"], ["logits"], name="graph/Identity"))
    least = helper.make_node("ReduceMin", ["victim_logits", "victim_axes"], ["suspicion"], name="graph/ReduceMin",
                             keepdims=0)  # fmt: skip
    alone.graph.node.append(least)
    num_classes = alone.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del alone.graph.output[:]
    alone.graph.output.extend([
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", num_classes]),
        helper.make_tensor_value_info("suspicion", TensorProto.FLOAT, ["N"]),
    ])  # fmt: skip
    return _checked(alone)


def two_halves(model_bytes: bytes) -> tuple[bytes, bytes, str]:
    """Return the purifier's graph, the classifier's, and the name of the image that the first hands the second."""
    image = purified_image(_parsed(model_bytes))
    return (_cut(_parsed(model_bytes), "frames", [image, "suspicion"]),
            _cut(_parsed(model_bytes), image, ["logits"]), image)  # fmt: skip


def purified_image(model: onnx.ModelProto) -> str:
    """Return the value that the classifier reads on the way to `logits`.

    Raises:
        ArtifactError: there is not exactly one.
    """
    maker = {name: node for node in model.graph.node for name in node.output}
    waiting, seen, entries = ["logits"], set[str](), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in maker:
            continue
        seen.add(name)
        if _is_victim(maker[name]) or not any(map(_is_victim, maker.values())) or _is_weight(maker[name], maker):
            waiting += maker[name].input
        else:
            entries.add(name)
    if len(entries) != 1:
        raise ArtifactError(
            f"expected a fused graph whose classifier reads one image, got one that reads {len(entries)}; "
            "export the bundle again with --with-raw-logits"
        )
    return entries.pop()


def _is_victim(node: onnx.NodeProto) -> bool:
    return node.name.startswith(("victim/", "victim."))


def _is_weight(node: onnx.NodeProto, maker: dict[str, onnx.NodeProto]) -> bool:
    """Return whether a node reads nothing that depends on the frames, as a weight's DequantizeLinear."""
    return all(name not in maker and name != "frames" for name in node.input)


def _scaled_frames(model: onnx.ModelProto) -> str:
    name = "frames"
    for op in _HEAD:
        readers = [node for node in model.graph.node if node.input[:1] == [name] and node.op_type == op]
        if len(readers) != 1:
            raise ArtifactError(
                f"expected a fused graph that begins with {', '.join(_HEAD)}, got {len(readers)} {op} after {name!r}; "
                "export the bundle again with --with-raw-logits"
            )
        name = readers[0].output[0]
    return name


def _parsed(model_bytes: bytes) -> onnx.ModelProto:
    import onnx

    return onnx.load_model_from_string(model_bytes)


def _cut(model: onnx.ModelProto, source: str, outputs: list[str]) -> bytes:
    import onnx
    import onnx.utils

    inferred = onnx.shape_inference.infer_shapes(model)
    return _checked(onnx.utils.Extractor(inferred).extract_model([source], outputs))


def _checked(model: onnx.ModelProto) -> bytes:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx's errors share no base class
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"expected a part of the fused graph that is a graph in itself, but: {detail}; "
            "export the bundle again with --with-raw-logits"
        ) from error
    data: bytes = model.SerializeToString(deterministic=True)
    return data
