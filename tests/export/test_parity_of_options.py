"""Whatever the purifier's options, the exported graph equals torch, and its norms come out as they must."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_pair import SIZE_PX, make_frames, make_purifier, make_victim

from capgan_edge.models.purifier import PurifierConfig
from capgan_export.bundling import parity_records
from capgan_export.fused import GraphOutputs
from capgan_export.onnx_graph import graph_from_pair
from capgan_export.parity import ParityConfig, require_parity

CONFIGS = st.builds(
    PurifierConfig,
    ngf=st.integers(2, 5),
    num_blocks=st.integers(0, 1),
    end_kernel_px=st.sampled_from([3, 5]),
    norm=st.sampled_from(["adalin", "instance", "batch", "none"]),
    attention=st.sampled_from(["gap", "gap+gmp"]),
    padding=st.sampled_from(["reflect", "zeros"]),
    output=st.sampled_from(["direct", "residual"]),
    has_skips=st.booleans(),
)
PARITY = ParityConfig(num_frames=12, batches=(1, 3, 8))


def exported(config: PurifierConfig) -> onnx.ModelProto:
    """Export, require parity, and return the graph."""
    purifier, victim = make_purifier(config), make_victim()
    outputs = GraphOutputs(has_purified=True)
    data = graph_from_pair(purifier, victim, size_px=SIZE_PX, outputs=outputs, properties={})
    records = parity_records(purifier, victim, data, make_frames(), PARITY)
    require_parity(records)
    assert [record.frames for record in records] == ["clean", "attacked"]
    return onnx.load_model_from_string(data)


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(config=CONFIGS)
def test_the_graph_equals_torch_on_clean_and_attacked_frames(config: PurifierConfig) -> None:
    exported(config)


@pytest.mark.parametrize(("norm", "count"), [("instance", 9), ("adalin", 7)])
def test_instance_norms_are_one_node_each_and_adalin_keeps_its_names(norm: str, count: int) -> None:
    model = exported(PurifierConfig(ngf=2, num_blocks=1, end_kernel_px=3, norm=norm))  # type: ignore[arg-type]
    found = [node.name for node in model.graph.node if node.op_type == "InstanceNormalization"]
    assert len(found) == count
    assert all("norm" in name for name in found)
    decomposed = [node.name for node in model.graph.node if node.name.startswith("purifier.decoder_blocks.0.norm1/")]
    assert len(decomposed) == (1 if norm == "instance" else len(decomposed))
    assert decomposed
