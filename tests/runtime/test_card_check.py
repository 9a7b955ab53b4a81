"""Which robustness card counts: of the very bytes, passed, by gates as strict as the shipped ones that could fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.card import CardCheck, RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.card_check import (
    ONNX_RUNTIME,
    OPENVINO,
    OPENVINO_BF16,
    card_of,
    card_warning,
    require_card,
    runtime_of,
    threshold_of,
)
from capgan_edge.runtime.manifest import FileRecord, Manifest, json_from_manifest, manifest_from_json

ManifestFactory = Callable[..., Manifest]
NAME = "model.fp32.onnx"
CHECK = "loss of accuracy, FGSM on f"
STRICT: dict[str, Any] = {"gates": "default.toml", "laxer_than_shipped": [], "would_fail_at": {CHECK: 1.2}}
SHA256, OTHER = "1" * 64, "2" * 64


def check(*, kind: Any = "robustness", passed: bool = True) -> CardCheck:
    return CardCheck(name=CHECK, kind=kind, value=0.5, comparison="at most", limit=1.0,
                     unit="points", n=500, passed=passed)  # fmt: skip


def card(*checks: CardCheck, artifact: str = NAME, sha256: str = SHA256, passed: bool = True,
         **settings: Any) -> RobustnessCard:  # fmt: skip
    return RobustnessCard(artifact=artifact, artifact_sha256=sha256, against="tiny in torch", against_sha256="3" * 64,
                          created="2026-11-23", data="signs/test", seed=0, device="a CPU", settings=STRICT | settings,
                          checks=checks, passed=passed)  # fmt: skip


def manifest_with(make_manifest: ManifestFactory, *cards: RobustnessCard, **changes: Any) -> Manifest:
    return make_manifest(files={NAME: FileRecord(sha256=SHA256, size_bytes=1)}, cards=cards, **changes)


class Case(NamedTuple):
    name: str
    cards: tuple[RobustnessCard, ...]
    says: str | None


CASES = [
    Case("passed", (card(check()),), None),
    Case("none", (), "got none"),
    Case("of another artifact", (card(check(), artifact="model.int8.onnx"),), "got none"),
    Case("of other bytes", (card(check(), sha256=OTHER),), "got one of other bytes"),
    Case("of these bytes beside one of others", (card(check(), sha256=OTHER), card(check())), None),
    Case("failed", (card(check(), check(passed=False), passed=False),), "got a failed one (loss of accuracy"),
    Case("failed, and says that it passed", (card(check(passed=False)),), "got a failed one (loss of accuracy"),
    Case("failed for no reason given", (card(check(), passed=False),), "got a failed one (by its own verdict)"),
    Case("nothing was attacked", (card(check(kind="task")),), "an attack on it, got one without"),
    Case(
        "the twin had nothing to lose", (card(check(), would_fail_at={CHECK: "nothing to lose"}),), "could have failed"
    ),
    Case("what would have failed is not told", (card(check(), would_fail_at={}),), "could have failed"),
    Case("another check could have failed", (card(check(), would_fail_at={"clean": 1.0}),), "could have failed"),
    Case(
        "own gates",
        (card(check(), gates="mine.toml", laxer_than_shipped=["no PGD-40 on f", "cosine 0.5 for 0.9"]),),
        "passed its own gates only (mine.toml: no PGD-40 on f, cosine 0.5 for 0.9)",
    ),
    Case("nothing is said of its gates", (card(check(), laxer_than_shipped=None),), "names what its gates could find"),
    Case("nor of what they find", (card(check(), would_fail_at=None),), "names what its gates could find"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_card_counts_for_its_bytes_where_it_passed_and_was_attacked(
    case: Case, make_manifest: ManifestFactory
) -> None:
    manifest = manifest_with(make_manifest, *case.cards)
    warning = card_warning(manifest, NAME)
    if case.says is None:
        assert warning is None
        assert require_card(manifest, NAME) == card_of(manifest, NAME)
        return
    assert warning is not None
    assert case.says in warning
    with pytest.raises(ArtifactError) as caught:
        require_card(manifest, NAME)
    assert case.says in str(caught.value)


def test_a_card_of_a_purifier_with_a_class_head_counts_only_where_that_was_attacked(
    make_manifest: ManifestFactory,
) -> None:
    """One that was written before the gate attacked it says that its gates were as strict as the shipped ones."""
    robust = make_manifest().purifier.model_copy(update={"config": {"kind": "robust"}})
    with pytest.raises(ArtifactError, match="an attack on the purifier's class head, got one from before"):
        require_card(manifest_with(make_manifest, card(check()), purifier=robust), NAME)
    on_head = check().model_copy(update={"name": "loss of accuracy, PGD-40 on the class head"})
    assert card_warning(manifest_with(make_manifest, card(check(), on_head), purifier=robust), NAME) is None
    assert card_warning(manifest_with(make_manifest, card(check())), NAME) is None


def test_a_warning_is_one_line_of_text_whatever_the_settings_hold(make_manifest: ManifestFactory) -> None:
    held = card(check(), gates="a\nb\x1b[2J", laxer_than_shipped=["x" * 5000, "\x1b]0;title\x07"])
    warning = card_warning(manifest_with(make_manifest, held), NAME)
    assert warning is not None
    assert warning.isprintable()
    assert len(warning) < 1000


def test_a_threshold_counts_for_its_bytes_alone(make_manifest: ManifestFactory) -> None:
    def threshold(sha256: str) -> SuspicionThreshold:
        return SuspicionThreshold(artifact=NAME, artifact_sha256=sha256, threshold=0.5, false_alarm_rate=0.01,
                                  measured_rate=0.02, n=400, seed=0, data="signs/test")  # fmt: skip

    assert threshold_of(manifest_with(make_manifest, thresholds=(threshold(SHA256),)), NAME) == threshold(SHA256)
    assert threshold_of(manifest_with(make_manifest, thresholds=(threshold(OTHER),)), NAME) is None


def test_a_card_and_a_threshold_count_for_their_runtime_alone(make_manifest: ManifestFactory) -> None:
    """Those that name none are of ONNX Runtime, as all were before there was another."""
    tuned = SuspicionThreshold(artifact=NAME, artifact_sha256=SHA256, threshold=0.5, false_alarm_rate=0.01,
                               measured_rate=0.02, n=400, seed=0, data="signs/test")  # fmt: skip
    other = tuned.model_copy(update={"runtime": OPENVINO, "threshold": 0.25})
    cards = (card(check()), card(check(passed=False), passed=False, runtime=OPENVINO))
    written = json_from_manifest(manifest_with(make_manifest, *cards, thresholds=(other, tuned)))
    manifest = manifest_from_json(written, "manifest.json")
    for runtime in (None, ONNX_RUNTIME):
        assert (card_of(manifest, NAME, runtime), threshold_of(manifest, NAME, runtime)) == (cards[0], tuned)
        assert card_warning(manifest, NAME, runtime) is None
    assert (card_of(manifest, NAME, OPENVINO), threshold_of(manifest, NAME, OPENVINO)) == (cards[1], other)
    assert "got a failed one" in str(card_warning(manifest, NAME, OPENVINO))
    assert (card_of(manifest, NAME, OPENVINO_BF16), threshold_of(manifest, NAME, OPENVINO_BF16)) == (None, None)
    warning = str(card_warning(manifest, NAME, OPENVINO_BF16))
    assert "measured on openvino bf16, got one measured on onnxruntime and on openvino" in warning
    assert "capgan-edge verify --backend openvino --precision bf16" in warning


def test_a_threshold_written_before_runtimes_were_named_is_read(make_manifest: ManifestFactory) -> None:
    held = {"artifact": NAME, "artifact_sha256": SHA256, "threshold": 0.5, "false_alarm_rate": 0.01,
            "measured_rate": 0.02, "n": 400, "seed": 0, "data": "signs/test"}  # fmt: skip
    raw = json.loads(json_from_manifest(manifest_with(make_manifest))) | {"thresholds": [held]}
    manifest = manifest_from_json(json.dumps(raw).encode(), "manifest.json")
    assert runtime_of(manifest.thresholds[0], manifest) == ONNX_RUNTIME
