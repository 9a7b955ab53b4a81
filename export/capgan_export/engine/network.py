"""A graph parsed by TensorRT, always strongly typed: the facts that decide whether it may be compiled, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.contract import GraphContract, Tensor, check_contract
from capgan_edge.runtime.fields import Precision
from capgan_export.engine.door import Door
from capgan_export.engine.parser_errors import ParserError, parser_refusal

_PLAIN = {"FLOAT", "INT32", "INT64", "BOOL", "UINT8"}
"""Types that a graph in FP32 is made of; indices and masks are integers and booleans in every precision."""
_DTYPE_OF = {"UINT8": "uint8", "FLOAT": "float32"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A parsed graph. The first three are TensorRT's; the parser owns the weights, so it is kept."""

    builder: Any
    definition: Any
    parser: Any
    contract: GraphContract
    num_layers: int
    element_types: frozenset[str]
    """Of every tensor, as TensorRT calls them: `FLOAT`, `HALF`."""
    is_quantised: bool
    """Whether it has Q/DQ layers."""


def network_from_onnx(door: Door, model_bytes: bytes, origin: str) -> Network:
    """Parse a graph of the contract; `origin` is what errors call it.

    Raises:
        ArtifactError: corrupt, foreign, or with operators or types that TensorRT does not take; names every node.
        ConfigError: this TensorRT cannot be asked for strong typing.
    """
    trt = door.trt
    builder = trt.Builder(door.log.logger)
    definition = builder.create_network(creation_flags(door))
    parser = trt.OnnxParser(definition, door.log.logger)
    if not parser.parse(model_bytes):
        raise parser_refusal(origin, _errors(parser))
    if definition.num_layers == 0:  # TensorRT parses an empty file without a word
        raise ArtifactError(f"{origin}: expected an ONNX graph, got one without a node; export it again")
    try:
        contract = check_contract(
            [_tensor(definition.get_input(index)) for index in range(definition.num_inputs)],
            [_tensor(definition.get_output(index)) for index in range(definition.num_outputs)],
        )
    except ArtifactError as error:
        raise ArtifactError(f"{origin}: {str(error).removeprefix('the graph: ')}") from error
    types, is_quantised = _types(trt, definition)
    return Network(
        builder=builder,
        definition=definition,
        parser=parser,
        contract=contract,
        num_layers=definition.num_layers,
        element_types=types,
        is_quantised=is_quantised,
    )


def require_precision(network: Network, precision: Precision, origin: str) -> None:
    """Refuse to compile a graph under the name of a precision that it does not hold.

    Raises:
        ArtifactError: strong typing would compile it all the same, as what it is.
    """
    low = sorted(network.element_types - _PLAIN)
    held = " and ".join([*low, *(["Q/DQ"] if network.is_quantised else [])]) or "FP32 alone"
    fits = {
        "fp32": not low and not network.is_quantised,
        "fp16": "HALF" in low and not network.is_quantised,
        "int8": network.is_quantised,
    }
    if not fits[precision]:
        expected = {"fp32": "FP32 alone", "fp16": "FP16 tensors and no Q/DQ", "int8": "Q/DQ"}[precision]
        remedy = {"fp32": "capgan-edge export", "fp16": "capgan-edge build-engine --fp16 --force --images DATA",
                  "int8": "capgan-edge calibrate --force"}[precision]  # fmt: skip
        raise ArtifactError(
            f"{origin}: expected a graph of {expected} for an engine called {precision}, got one of {held}; "
            f"make it again: {remedy}"
        )


def creation_flags(door: Door) -> int:
    """Return the flags that a network is made with: strong typing, at the bit where this TensorRT has it.

    Raises:
        ConfigError: it has none.
    """
    flags = door.trt.NetworkDefinitionCreationFlag
    if not hasattr(flags, "STRONGLY_TYPED"):
        raise ConfigError(
            f"expected a TensorRT with strongly typed networks, got {door.flavour} {door.version}; "
            "move to TensorRT 10.3 or newer"
        )
    return 1 << int(flags.STRONGLY_TYPED)


def _errors(parser: Any) -> list[ParserError]:
    found = (parser.get_error(index) for index in range(parser.num_errors))
    return [
        ParserError(
            code=str(fault.code()).rpartition(".")[2],
            text=str(fault.desc()),
            node_name=str(fault.node_name()),
            operator=str(fault.node_operator()),
        )
        for fault in found
    ]


def _tensor(tensor: Any) -> Tensor:
    kind = str(tensor.dtype).rpartition(".")[2]
    shape = tuple(None if size < 0 else int(size) for size in tensor.shape)
    return Tensor(name=str(tensor.name), dtype=_DTYPE_OF.get(kind, kind.lower()), shape=shape)


def _types(trt: Any, definition: Any) -> tuple[frozenset[str], bool]:
    types, is_quantised = set(), False
    for index in range(definition.num_layers):
        layer = definition.get_layer(index)
        is_quantised |= layer.type in (trt.LayerType.QUANTIZE, trt.LayerType.DEQUANTIZE)
        outputs = (layer.get_output(output) for output in range(layer.num_outputs))
        types |= {str(tensor.dtype).rpartition(".")[2] for tensor in outputs if tensor is not None}
    return frozenset(types), is_quantised
