"""The robustness card: what an artifact was put through, bound to its bytes by their hash."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, JsonValue

from capgan_edge.runtime.fields import Count, Date, Listed, Name, Record, Sha256, Share


class CardCheck(Record):
    """One gate: a value, the limit it was held to, and whether it held."""

    name: Name
    kind: Literal["numeric", "task", "robustness"]
    value: FiniteFloat
    comparison: Literal["at most", "at least"]
    limit: FiniteFloat
    unit: Name
    n: Count
    interval_95: tuple[FiniteFloat, FiniteFloat] | None = Field(default=None, strict=False)
    """Low and high end of the 95 % interval, in `unit`; None where there is no sampling error to speak of."""
    passed: bool


class RobustnessCard(Record):
    """The verdict on one artifact or engine, against the FP32 twin: the torch pair it was made of."""

    artifact: Name
    artifact_sha256: Sha256
    against: Name
    against_sha256: Sha256
    created: Date
    data: Name
    seed: int
    device: Name
    settings: dict[str, JsonValue]
    """Attacks with epsilon and steps, who made their gradients, the gates file and its hash."""
    checks: Listed[CardCheck] = Field(min_length=1)
    passed: bool


class SuspicionThreshold(Record):
    """Above it a frame raises an alarm; tuned on clean frames through this very artifact."""

    artifact: Name
    artifact_sha256: Sha256
    threshold: Share
    false_alarm_rate: Share
    """Share of clean frames above the threshold that was asked for."""
    measured_rate: Share
    """The share that was found on frames that the threshold was not tuned on."""
    n: Count
    seed: int
    data: Name
    runtime: Name | None = None
    """What computed the artifact, by its name on cards; None is ONNX Runtime for a graph, TensorRT for an engine."""
