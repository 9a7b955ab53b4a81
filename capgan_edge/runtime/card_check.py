"""Whether an artifact has a robustness card that holds for its very bytes, and for what computes them.

Cards of other bytes do not count, and none vouches for a runtime that it was not measured on: the same INT8 graph gives
other logits in OpenVINO than in ONNX Runtime, and the same FP32 graph others in BF16.
"""

from __future__ import annotations

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.card import RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.manifest import Manifest

LAXER = "laxer_than_shipped"
"""In a card's settings: in what its gates asked for less than the shipped ones; a list, empty where in nothing."""
FAILS_AT = "would_fail_at"
"""In a card's settings: the mildest value that fails, by the name of a check; a text where no value does."""

RUNTIME = "runtime"
"""In a card's settings: what computed the artifact; where it is not there, ONNX Runtime a graph, TensorRT an engine."""
ONNX_RUNTIME, TENSORRT = "onnxruntime", "tensorrt"


def computing_runtime(backend: str, precision: str) -> str:
    """Return what cards call a backend: `openvino bf16` is another one than `openvino`."""
    if backend in ("cpu", "cuda"):
        return ONNX_RUNTIME
    return f"{backend} {precision}" if precision == "bf16" else backend


def measured_on(manifest: Manifest, artifact: str) -> str | None:
    """Return the runtime that the card and the threshold of an artifact's very bytes hold for; None without either.

    Both are made by one verification, so that a threshold's runtime is its card's.
    """
    card = card_of(manifest, artifact)
    if card is None and threshold_of(manifest, artifact) is None:
        return None
    named = None if card is None else card.settings.get(RUNTIME)
    return named if isinstance(named, str) else TENSORRT if artifact in manifest.engines else ONNX_RUNTIME


def card_of(manifest: Manifest, artifact: str) -> RobustnessCard | None:
    """Return the card of a graph or an engine; None where there is none, or one of other bytes."""
    held = [card for card in manifest.cards if card.artifact == artifact]
    sha256 = manifest.files[artifact].sha256
    return next((card for card in held if card.artifact_sha256 == sha256), None)


def threshold_of(manifest: Manifest, artifact: str, runtime: str | None = None) -> SuspicionThreshold | None:
    """Return the suspicion threshold of a graph or an engine; None where there is none, or one of other bytes.

    Args:
        manifest: of the bundle.
        artifact: as the manifest names it.
        runtime: see `computing_runtime`; a threshold measured on another is none. None takes any.
    """
    if runtime is not None and measured_on(manifest, artifact) != runtime:
        return None
    held = [threshold for threshold in manifest.thresholds if threshold.artifact == artifact]
    sha256 = manifest.files[artifact].sha256
    return next((threshold for threshold in held if threshold.artifact_sha256 == sha256), None)


def card_warning(manifest: Manifest, artifact: str, runtime: str | None = None) -> str | None:
    """Return one line on what an artifact lacks; None where its card passed, robustness and all, on `runtime`."""
    card = card_of(manifest, artifact)
    if card is None:
        has_other = any(other.artifact == artifact for other in manifest.cards)
        came = "one of other bytes" if has_other else "none"
        return f"{artifact}: expected a passing robustness card, got {came}; make one with capgan-edge verify"
    measured = measured_on(manifest, artifact)
    if runtime is not None and measured != runtime:
        return (
            f"{artifact}: expected a robustness card measured on {runtime}, got one measured on "
            f"{_printable(measured)}, which says nothing of it; run it on what it was measured on"
        )
    failed = [check.name for check in card.checks if not check.passed]
    if failed or not card.passed:
        came = f"a failed one ({', '.join(failed) or 'by its own verdict'})"
        return f"{artifact}: expected a passing robustness card, got {came}; use another precision, or build it again"
    if not any(check.kind == "robustness" for check in card.checks):
        return (
            f"{artifact}: expected a robustness card with an attack on it, got one without; "
            "verify it again with gates that name attacks"
        )
    return _weakness(card)


def _weakness(card: RobustnessCard) -> str | None:
    """Return one line on why a card that passed says little; None where it says what the shipped gates ask."""
    values, laxer = card.settings.get(FAILS_AT), card.settings.get(LAXER)
    if not isinstance(values, dict) or not isinstance(laxer, list):
        return (
            f"{card.artifact}: expected a robustness card that names what its gates could find, got one without; "
            "verify it again"
        )
    attacked = [check.name for check in card.checks if check.kind == "robustness"]
    if not any(type(values.get(name)) in (int, float) for name in attacked):
        return (
            f"{card.artifact}: expected a robustness card with an attack that could have failed, got none under which "
            "its twin has anything to lose; verify it again with attacks that the twin withstands"
        )
    if laxer:
        name, reasons = _printable(card.settings.get("gates")), _printable(", ".join(map(str, laxer)))
        return (
            f"{card.artifact}: expected a robustness card from gates as strict as the shipped ones, got one that "
            f"passed its own gates only ({name}: {reasons}); "
            "verify it again with the shipped gates and enough test images"
        )
    return None


def _printable(value: object) -> str:
    """Return a setting as part of one line: unlike names, settings may hold any text."""
    text = "".join(letter for letter in str(value) if letter.isprintable())
    return text if len(text) <= 300 else text[:297] + "..."


def require_card(manifest: Manifest, artifact: str, runtime: str | None = None) -> RobustnessCard:
    """Return the passing card of an artifact.

    Raises:
        ArtifactError: it has none; says why.
    """
    warning, card = card_warning(manifest, artifact, runtime), card_of(manifest, artifact)
    if warning is not None or card is None:
        raise ArtifactError(f"{warning}; or run it without --require-card")
    return card
