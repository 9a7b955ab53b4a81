"""FP32 graphs to convert: a folded one like nano's, and one of the paper's kind with AdaLIN and reflect padding."""

from __future__ import annotations

import pytest
from tiny_pair import LABELS, SIZE_PX, make_frames, make_purifier, make_victim

from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import export_pair
from capgan_export.fused import GraphOutputs
from capgan_export.parity import ParityConfig
from capgan_export.source import find_source, load_frames

TINY_PAPER = PurifierConfig(ngf=4, num_blocks=1, attention="gap+gmp")


@pytest.fixture(scope="session")
def paper_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Instance norms, AdaLIN, reflect padding, 7x7 ends; every output."""
    return export_pair(make_purifier(TINY_PAPER), make_victim(), labels=LABELS, size_px=SIZE_PX, frames=make_frames(),
                       out=tmp_path_factory.mktemp("paper") / "bundle",
                       outputs=GraphOutputs(has_purified=True, has_raw_logits=True))  # fmt: skip


@pytest.fixture(scope="session")
def signs_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The zoo's signs-nano, trained, with every output."""
    source = find_source("signs-nano")
    return export_pair(source.purifier, source.victim, labels=source.labels, size_px=source.size_px,
                       frames=load_frames(source.data, source.size_px, num_frames=96), name=source.name,
                       out=tmp_path_factory.mktemp("signs") / "bundle", parity=ParityConfig(num_frames=40),
                       outputs=GraphOutputs(has_purified=True, has_raw_logits=True))  # fmt: skip


@pytest.fixture(params=["whole_bundle", "paper_bundle", "signs_bundle"])
def fp32_bytes(request: pytest.FixtureRequest) -> bytes:
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle.read_artifact("fp32")
