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

CLASS_HEAD = "the class head"
"""What a check's name ends with whose attack climbs the decision of a purifier of the mode robust, whose painter may
hide its gradient; others have none."""

RUNTIME = "runtime"
"""In a card's settings: what computed the artifact; where it is not there, what usually does."""
ONNX_RUNTIME, OPENVINO, OPENVINO_BF16, TENSORRT = "onnxruntime", "openvino", "openvino bf16", "tensorrt"
_VERIFY_OPTIONS = {OPENVINO: " --backend openvino", OPENVINO_BF16: " --backend openvino --precision bf16"}


def computing_runtime(backend: str, precision: str) -> str:
    """Return what cards call a backend: `openvino bf16` is another one than `openvino`."""
    if backend in ("cpu", "cuda"):
        return ONNX_RUNTIME
    return f"{backend} {precision}" if precision == "bf16" else backend


def usual_runtime(manifest: Manifest, artifact: str) -> str:
    """Return what computes an artifact where nothing else is said: ONNX Runtime a graph, TensorRT an engine."""
    return TENSORRT if artifact in manifest.engines else ONNX_RUNTIME


def runtime_of(record: RobustnessCard | SuspicionThreshold, manifest: Manifest) -> str:
    """Return the runtime that a card or a threshold was measured on."""
    named = record.settings.get(RUNTIME) if isinstance(record, RobustnessCard) else record.runtime
    return _printable(named) if isinstance(named, str) else usual_runtime(manifest, record.artifact)


def cards_of(manifest: Manifest, artifact: str) -> tuple[RobustnessCard, ...]:
    """Return the cards of a graph or an engine, one for each runtime that it was measured on; none of other bytes."""
    sha256 = manifest.files[artifact].sha256
    return tuple(card for card in manifest.cards if (card.artifact, card.artifact_sha256) == (artifact, sha256))


def card_of(manifest: Manifest, artifact: str, runtime: str | None = None) -> RobustnessCard | None:
    """Return the card of a graph or an engine; None where there is none, or one of other bytes or another runtime.

    Args:
        manifest: of the bundle.
        artifact: as the manifest names it.
        runtime: see `computing_runtime`; None is the usual one.
    """
    wanted = runtime or usual_runtime(manifest, artifact)
    return next((card for card in cards_of(manifest, artifact) if runtime_of(card, manifest) == wanted), None)


def threshold_of(manifest: Manifest, artifact: str, runtime: str | None = None) -> SuspicionThreshold | None:
    """Return the suspicion threshold of a graph or an engine; the arguments are those of `card_of`."""
    wanted = (artifact, manifest.files[artifact].sha256, runtime or usual_runtime(manifest, artifact))
    for held in manifest.thresholds:
        if (held.artifact, held.artifact_sha256, runtime_of(held, manifest)) == wanted:
            return held
    return None


def is_loss(manifest: Manifest, artifact: str, *, of: str, to: str) -> bool:
    """Return whether a card or a threshold that holds on the runtime `of` is lost on the runtime `to`.

    A card that failed is lost by a move as well: nobody runs away from it by changing the runtime.
    """
    if threshold_of(manifest, artifact, of) is not None and threshold_of(manifest, artifact, to) is None:
        return True
    if card_of(manifest, artifact, of) is not None and card_of(manifest, artifact, to) is None:
        return True
    return _standing(manifest, artifact, to) < _standing(manifest, artifact, of)


def _standing(manifest: Manifest, artifact: str, runtime: str) -> int:
    """Return how much a card says for a runtime: failed, none, passed, passed by gates that say something."""
    card = card_of(manifest, artifact, runtime)
    if card is None:
        return 1
    if not has_passed(card):
        return 0
    return 3 if _weakness(manifest, card) is None else 2


def has_passed(card: RobustnessCard) -> bool:
    """Return whether a card says that it passed, and each of its checks too."""
    return card.passed and all(check.passed for check in card.checks)


def card_warning(manifest: Manifest, artifact: str, runtime: str | None = None) -> str | None:
    """Return one line on what an artifact lacks; None where its card of that runtime passed, robustness and all.

    The arguments are those of `card_of`.
    """
    card = card_of(manifest, artifact, runtime)
    if card is None:
        return _missing(manifest, artifact, runtime or usual_runtime(manifest, artifact))
    failed = [check.name for check in card.checks if not check.passed]
    if not has_passed(card):
        came = f"a failed one ({', '.join(failed) or 'by its own verdict'})"
        return f"{artifact}: expected a passing robustness card, got {came}; use another precision, or build it again"
    return _weakness(manifest, card)


def has_class_head(manifest: Manifest) -> bool:
    """Return whether the bundle's purifier, of the mode robust, decides the class by itself."""
    return manifest.purifier.config.get("kind") == "robust"


def _missing(manifest: Manifest, artifact: str, runtime: str) -> str:
    """Return one line on what there is in the place of a card."""
    others = [runtime_of(card, manifest) for card in cards_of(manifest, artifact)]
    if others:
        return (
            f"{artifact}: expected a robustness card measured on {runtime}, got one measured on "
            f"{' and on '.join(others)}, which says nothing of it; make one with capgan-edge verify"
            f"{_VERIFY_OPTIONS.get(runtime, '')}, or run it on what it was measured on"
        )
    came = "one of other bytes" if any(other.artifact == artifact for other in manifest.cards) else "none"
    return (
        f"{artifact}: expected a passing robustness card, got {came}; make one with capgan-edge verify"
        f"{_VERIFY_OPTIONS.get(runtime, '')}"
    )


def _weakness(manifest: Manifest, card: RobustnessCard) -> str | None:
    """Return one line on why a card that passed says little; None where it says what the shipped gates ask."""
    if not any(check.kind == "robustness" for check in card.checks):
        return (
            f"{card.artifact}: expected a robustness card with an attack on it, got one without; "
            "verify it again with gates that name attacks"
        )
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
    if has_class_head(manifest) and not any(name.endswith(f"on {CLASS_HEAD}") for name in attacked):
        return (
            f"{card.artifact}: expected a robustness card with an attack on the purifier's class head, got one from "
            "before there was such a gate; verify it again"
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
    warning, card = card_warning(manifest, artifact, runtime), card_of(manifest, artifact, runtime)
    if warning is not None or card is None:
        raise ArtifactError(f"{warning}; or run it without --require-card")
    return card
