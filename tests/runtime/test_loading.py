"""What a bundle says of an artifact's very bytes, its card and its threshold, is what a classifier on it goes by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import capgan_edge
from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import CardCheck, RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.card_check import FAILS_AT, LAXER
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.growth import grow_bundle, locked


def test_an_artifact_without_a_passing_card_is_named_or_refused(bundle_path: Path) -> None:
    with capgan_edge.load(bundle_path, backend="cpu") as classifier:
        assert "expected a passing robustness card, got none" in classifier.describe()["card_warning"]
    with pytest.raises(ArtifactError, match=r"got none; make one with capgan-edge verify; or run it without --require"):
        capgan_edge.load(bundle_path, backend="cpu", require_card=True)


def test_a_passing_card_of_these_very_bytes_lets_an_artifact_run(bundle_path: Path) -> None:
    name = "model.fp32.onnx"
    with locked(bundle_path) as bundle:
        digest = bundle.manifest.files[name].sha256
        check = CardCheck(name="accuracy under PGD-40", kind="robustness", value=0.0, comparison="at most", limit=1.0,
                          unit="points", n=100, passed=True)  # fmt: skip
        settings = {"gates": "default.toml", LAXER: [], FAILS_AT: {check.name: 1.2}}
        card = RobustnessCard(artifact=name, artifact_sha256=digest, against=name, against_sha256=digest,
                              created="2025-06-01", data="signs/test", seed=0, device="cpu", settings=settings,
                              checks=(check,), passed=True)  # fmt: skip
        grow_bundle(bundle, bundle.manifest.model_copy(update={"cards": (card,)}), {})
    with capgan_edge.load(bundle_path, backend="cpu", require_card=True) as classifier:
        assert classifier.describe()["card_warning"] is None


def _load_with_threshold(path: Path, sha256: str, threshold: float) -> Classifier:
    record = SuspicionThreshold(artifact="model.fp32.onnx", artifact_sha256=sha256, threshold=threshold, n=100, seed=0,
                                false_alarm_rate=0.01, measured_rate=0.01, data="signs/test")  # fmt: skip
    with locked(path) as bundle:
        grow_bundle(bundle, bundle.manifest.model_copy(update={"thresholds": (record,)}), {})
    return capgan_edge.load(path, backend="cpu")


def test_a_bundle_s_threshold_raises_alarms_for_the_bytes_it_was_tuned_on_alone(bundle_path: Path) -> None:
    sha256 = Bundle.open(bundle_path).manifest.files["model.fp32.onnx"].sha256
    with _load_with_threshold(bundle_path, sha256, 0.5) as classifier:
        bright, dark = (np.full((8, 8, 3), level, np.uint8) for level in (250, 20))
        assert [verdict.is_alarm for verdict in classifier.classify([bright, dark])] == [True, False]
    with _load_with_threshold(bundle_path, "c" * 64, 0.5) as classifier:
        assert classifier.classify(bright)[0].is_alarm is None
