"""What a repository says of an artifact's robustness card: one word for machines, one line for people."""

from __future__ import annotations

from typing import Literal

from capgan_edge.runtime import card_check
from capgan_edge.runtime.manifest import Manifest

TritonCardState = Literal["passed", "weak", "failed", "other runtime", "stale", "none"]
"""`weak`: passed, yet says little; `other runtime`: measured on what Triton does not run; `stale`: of other bytes."""


def card_state(manifest: Manifest, artifact: str) -> TritonCardState:
    """Return the state of the card for what Triton computes: graphs in ONNX Runtime, engines in TensorRT."""
    card = card_check.card_of(manifest, artifact)
    if card is not None:
        if not card_check.has_passed(card):
            return "failed"
        return "passed" if card_check.card_warning(manifest, artifact) is None else "weak"
    if card_check.cards_of(manifest, artifact):
        return "other runtime"
    return "stale" if any(card.artifact == artifact for card in manifest.cards) else "none"


def card_facts(manifest: Manifest, artifact: str) -> dict[str, str]:
    """Return the state, and why it is no better where it is not the best."""
    warning = card_check.card_warning(manifest, artifact)
    said = {"capgan_card": str(card_state(manifest, artifact))}
    return said if warning is None else {**said, "capgan_card_warning": warning}
