"""The frames of a gate: clean and attacked, with their true labels and what the FP32 twin says of them.

Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.manifest import Manifest
from capgan_export.gate.gates import AttackSpec, Gates

CLEAN = "clean"


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedFrames:
    """One kind of frames, 8 bits a colour as a camera gives them, and the twin's verdict on the very same frames."""

    attack: AttackSpec | None
    """None where they are clean."""
    frames_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    """The true ones."""
    twin_logits_NK: NDArray[np.float32]

    @property
    def title(self) -> str:
        """`clean`, or the attack's."""
        return CLEAN if self.attack is None else self.attack.title

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSet:
    """All frames of a gate, of one pair of purifier and victim."""

    data: str
    """What figures call the data."""
    seed: int
    labels: tuple[str, ...]
    purifier_sha256: str
    victim_sha256: str
    twin: str
    """What the reference is, e.g. `signs-nano in torch 2.13.0, eager, fp32`."""
    kinds: tuple[JudgedFrames, ...]
    """The clean ones first."""

    @property
    def clean(self) -> JudgedFrames:
        """The frames that no attack was made on."""
        return self.kinds[0]

    @property
    def attacked(self) -> tuple[JudgedFrames, ...]:
        """The frames under each attack."""
        return self.kinds[1:]


def require_fit(held: GateSet, manifest: Manifest) -> None:
    """Raise ConfigError where the set is of other weights, labels or sizes than the bundle."""
    size_px = (manifest.input.height, manifest.input.width)
    pairs = (
        ("purifier", held.purifier_sha256[:12], manifest.purifier.sha256[:12]),
        ("victim", held.victim_sha256[:12], manifest.victim.sha256[:12]),
        ("labels", held.labels, manifest.labels),
        ("frame size", held.clean.frames_NHWC.shape[1:3], size_px),
    )
    for what, came, expected in pairs:
        if came != expected:
            raise ConfigError(
                f"expected a set made from this bundle's own pair, with the {what} {_said(expected)}, got "
                f"{_said(came)}; make one where torch is: capgan-edge verify BUNDLE --write-adversarial FILE"
            )


def chosen_kinds(held: GateSet, gates: Gates) -> GateSet:
    """Return the set with the attacks that the gates ask for, in their order.

    Raises:
        ConfigError: the set lacks one.
    """
    by_identity = {kind.attack.identity: kind for kind in held.attacked if kind.attack is not None}
    missing = [attack.title for attack in gates.attacks if attack.identity not in by_identity]
    if missing:
        raise ConfigError(
            f"expected a set with the attacks of the gates, got one without {', '.join(missing)} (it has "
            f"{', '.join(kind.title for kind in held.attacked) or 'none'}); make it again, with the same --gates: "
            "capgan-edge verify BUNDLE --write-adversarial FILE"
        )
    attacked = (by_identity[attack.identity] for attack in gates.attacks)
    return GateSet(data=held.data, seed=held.seed, labels=held.labels, purifier_sha256=held.purifier_sha256,
                   victim_sha256=held.victim_sha256, twin=held.twin, kinds=(held.clean, *attacked))  # fmt: skip


def _said(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
