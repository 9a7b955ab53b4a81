"""What a calibration set is made of: kinds of frames and their ratios, and the exact count of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

from capgan_edge.errors import ConfigError

CLEAN, ADVERSARIAL, END_TO_END, PURIFIED = "clean", "adversarial", "adversarial-end-to-end", "purified"
KINDS = (CLEAN, ADVERSARIAL, END_TO_END, PURIFIED)
"""As they came; attacked on the classifier f; attacked on f(T(.)); attacked on f, then purified by T."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Kinds of frames with their ratios, in the order in which they were named."""

    ratios: tuple[tuple[str, float], ...]
    """Each above 0; only their proportion counts."""

    def __post_init__(self) -> None:
        names = [kind for kind, _ in self.ratios]
        if not names or len(set(names)) != len(names) or not set(names) <= set(KINDS):
            raise ConfigError(f"expected kinds among {', '.join(KINDS)}, each once, got {', '.join(names) or 'none'}")
        if not all(0 < ratio < math.inf for _, ratio in self.ratios):
            raise ConfigError(f"expected finite ratios above 0, got {dict(self.ratios)}; leave out a kind with none")

    @property
    def needs_attack(self) -> bool:
        """Whether any frame is attacked, which takes torch and the pair."""
        return any(kind != CLEAN for kind, _ in self.ratios)

    def counts(self, n: int) -> dict[str, int]:
        """Return how many of `n` frames are of each kind; they add up to `n` (largest remainders get what is left).

        Raises:
            ConfigError: a kind would get no frame.
        """
        total = math.fsum(ratio for _, ratio in self.ratios)
        exact = {kind: n * ratio / total for kind, ratio in self.ratios}
        counts = {kind: math.floor(share) for kind, share in exact.items()}
        by_remainder = sorted(exact, key=lambda kind: counts[kind] - exact[kind])  # stable: ties go to the first named
        for kind in by_remainder[: n - sum(counts.values())]:
            counts[kind] += 1
        if not all(counts.values()):
            empty = ", ".join(kind for kind, count in counts.items() if not count)
            raise ConfigError(f"expected a frame of every kind of the mixture, got none of {empty} among {n} frames; "
                              "take more images, or leave the kind out")  # fmt: skip
        return counts


def mixture_from_text(text: str) -> Mixture:
    """Parse `clean:1,adversarial:1`; a kind without a ratio has 1.

    Raises:
        ConfigError: an unknown kind, one named twice, or a ratio that is no positive number.
    """
    ratios = []
    for part in text.split(","):
        kind, has_ratio, ratio = part.strip().partition(":")
        try:
            ratios.append((kind.strip(), float(ratio) if has_ratio else 1.0))
        except ValueError:
            raise ConfigError(
                f"expected ratios as in clean:1,adversarial:1, got {part.strip()!r}; write a number after the colon"
            ) from None
    return Mixture(tuple(ratios))
