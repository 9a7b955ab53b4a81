"""The record of a latency benchmark: every figure with the protocol, the machine and the bytes behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from capgan_benchmarks.headed_record import HeadedRecord, read_checked
from capgan_benchmarks.latency.protocol import Positive, Protocol
from capgan_benchmarks.latency.sample import Ms, Summary
from capgan_edge.errors import ConfigError
from capgan_edge.files import write_json
from capgan_edge.runtime.fields import Count, Listed, Name, Record, Sha256


class Row(Record):
    """One contestant at one batch size."""

    name: Name
    role: Literal["victim", "purified", "classify", "peer"]
    batch: Annotated[int, Field(ge=1)]
    runtime: Name
    provider: Name
    precision: Name
    artifact: Name | None
    sha256: Sha256 | None
    """Of the bytes that ran: of the artifact, or of the part of it that was cut out."""
    artifact_sha256: Sha256 | None
    """Of the artifact as it ships."""
    note: Name | None
    end_to_end: Summary
    """From uint8 frames to logits; of `classify`, from the camera's frames to verdicts."""
    engine: Summary
    """Of it, inside the engine: a GPU's copies included."""
    host: Summary
    """Of it, the rest."""
    round_p50_ms: Annotated[Listed[Ms], Field(min_length=2)]
    """The median of each round, end to end: what the spread of a ratio of any two rows is made of."""
    early_stopping_ms: Ms | None
    """MLPerf's estimate of the scenario's percentile; None offline, or where n is too small."""


class Ratio(Record):
    """How much longer one takes than another in the same run: of the medians, over the rounds."""

    kind: Literal["price", "against"]
    """`price`: purified over the victim alone. `against`: a peer over what ships."""
    name: Name
    reference: Name
    batch: Annotated[int, Field(ge=1)]
    value: Positive
    """Of the medians of all queries."""
    low: Positive
    high: Positive
    """The smallest and the largest of the rounds."""
    num_rounds: Annotated[int, Field(ge=2)]


class Ceiling(Record):
    """The fastest that this machine was seen to do, with as many threads as the contestants."""

    kind: Literal["fp32", "bf16", "int8", "copy"]
    value: Positive
    """Multiply-accumulates a second; of `copy`, bytes read and written a second."""
    by: Name
    n: Annotated[int, Field(ge=1)]


class RoofShare(Record):
    """The time that the ceilings allow a contestant, as a share of what it took."""

    name: Name
    batch: Annotated[int, Field(ge=1)]
    macs: Count
    """Of one query."""
    int8_macs: Count
    """Of these, between INT8 operands."""
    moved_bytes: Count
    """Weights once, and what layers read and write."""
    roof_ms: Positive
    bound: Literal["compute", "memory"]
    percent: Annotated[FiniteFloat, Field(ge=0)]


class NotRun(Record):
    """What was asked for and could not be timed here."""

    name: Name
    why: Name


class LatencyRecord(HeadedRecord):
    """All of it."""

    kind: Literal["latency"] = "latency"
    subject: Name
    protocol: Protocol
    rows: Listed[Row]
    ratios: Listed[Ratio]
    ceilings: Listed[Ceiling] = ()
    roof: Listed[RoofShare] = ()
    not_run: Listed[NotRun] = ()


def write_record(path: Path, record: LatencyRecord) -> None:
    """Write the record as JSON, atomically."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path) -> LatencyRecord:
    """Read and check a record.

    Raises:
        DataError: it cannot be read, or is no such record.
    """
    return read_checked(path, LatencyRecord, what="a record of capgan-edge benchmark latency")


def refuse_other_protocol(held: LatencyRecord, other: LatencyRecord) -> None:
    """Refuse to compare two records that were not measured alike, on processors of one name.

    Raises:
        ConfigError: names what differs.
    """
    ours, theirs = held.protocol.model_dump(mode="json"), other.protocol.model_dump(mode="json")
    differing = [f"{name} {theirs[name]} for {ours[name]}" for name in ours if ours[name] != theirs[name]]
    cpus = [record.environment.get("cpu") for record in (held, other)]
    differing += [] if cpus[0] == cpus[1] else [f"cpu {cpus[1]} for {cpus[0]}"]
    if differing:
        raise ConfigError(
            f"expected two records of one protocol, got one with {'; '.join(differing)}; measure both alike"
        )
