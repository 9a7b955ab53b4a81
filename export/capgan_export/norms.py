"""What the exporter must have made of the norms: batch norms folded away, instance norms as one node each.

A regression of an exporter here costs speed (a batch norm that stays) or truth (an instance norm that became a batch
norm in training mode), and neither shows in a graph that merely runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_edge.errors import ArtifactError

if TYPE_CHECKING:
    import onnx

    from capgan_edge.models.purifier import Purifier

_PURIFIER = "purifier."


def check_norms(model: onnx.ModelProto, purifier: Purifier) -> None:
    """Raise ArtifactError where a batch norm is left that folds, or where instance norms were decomposed or lost."""
    left = foldable_batch_norms(model)
    if left:
        raise ArtifactError(
            f"expected every batch norm behind a convolution to be folded into it, got {len(left)} left ({left[0]}); "
            "report this as a bug with the versions of torch and onnxscript"
        )
    from capgan_edge.models.blocks import InstanceNorm

    expected = sum(isinstance(module, InstanceNorm) for module in purifier.modules())
    names = [n.name for n in model.graph.node if n.op_type == "InstanceNormalization" and n.name.startswith(_PURIFIER)]
    if len(names) != expected:
        raise ArtifactError(
            f"expected {expected} InstanceNormalization nodes, one an instance norm of the purifier, got {len(names)}; "
            "report this as a bug with the versions of torch and onnxscript"
        )


def foldable_batch_norms(model: onnx.ModelProto) -> list[str]:
    """Name the batch norms that could be part of a convolution: any of the purifier's, and those that follow one."""
    made_by = {name: node for node in model.graph.node for name in node.output}
    num_readers: dict[str, int] = {output.name: 1 for output in model.graph.output}
    for node in model.graph.node:
        for name in node.input:
            num_readers[name] = num_readers.get(name, 0) + 1
    weights = {tensor.name for tensor in model.graph.initializer}
    left = []
    for node in model.graph.node:
        if node.op_type != "BatchNormalization":
            continue
        before = made_by.get(node.input[0])
        is_behind_conv = (
            before is not None
            and before.op_type == "Conv"
            and num_readers[node.input[0]] == 1
            and {*before.input[1:], *node.input[1:]} <= weights
        )
        if is_behind_conv or node.name.startswith(_PURIFIER):
            left.append(node.name)
    return left
