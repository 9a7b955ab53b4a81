"""From torch modules to the bytes of the fused ONNX graph, by the graph contract: opset 20, N free, H and W fixed."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from capgan_edge.errors import ArtifactError, ConfigError, MissingDependencyError
from capgan_export.fused import FusedGraph, GraphOutputs, PurifierGraph, inference_copy, inference_victim
from capgan_export.merge import merge_victim
from capgan_export.metadata import replace_metadata
from capgan_export.node_names import name_nodes
from capgan_export.norms import check_norms

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from capgan_edge.models.purifier import Purifier
    from capgan_edge.models.victims import Victim

OPSET = 20
IR_VERSION = 10


def graph_from_pair(
    purifier: Purifier,
    victim: Victim,
    *,
    size_px: tuple[int, int],
    outputs: GraphOutputs,
    properties: Mapping[str, str],
) -> bytes:
    """Return the fused graph, serialised; the same bytes for the same weights and versions of the tools.

    Args:
        purifier: T_AC; left as it is.
        victim: exported by torch, or merged as a graph where it came as an ONNX file.
        size_px: height and width of the frames, multiples of 4.
        outputs: what the graph gives beside logits and suspicion.
        properties: metadata of the model, e.g. the preset.
    """
    if size_px[0] % 4 or size_px[1] % 4 or min(size_px) < 4:
        raise ConfigError(f"expected a height and a width that are multiples of 4, got {size_px[0]}x{size_px[1]} px; "
                          "resize the images, or train at another size")  # fmt: skip
    twin = inference_copy(purifier)
    if victim.onnx_model is not None:
        head = PurifierGraph(twin, outputs)
        model = merge_victim(_exported(head, head.names, size_px), victim, outputs, opset=OPSET)
    else:
        fused = FusedGraph(twin, inference_victim(victim.torch_module()), outputs)
        model = _exported(fused, outputs.names, size_px)
    check_norms(model, purifier)
    replace_metadata(model, properties)
    return _serialised(model)


def _exported(module: nn.Module, names: tuple[str, ...], size_px: tuple[int, int]) -> onnx.ModelProto:
    """Export by torch.export and the dynamo exporter, whose own passes fold constants and fuse."""
    import torch

    frames = torch.zeros(2, *size_px, 3, dtype=torch.uint8)  # a batch of one would be taken for a constant
    free_batch = ({0: torch.export.Dim("N")},)
    try:
        with _hushed(), torch.no_grad():
            program = torch.onnx.export(module.eval(), (frames,), dynamo=True, opset_version=OPSET, verbose=False,
                                        input_names=["frames"], output_names=list(names),
                                        dynamic_shapes=free_batch)  # fmt: skip
    except ImportError as error:
        raise MissingDependencyError(error.name or "onnxscript", "exporting", "train") from error
    except Exception as error:  # the exporter raises what it likes
        detail = " ".join(str(error.__cause__ or error).split())[:200]
        raise ArtifactError(
            f"expected purifier and victim to export to ONNX with a free batch, but: {detail}; make the victim's "
            "forward free of branches on values and of Python loops over the batch, or give it as an ONNX file"
        ) from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.ir_version = IR_VERSION
    name_nodes(model)
    return model


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep the exporter's deprecation warnings and its remarks on torchvision from the user."""
    disabled = logging.root.manager.disable
    logging.disable(max(disabled, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _serialised(model: onnx.ModelProto) -> bytes:
    import onnx

    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # onnx's errors share no base class
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(f"expected a valid ONNX graph, but onnx says: {detail}; report this as a bug") from error
    data: bytes = model.SerializeToString(deterministic=True)
    return data
