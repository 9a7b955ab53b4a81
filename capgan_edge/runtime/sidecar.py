"""The sidecar of an engine: a JSON file beside the pure plan that says what it was built from, with, and for."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, StringConstraints, ValidationError, model_validator

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.fields import Count, Date, Listed, Name, Precision, Record, Sha256
from capgan_edge.runtime.manifest import EngineRecord

SIDECAR_SCHEMA = 1
MAX_SIDECAR_BYTES = 1 << 20
MAX_BATCH = 4096
"""Frames; TensorRT compiles far larger batches into engines that it then calls inconsistent itself."""
Flavour = Literal["tensorrt", "tensorrt_rtx"]
RTX_TARGETS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121")
"""What TensorRT-RTX compiles for, in the order of its plans' bits (plan_header.py); not sm_87 (Orin), not sm_90."""
Sm = Annotated[str, StringConstraints(pattern=r"^sm_[0-9]{2,3}$")]
"""A GPU architecture by its compute capability: `sm_86` is 8.6."""


class Profile(Record):
    """The batch sizes that an engine takes, and the one that it was tuned for."""

    min: int = Field(ge=1, le=MAX_BATCH)
    opt: int = Field(ge=1, le=MAX_BATCH)
    max: int = Field(ge=1, le=MAX_BATCH)

    @model_validator(mode="after")
    def _is_ordered(self) -> Profile:
        if not self.min <= self.opt <= self.max:
            raise ValueError(f"expected min <= opt <= max, got {self}")
        return self

    def __str__(self) -> str:
        return f"{self.min},{self.opt},{self.max}"


class GpuIdentity(Record):
    """A GPU, as far as an engine cares."""

    name: Name
    sm: Sm


class EngineSidecar(Record):
    """`engines/<name>.json`: the whole story of `engines/<name>.plan`."""

    schema_version: Literal[1] = 1
    source: Name
    """The graph that was compiled, as the bundle calls it."""
    source_sha256: Sha256
    precision: Precision
    profile: Profile
    flavour: Flavour
    version: Annotated[Name, Field(max_length=64)]
    """Of the builder, which is the version that the plan asks of its runtime: `1.7.1.116`."""
    targets: Listed[Sm]
    """What it was compiled for; empty where that is the machine that built it."""
    is_portable: bool = False
    """No target was named: TensorRT-RTX took its own, those of `targets`."""
    device: GpuIdentity | None
    """The GPU that it was built on; None where it was built without one."""
    flags: Listed[Name]
    """Of TensorRT, by name: `STRONGLY_TYPED`, `VERSION_COMPATIBLE`, `AMPERE_PLUS`."""
    workspace_gib: FiniteFloat | None = Field(default=None, gt=0)
    """Memory that tactics could use while it was built; None left it to TensorRT."""
    sha256: Sha256
    """Of the plan."""
    size_bytes: Annotated[Count, Field(lt=1 << 63)]
    num_network_layers: Count
    """Layers of the network as parsed, before TensorRT fused them."""
    num_layers: Count | None
    """Layers of the engine; this and the next two are None where there was no GPU to open it on and count."""
    num_casts: Count | None
    num_reformats: Count | None
    """Copies between memory layouts, casts not counted: what makes an INT8 engine slower than one in FP16."""
    seconds: FiniteFloat = Field(ge=0)
    """What the build took."""
    created: Date
    rebuild: Name
    """The command that builds it again, for whoever reads the file. Nothing prints or runs it: a file may lie."""


def engine_record(sidecar: EngineSidecar, sidecar_name: str) -> EngineRecord:
    """Return what the manifest says of an engine: an extract of its sidecar."""
    return EngineRecord(precision=sidecar.precision, sidecar=sidecar_name, source_sha256=sidecar.source_sha256,
                        flavour=sidecar.flavour, version=sidecar.version, targets=sidecar.targets)  # fmt: skip


def rebuild_command(
    sidecar: EngineSidecar, *, bundle: str = "BUNDLE", target: str | None = None, has_both: bool = False
) -> str:
    """Return the command that builds this engine again from `bundle`.

    Args:
        sidecar: of the engine.
        bundle: where the bundle is.
        target: build for this architecture instead of the engine's; by TensorRT, there, where it is none of RTX's.
        has_both: both TensorRTs are installed where the command is to run, so that it has to name one.
    """
    named = () if sidecar.is_portable else sidecar.targets
    targets = named if target is None else (target,)
    words = ["capgan-edge build-engine", shlex.quote(bundle), f"--{sidecar.precision}", f"--batch {sidecar.profile}"]
    flavour = sidecar.flavour if target is None or target in RTX_TARGETS else "tensorrt"
    if has_both or flavour != sidecar.flavour:
        words.append(f"--flavour {flavour}")
    if flavour == "tensorrt_rtx":
        words += [f"--target {name}" for name in targets]
    if sidecar.workspace_gib is not None:
        words.append(f"--workspace-gib {sidecar.workspace_gib:g}")
    if "VERSION_COMPATIBLE" in sidecar.flags:
        words.append("--version-compatible")
    if "AMPERE_PLUS" in sidecar.flags:
        words.append("--hardware-compatible")
    return " ".join([*words, "--force"])


def json_from_sidecar(sidecar: EngineSidecar) -> bytes:
    """Return the sidecar as indented JSON."""
    return (json.dumps(sidecar.model_dump(mode="json"), indent=2, allow_nan=False) + "\n").encode()


def sidecar_from_json(data: bytes, origin: str) -> EngineSidecar:
    """Parse and check a sidecar; `origin` is what errors call it.

    Raises:
        ArtifactError: not JSON, of another schema, or a field that is missing, unknown or of the wrong kind.
    """
    try:
        return EngineSidecar.model_validate_json(data[: MAX_SIDECAR_BYTES + 1])
    except ValidationError as error:
        raise ArtifactError(
            f"{origin}: expected an engine's sidecar of schema {SIDECAR_SCHEMA}, got a file with a wrong "
            f"{first_problem(error)}; build the engine again with capgan-edge build-engine"
        ) from error


def first_problem(error: ValidationError) -> str:
    """Name the first wrong field, and what is wrong with it."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "sidecar"
    return f"{place!a}: {first['msg']}"


def sidecar_path(plan: Path) -> Path:
    """Return where the sidecar of a plan lies."""
    return plan.with_suffix(".json")
