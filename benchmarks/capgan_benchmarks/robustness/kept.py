"""A threat model whose batches are crafted once: those in the store are taken from there, the others go into it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.robustness.fitting import (
    ARTIFACT_QUERY,
    ARTIFACT_TRANSFER,
    END_TO_END,
    FAKE_QUANT,
    OF_ONE_ARTIFACT,
    QUERY,
    TRANSFER,
)
from capgan_benchmarks.robustness.store import BatchStore, batch_key, without_floats
from capgan_benchmarks.threats.artifact_query import ArtifactQuery
from capgan_benchmarks.threats.artifact_transfer import ArtifactTransfer
from capgan_benchmarks.threats.scenario import Scenario, Threat
from capgan_edge.data.images import ImageSet
from capgan_edge.files import sha256_of_bytes

if TYPE_CHECKING:
    from capgan_benchmarks.robustness.subject import Subject
    from capgan_benchmarks.threats.crafted import CraftedSet
    from capgan_edge.attacks import Attack

Done = Callable[[int, float | None], None]
"""Told of how many images a batch was, and its seconds; None where it came from the store."""
_INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A scenario before a store; in all else it is that scenario."""

    scenario: Scenario
    store: BatchStore
    target_sha256: str
    """Of everything that takes part in crafting."""
    extra: Any
    done: Done

    @property
    def threat(self) -> Threat:
        """The scenario's."""
        return self.scenario.threat

    def craft(self, attack: Attack, images: ImageSet, *, number: int = 0) -> CraftedSet:
        """Return the batch from the store, or craft and keep it; its float images are let go.

        What asks for outputs alone is the same attack with or without the gradients at hand: crafted once for both.
        """
        kept_as = END_TO_END if self.threat.name == QUERY else self.threat.name
        key = batch_key(scenario=kept_as, target_sha256=self.target_sha256, attack=attack, number=number,
                        images=images, extra=self.extra)  # fmt: skip
        held = self.store.load(key)
        if held is not None:
            self.done(len(images), None)
            return replace(held, scenario=self.threat.name, knowledge=self.threat.gradient_by)
        started_s = time.monotonic()
        crafted = without_floats(self.scenario.craft(attack, images, number=number))
        self.store.save(key, crafted)
        self.done(len(images), time.monotonic() - started_s)
        return crafted

    def labels_of(self, frames_NHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the scenario's."""
        return self.scenario.labels_of(frames_NHWC)


def kept_scenario(subject: Subject, name: str, artifact: str | None, store: BatchStore, done: Done) -> Scenario:
    """Return a threat model on a subject, before a store.

    What artifact-transfer crafts on the twin is end-to-end's, and kept as that. The queries of an artifact that raised
    are kept beside the store, so that another process goes on with them.
    """
    scenario = subject.scenario(name, artifact)
    if isinstance(scenario, ArtifactTransfer):
        return ArtifactTransfer(on_twin=kept_scenario(subject, END_TO_END, None, store, done),
                                artifact=scenario.artifact)  # fmt: skip
    if isinstance(scenario, ArtifactQuery):
        scenario = ArtifactQuery(artifact=scenario.artifact, folder=store.root / _INTERRUPTED)
    extra = {"temperature": subject.temperature} if name == FAKE_QUANT else None
    kept: Scenario = Kept(scenario=scenario, store=store, target_sha256=_target_sha256(subject, name, artifact),
                          extra=extra, done=done)  # type: ignore[assignment]  # fmt: skip
    return kept


def _target_sha256(subject: Subject, name: str, artifact: str | None) -> str:
    """Return the hash of every model that crafts or judges in a threat model."""
    parts = [] if subject.pair is None else [subject.pair.sha256]
    if name in OF_ONE_ARTIFACT:
        held = subject.artifacts[artifact or next(iter(subject.artifacts))]
        parts = list(held.answers_by) if name == ARTIFACT_QUERY else [held.sha256]
    if name == TRANSFER:
        assert subject.surrogate is not None
        parts.append(subject.surrogate.sha256)
    assert parts
    assert name != ARTIFACT_TRANSFER
    return sha256_of_bytes(" ".join([ARTIFACT_QUERY if name == ARTIFACT_QUERY else "", *parts]).encode())
