"""What was measured on old bytes goes with them, and what was measured on others stays."""

from __future__ import annotations

from collections.abc import Callable

from capgan_edge.runtime.manifest import Figure, Manifest
from capgan_edge.runtime.verdicts import without_verdicts


def test_figures_and_parity_of_a_replaced_artifact_go(make_manifest: Callable[..., Manifest]) -> None:
    names = ("model.fp32.onnx", "model.fp16.onnx", "engines/a.plan")
    bare = make_manifest()
    figures = tuple(Figure(name=f"accuracy, {name}", value=1, unit="%", n=1, seed=0, settings={"artifact": name},
                           data="random", device="cpu") for name in names)  # fmt: skip
    parity = tuple(bare.parity[0].model_copy(update={"artifact": name}) for name in names)
    manifest = bare.model_copy(update={"figures": (*bare.figures, *figures), "parity": parity, "schema_version": 1})
    left = without_verdicts(manifest, "model.fp16.onnx", "engines/a.plan")
    assert left.figures == (*bare.figures, figures[0])
    assert left.parity == parity[:1]
    assert left.schema_version == 2
    assert left.artifacts == manifest.artifacts
