"""Which threat model applies to a subject, and the threat model on it; what does not apply says what would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_benchmarks.threats.artifact import graph_of
from capgan_benchmarks.threats.artifact_fake_quant import ArtifactFakeQuant
from capgan_benchmarks.threats.artifact_query import ArtifactQuery
from capgan_benchmarks.threats.artifact_transfer import ArtifactTransfer
from capgan_benchmarks.threats.catalogue import SCENARIOS, threat_named
from capgan_benchmarks.threats.class_head import why_no_head
from capgan_benchmarks.threats.scenario import Scenario
from capgan_benchmarks.threats.transfer import Transfer
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_benchmarks.robustness.subject import Subject

TRANSFER, QUERY, END_TO_END, CLASS_HEAD, STEALTHY = "transfer", "query", "end-to-end", "class-head", "stealthy"
ARTIFACT_TRANSFER, ARTIFACT_QUERY, FAKE_QUANT = "artifact-transfer", "artifact-query", "artifact-fake-quant"
OF_ONE_ARTIFACT = (ARTIFACT_QUERY, FAKE_QUANT)
"""Crafted on one artifact, and so once for each."""
OF_ARTIFACTS = (ARTIFACT_TRANSFER, *OF_ONE_ARTIFACT)
TRANSFERRED = (TRANSFER, "white-box-victim", CLASS_HEAD)
"""Made on a classifier by itself to fool another system: attacks that can go on past its boundary do."""
MADE_ON_ANOTHER = (*TRANSFERRED, ARTIFACT_TRANSFER)
"""Made on another model than the one that is scored; what artifact-transfer shows was made end to end. The twin of
artifact-fake-quant is not counted among them: it rounds where the file rounds, so that its boundary is all but the
file's.
"""
OUTPUTS_ALONE = (QUERY, ARTIFACT_QUERY)


def reason_against(subject: Subject, name: str, artifact: str | None = None) -> str | None:
    """Return why a threat model does not apply to a subject, or to one of its artifacts; None where it does."""
    threat_named(name)
    pair = subject.pair
    if name == FAKE_QUANT:
        quantised = [each for each in subject.artifacts if _is_int8(subject, each)]
        if not quantised or (artifact is not None and artifact not in quantised):
            return (f"it needs an INT8 graph, and {artifact or subject.name} has none; use {ARTIFACT_TRANSFER} or "
                    f"{ARTIFACT_QUERY}, or add one: capgan-edge calibrate")  # fmt: skip
    if name in OF_ONE_ARTIFACT:
        return None
    if pair is None:
        return (f"it needs the torch pair behind {subject.name}, which is not at hand ({subject.no_pair_why}); "
                f"{ARTIFACT_QUERY} needs the file alone, or name its run with --against")  # fmt: skip
    if name == TRANSFER:
        surrogate = "no surrogate f' is packaged beside it; train one (capgan-edge train victim --seed 1) and name it "
        return None if subject.surrogate is not None else f"{surrogate}with --surrogate"
    if not pair.has_gradients and name != QUERY:
        return (f"it needs gradients, and the classifier of {subject.name} is an ONNX file that does not convert to "
                f"torch; {QUERY} and {ARTIFACT_QUERY} need outputs alone: use square or spsa there")  # fmt: skip
    return why_no_head(pair.defended) if name == CLASS_HEAD else None


def make_scenario(subject: Subject, name: str, artifact: str | None = None) -> Scenario:
    """Return a threat model on a subject.

    Raises:
        ConfigError: it does not apply.
    """
    if why := reason_against(subject, name, artifact):
        raise ConfigError(f"{name} expected something else than {subject.name}: {why}")
    if name in OF_ARTIFACTS:
        return _of_artifact(subject, name, artifact)
    assert subject.pair is not None
    defended = subject.pair.defended
    if name == TRANSFER:
        assert subject.surrogate is not None
        return Transfer(defended=defended, surrogate=subject.surrogate.model)
    kind = next(each for each in SCENARIOS if each.threat.name == name)
    scenario: Scenario = kind(defended=defended)  # type: ignore[call-arg]
    return scenario


def _of_artifact(subject: Subject, name: str, artifact: str | None) -> Scenario:
    usable = [each for each in subject.artifacts if reason_against(subject, name, each) is None]
    chosen = subject.artifacts[artifact or usable[0]]
    if name == ARTIFACT_QUERY:
        return ArtifactQuery(artifact=chosen)
    if name == ARTIFACT_TRANSFER:
        return ArtifactTransfer(on_twin=make_scenario(subject, END_TO_END), artifact=chosen)
    from capgan_benchmarks.threats.graph_twin import twin_from_bundle

    assert subject.bundle is not None
    twin = twin_from_bundle(subject.bundle, chosen.name)
    return ArtifactFakeQuant(twin=twin, artifact=chosen, temperature=subject.temperature)


def _is_int8(subject: Subject, artifact: str) -> bool:
    if subject.bundle is None:
        return False
    manifest = subject.bundle.manifest
    return manifest.artifacts[graph_of(subject.bundle, artifact)].precision == "int8"
