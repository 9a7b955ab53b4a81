"""Metadata of the graph: torch's is dropped, since it holds stack traces with a machine's paths; ours is set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

PRODUCER = "capgan-edge"


def replace_metadata(model: onnx.ModelProto, properties: Mapping[str, str]) -> None:
    """Drop every metadata entry and doc string of the model, its graphs, nodes and values, then set ours."""
    import capgan_edge

    _strip(model)
    _strip_graph(model.graph)
    model.producer_name = PRODUCER
    model.producer_version = capgan_edge.__version__
    model.graph.name = "purify_and_classify"
    for key, value in sorted(properties.items()):
        model.metadata_props.add(key=key, value=value)


def _strip_graph(graph: onnx.GraphProto) -> None:
    _strip(graph)
    values: Iterable[Any] = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for value in values:
        _strip(value)
    for node in graph.node:
        _strip(node)
        for attribute in node.attribute:
            attribute.doc_string = ""
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                _strip_graph(inner)


def _strip(message: Any) -> None:
    message.doc_string = ""
    del message.metadata_props[:]
