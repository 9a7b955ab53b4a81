"""The manifest of a bundle: what every file is, what the graph takes and gives, and the figures measured on it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, JsonValue, ValidationError, model_validator

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.card import RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.fields import Count, Date, Listed, Name, Precision, Record, Sha256

MANIFEST = "manifest.json"
"""Its name in the bundle."""
SCHEMA_VERSION = 2
"""Raised by every change that an older reader would misread."""


class InputContract(Record):
    """What the graph's input `frames` takes; N is free."""

    height: int = Field(ge=1)
    """In pixels."""
    width: int = Field(ge=1)
    """In pixels."""
    layout: Literal["NHWC"] = "NHWC"
    dtype: Literal["uint8"] = "uint8"
    channels: Literal["RGB"] = "RGB"


class OutputSpec(Record):
    """One output of the graph; a name in `shape` is a free dimension."""

    name: Literal["logits", "suspicion", "purified", "raw_logits"]
    dtype: Literal["float32", "uint8"]
    shape: Listed[int | str]


class FileRecord(Record):
    """One file of the bundle, exactly."""

    sha256: Sha256
    size_bytes: Count


class CalibrationIdentity(Record):
    """The frames that INT8 ranges come from, and how the ranges were drawn from them."""

    data: Name
    mixture: dict[Name, FiniteFloat]
    """Share of each kind (`clean`, `adversarial`, `adversarial-end-to-end`, `purified`); they add up to 1."""
    n: Count
    seed: int
    attack: dict[str, JsonValue]
    """Settings of the attack; empty where no frame was attacked."""
    sha256: Sha256
    """Of the frames, in their order."""
    method: Name
    """`minmax`, `percentile` or `entropy`."""


class ArtifactRecord(Record):
    """One fused graph: its precision is in the graph."""

    precision: Precision
    opset: int = Field(ge=1)
    source_sha256: Sha256 | None = None
    """The graph that it was made from; None where it was exported."""
    settings: dict[str, JsonValue] = Field(default={})
    """How it was made: what stayed in a higher precision and why, the converter and its version."""
    calibration: CalibrationIdentity | None = None


class EngineRecord(Record):
    """One compiled engine, a pure plan under `engines/`; its sidecar holds the whole story."""

    precision: Precision
    sidecar: Name
    """The JSON file beside it, named in `files` too."""
    source_sha256: Sha256
    """The graph that was compiled."""
    flavour: Name
    """`tensorrt` or `tensorrt_rtx`."""
    version: Name
    targets: Listed[Name]
    """`sm_86` and the like; empty where the engine is for the machine that built it."""


class PurifierIdentity(Record):
    """Which purifier was fused: the hash is of its weights file."""

    name: Name
    preset: Name
    sha256: Sha256
    config: dict[str, JsonValue]
    macs: Count
    """Multiply-accumulates of one frame."""
    parameters: Count


class VictimIdentity(Record):
    """Which classifier was fused; counts are None where it came as a file that cannot be counted."""

    name: Name
    sha256: Sha256
    macs: Count | None = None
    parameters: Count | None = None


class ParityRecord(Record):
    """How far an artifact's outputs are from the reference's on the same frames."""

    artifact: Name
    against: Name
    frames: Name
    """`clean`, `attacked`, or another kind of frames."""
    n: Count
    seed: int
    settings: dict[str, JsonValue]
    max_abs_logits: FiniteFloat = Field(ge=0)
    tolerance: FiniteFloat = Field(ge=0)
    top1_agreement: FiniteFloat = Field(ge=0, le=1)
    """Share in [0, 1]."""
    passed: bool


class Figure(Record):
    """One number measured on what was exported, with all that is needed to measure it again."""

    name: Name
    value: FiniteFloat
    unit: Name
    n: Count
    seed: int | None
    settings: dict[str, JsonValue]
    data: Name
    device: Name
    interval_95: Annotated[tuple[FiniteFloat, FiniteFloat], Field(strict=False)] | None = None
    """Low and high end of the 95 % interval, in `unit`."""


class Manifest(Record):
    """`manifest.json`. A manifest not yet written has no `files`: `write_bundle` fills them in."""

    schema_version: Literal[1, 2] = 2
    created: Date
    labels: Annotated[Listed[Name], Field(min_length=1)]
    """K names; the index of a name is its class."""
    input: InputContract
    outputs: Listed[OutputSpec]
    files: dict[Name, FileRecord] = Field(default={})
    artifacts: Annotated[dict[Name, ArtifactRecord], Field(min_length=1)]
    purifier: PurifierIdentity
    victim: VictimIdentity
    tools: dict[Name, Name]
    parity: Listed[ParityRecord] = ()
    figures: Listed[Figure] = ()
    engines: dict[Name, EngineRecord] = Field(default={})
    cards: Listed[RobustnessCard] = ()
    """At most one for an artifact or engine and what computed it: the newest."""
    thresholds: Listed[SuspicionThreshold] = ()
    """At most one, as above."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Manifest:
        shapes = {output.name: output.shape for output in self.outputs}
        if len(shapes) != len(self.outputs):
            raise ValueError("expected every output once")
        if not {"logits", "suspicion"} <= shapes.keys():
            raise ValueError("expected the outputs logits and suspicion")
        num_classes = shapes["logits"][-1:]
        if num_classes != (len(self.labels),):
            raise ValueError(f"expected logits [N, {len(self.labels)}], one a label, got {list(shapes['logits'])}")
        return self


def manifest_from_json(data: bytes, origin: str) -> Manifest:
    """Parse and check a manifest; `origin` is what errors call it.

    Raises:
        ArtifactError: not JSON, a newer schema, or a field that is missing, unknown or of the wrong kind.
    """
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{origin}: expected JSON, got a file that does not parse ({error}); {_REMEDY}") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ArtifactError(
            f"{origin}: expected schema version {SCHEMA_VERSION} or older, got {version}, "
            "written by a newer capgan-edge; upgrade with pip install --upgrade capgan-edge"
        )
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise ArtifactError(f"{origin}: {_first_problem(error)}; {_REMEDY}") from error


def json_from_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON.

    Raises:
        ArtifactError: a setting holds NaN or infinity, which JSON cannot.
    """
    try:
        return (json.dumps(manifest.model_dump(), indent=2, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise ArtifactError(
            f"expected finite numbers in every setting of a manifest, got {error}; leave the setting out"
        ) from error


_REMEDY = "write the bundle again with capgan-edge export"


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=True)
    first: Any = problems[0]
    place = ".".join(str(part) for part in first["loc"]) or "manifest"
    got = repr(first["input"])
    got = got if len(got) <= 60 else got[:57] + "..."
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"field {place!a}: {first['msg']}, got {got}{more}"
