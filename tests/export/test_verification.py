"""What `verify` lets pass and what it finds: each way of spoiling a bundle fails the check that is there for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_pair import LABELS, SIZE_PX, TINY_NANO, make_frames, make_purifier, make_victim, perturbed

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_export.source import Source
from capgan_export.verification import Verification, verify_bundle

ARTIFACT = "model.fp32.onnx"


def failed(result: Verification) -> list[str]:
    return [check.name for check in result.checks if check.verdict == "failed"]


def rewritten(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    """Change the graph of a bundle and write it anew with the right hashes, as someone who means harm would."""
    bundle = Bundle.open(path)
    model = onnx.load_model_from_string(bundle.read_artifact())
    change(model)
    write_bundle(path, bundle.manifest, {ARTIFACT: model.SerializeToString()}, overwrite=True)
    return path


def set_weights(model: onnx.ModelProto, value: float) -> None:
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "victim.head.bias")
    head.CopyFrom(numpy_helper.from_array(np.full(len(LABELS), value, np.float32), head.name))


def source(seed: int = 0) -> Source:
    purifier = make_purifier()
    if seed:
        perturbed(purifier, seed)
    return Source(name="tiny-run", origin="tests", purifier=purifier, victim=make_victim(), labels=LABELS,
                  size_px=SIZE_PX, data="random")  # fmt: skip


def test_a_fresh_bundle_passes_every_check(whole_bundle: Bundle) -> None:
    result = verify_bundle(whole_bundle.path, frames=make_frames(), against=source())
    assert failed(result) == []
    assert {check.verdict for check in result.checks} == {"passed"}


def test_without_torch_weights_parity_is_not_made_and_says_so(whole_bundle: Bundle) -> None:
    result = verify_bundle(whole_bundle.path)
    assert result.passed
    assert [check.name for check in result.checks if check.verdict == "not made"] == ["parity measured again"]


def test_a_changed_byte_fails_the_hashes(copy_of: Callable[[], Path]) -> None:
    path = copy_of()
    data = bytearray((path / ARTIFACT).read_bytes())
    data[len(data) // 2] ^= 1
    (path / ARTIFACT).write_bytes(data)
    assert failed(verify_bundle(path)) == ["hashes"]


def test_other_weights_under_right_hashes_fail_the_parity_on_record(copy_of: Callable[[], Path]) -> None:
    path = rewritten(copy_of(), lambda model: set_weights(model, 3.0))
    assert failed(verify_bundle(path)) == [f"{ARTIFACT}: parity on record"]
    again = verify_bundle(path, frames=make_frames(), against=source())
    assert failed(again) == [f"{ARTIFACT}: parity on record", "parity measured again"]


def test_nan_weights_fail_the_finite_check(copy_of: Callable[[], Path]) -> None:
    path = rewritten(copy_of(), lambda model: set_weights(model, float("nan")))
    assert f"{ARTIFACT}: finite" in failed(verify_bundle(path))


def test_another_purifier_is_told_apart_by_its_weights(whole_bundle: Bundle) -> None:
    result = verify_bundle(whole_bundle.path, frames=make_frames(), against=source(seed=5))
    assert failed(result) == ["parity measured again"]
    assert "purifier has the weights" in result.checks[-1].detail


def test_another_purifier_of_the_same_weights_is_told_apart_by_its_settings(whole_bundle: Bundle) -> None:
    direct = make_purifier(replace(TINY_NANO, output="direct"))
    direct.load_state_dict(make_purifier().state_dict())
    result = verify_bundle(whole_bundle.path, frames=make_frames(), against=replace(source(), purifier=direct))
    assert failed(result) == ["parity measured again"]
    assert "output is direct, not residual" in result.checks[-1].detail


def test_what_cannot_be_verified_raises(tmp_path: Path, copy_of: Callable[[], Path]) -> None:
    with pytest.raises(ArtifactError, match="expected a bundle"):
        verify_bundle(tmp_path / "nowhere")
    path = copy_of()
    manifest = json.loads((path / "manifest.json").read_text()) | {"schema_version": 99}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="newer capgan-edge"):
        verify_bundle(path)
