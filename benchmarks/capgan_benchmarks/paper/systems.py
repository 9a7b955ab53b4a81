"""What stands in a table's rows: a defence before a classifier, as the attacks and the scores meet it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capgan_benchmarks.threats.defended import Defended, unchanged
from capgan_edge.files import sha256_of_bytes
from capgan_edge.models.weights import weights_sha256

if TYPE_CHECKING:
    from torch import nn

    from capgan_edge.attacks.base import Model
    from capgan_edge.models.purifier import Purifier

BARE = "bare"


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """A classifier, as attacks take it, and the hash of its weights."""

    model: Model
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """One row."""

    name: str
    defended: Defended
    sha256: str
    """Of everything in it: weights and settings."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of a preprocessor: what was chosen, and how."""


def classifier_from(victim: nn.Module) -> Classifier:
    """Return a trained classifier as it is exported, its norms folded."""
    from capgan_export.fused import inference_victim

    return Classifier(model=inference_victim(victim), sha256=weights_sha256(victim))


def bare_system(classifier: Classifier, name: str = BARE) -> System:
    """Return a classifier with nothing before it: the victim, or one that was itself trained to resist."""
    defended = Defended(name=name, purify=unchanged, classify=classifier.model)
    return System(name=name, defended=defended, sha256=classifier.sha256)


def purified_system(name: str, purifier: Purifier, classifier: Classifier) -> System:
    """Return a trained purifier before the victim."""
    from capgan_export.fused import inference_copy

    defended = Defended(name=name, purify=inference_copy(purifier), classify=classifier.model)
    return System(name=name, defended=defended, sha256=_joined(weights_sha256(purifier), str(purifier.config),
                                                               classifier.sha256))  # fmt: skip


def preprocessed_system(name: str, preprocess: Model, settings: Mapping[str, object], classifier: Classifier) -> System:
    """Return a preprocessor without weights before the victim."""
    defended = Defended(name=name, purify=preprocess, classify=classifier.model)
    return System(name=name, defended=defended, settings=settings,
                  sha256=_joined(name, str(sorted(settings.items())), classifier.sha256))  # fmt: skip


def _joined(*parts: str) -> str:
    return sha256_of_bytes(" ".join(parts).encode())
