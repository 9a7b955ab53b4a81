"""What was measured on a file's bytes, and goes with them when the file is replaced."""

from __future__ import annotations

from capgan_edge.runtime.manifest import SCHEMA_VERSION, Manifest


def without_verdicts(manifest: Manifest, *artifacts: str) -> Manifest:
    """Return the manifest without the cards, thresholds, parity and figures of these artifacts or engines.

    It is of the newest schema, since what comes in their place is.
    """
    return manifest.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "cards": tuple(card for card in manifest.cards if card.artifact not in artifacts),
            "thresholds": tuple(held for held in manifest.thresholds if held.artifact not in artifacts),
            "parity": tuple(record for record in manifest.parity if record.artifact not in artifacts),
            "figures": tuple(figure for figure in manifest.figures if figure.settings.get("artifact") not in artifacts),
        }
    )
