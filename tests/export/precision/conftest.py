"""FP32 graphs to convert: a folded one like nano's, and one of the paper's kind with AdaLIN and reflect padding."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_once import exported_signs, made_once
from tiny_pair import LABELS, SIZE_PX, make_frames, make_purifier, make_victim

from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import export_pair
from capgan_export.fused import GraphOutputs

TINY_PAPER = PurifierConfig(ngf=4, num_blocks=1, attention="gap+gmp")
EVERY = GraphOutputs(has_purified=True, has_raw_logits=True)


@pytest.fixture(scope="session")
def paper_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Instance norms, AdaLIN, reflect padding, 7x7 ends; every output."""

    def make(folder: Path) -> None:
        export_pair(make_purifier(TINY_PAPER), make_victim(), labels=LABELS, size_px=SIZE_PX, frames=make_frames(),
                    out=folder / "bundle", outputs=EVERY)  # fmt: skip

    return Bundle.open(made_once(tmp_path_factory, "paper", make) / "bundle")


@pytest.fixture(scope="session")
def signs_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The zoo's signs-nano, trained, with every output."""
    return exported_signs(tmp_path_factory, EVERY)


@pytest.fixture(params=["whole_bundle", "paper_bundle", "signs_bundle"])
def fp32_bytes(request: pytest.FixtureRequest) -> bytes:
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle.read_artifact("fp32")
