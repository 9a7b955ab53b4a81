"""Preflight: whether an engine can run here, told from its header and sidecar before a byte is deserialised.

What TensorRT promises (its support matrices): a plan runs in the version that built it, on the model of GPU that built
it; version-compatible plans also in newer versions of the same major, and 10 in 11; AMPERE_PLUS plans on every GPU from
sm_80. TensorRT-RTX plans run in exactly their own version, on the architectures that they were compiled for.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.plan_header import PlanHeader, read_plan_header
from capgan_edge.runtime.sidecar import EngineSidecar, Flavour, GpuIdentity, first_problem, rebuild_command

_NEWER_MAJORS = {10: (11,)}
"""Across majors, version-compatible plans run only so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What an engine is to run on; what is not known is not held against the engine, and said."""

    gpu: GpuIdentity | None = None
    """None: not known."""
    versions: Mapping[Flavour, str] | None = None
    """The TensorRTs installed; None: not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether an engine can run here."""

    ok: bool
    reason: str
    """One line: what contradicts, or what was found right."""
    rebuild: str
    """The command that makes an engine that fits."""
    unchecked: tuple[str, ...] = ()
    """What could not be held against this machine, and why."""


def preflight(
    plan_head: bytes,
    sidecar: object,
    host: Host,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    bundle: str = "BUNDLE",
) -> Verdict:
    """Judge an engine; never raises, whatever the bytes are.

    Args:
        plan_head: the first `HEADER_BYTES` of the plan, or all of it.
        sidecar: an `EngineSidecar`, or as JSON gave it, whatever that is; None where there is none.
        host: the machine it is to run on.
        sha256: of the whole plan, where it was read.
        size_bytes: of the whole plan.
        bundle: what the rebuild command calls the bundle.
    """
    any_build = f"capgan-edge build-engine {shlex.quote(bundle)} --fp16 --force"
    if sidecar is None:
        reason = "expected a sidecar beside the plan that says what it was built from, got none"
        return Verdict(ok=False, reason=reason, rebuild=any_build)
    try:
        known = EngineSidecar.model_validate(dict(sidecar) if isinstance(sidecar, Mapping) else sidecar)
    except ValidationError as error:
        return Verdict(ok=False, reason=f"the sidecar is none: {first_problem(error)}", rebuild=any_build)
    is_elsewhere = host.gpu is not None and bool(known.targets) and host.gpu.sm not in known.targets
    rebuild = rebuild_command(known, bundle=bundle, target=host.gpu.sm if host.gpu and is_elsewhere else None,
                              has_both=len(host.versions or ()) > 1)  # fmt: skip
    try:
        header = read_plan_header(plan_head)
    except ArtifactError as error:
        return Verdict(ok=False, reason=str(error), rebuild=rebuild)
    problems = [
        *_lies(header, known, sha256, size_bytes),
        *_wrong_version(known, host.versions),
        *_wrong_gpu(known, host.gpu),
    ]
    if problems:
        return Verdict(ok=False, reason="; ".join(problems), rebuild=rebuild)
    return Verdict(ok=True, reason=_praise(known), rebuild=rebuild, unchecked=tuple(_unchecked(host, sha256)))


def _lies(header: PlanHeader, sidecar: EngineSidecar, sha256: str | None, size_bytes: int | None) -> Iterator[str]:
    """What contradicts between plan and sidecar: one of them was changed, or is of another engine."""
    if sha256 is not None and sha256 != sidecar.sha256:
        yield f"expected the plan {sidecar.sha256[:12]}... of the sidecar, got {sha256[:12]}...: one of the two changed"
    if size_bytes is not None and size_bytes != sidecar.size_bytes:
        yield f"expected a plan of {sidecar.size_bytes} bytes as in the sidecar, got {size_bytes}"
    if size_bytes is not None and header.size_bytes not in (None, size_bytes):
        yield f"expected a plan of {header.size_bytes} bytes as its header says, got {size_bytes}: the copy is a part"
    if header.flavour != sidecar.flavour:
        yield f"the sidecar says {sidecar.flavour}, the plan was written by {header.flavour}"
    elif not _is_version_of(sidecar.version, header):
        yield f"the sidecar says version {sidecar.version}, the plan was written by {header.version}"
    if header.targets is not None and set(header.targets) != set(sidecar.targets):
        yield f"the sidecar says {_listed(sidecar.targets)}, the plan holds code for {_listed(header.targets)}"


def _is_version_of(told: str, header: PlanHeader) -> bool:
    """Whether a builder's own name of its version is the header's; TensorRT up to 10.7 leaves the build number out."""
    parts = _parts(told)[:4]
    return len(parts) >= 3 and _parts(header.version)[: len(parts)] == tuple(part % 256 for part in parts)


def _wrong_version(sidecar: EngineSidecar, versions: Mapping[Flavour, str] | None) -> Iterator[str]:
    if versions is None:
        return
    here = versions.get(sidecar.flavour)
    if here is None:
        yield f"expected {sidecar.flavour} {sidecar.version} on this machine, got {_named(versions)}"
    elif not _runs_in(sidecar, _parts(here)):
        yield f"expected {sidecar.flavour} {sidecar.version}, with which it was built, got {here} on this machine"


def _runs_in(sidecar: EngineSidecar, here: tuple[int, ...]) -> bool:
    built = _parts(sidecar.version)
    told = min(len(built), len(here), 4)  # TensorRT refuses another build number too, where both sides tell one
    if told >= 3 and built[:told] == here[:told]:
        return True
    if "VERSION_COMPATIBLE" not in sidecar.flags or not (built and here):
        return False
    return (built[0] == here[0] and built <= here) or here[0] in _NEWER_MAJORS.get(built[0], ())


def _wrong_gpu(sidecar: EngineSidecar, gpu: GpuIdentity | None) -> Iterator[str]:
    if gpu is None:
        return
    if sidecar.targets:
        if gpu.sm not in sidecar.targets:
            yield f"it was compiled for {_listed(sidecar.targets)}, and {gpu.name} is {gpu.sm}"
    elif "AMPERE_PLUS" in sidecar.flags:
        if int(gpu.sm[3:]) < 80:
            yield f"it was compiled for sm_80 and newer, and {gpu.name} is {gpu.sm}"
    elif sidecar.device is not None and sidecar.device != gpu:
        built_on = f"{sidecar.device.name} ({sidecar.device.sm})"
        yield f"it was built on {built_on} and runs on nothing else, and here is {gpu.name} ({gpu.sm})"


def _unchecked(host: Host, sha256: str | None) -> Iterator[str]:
    if sha256 is None:
        yield "the plan's hash: it was not read"
    if host.versions is None:
        yield "the version of TensorRT here: not known"
    if host.gpu is None:
        yield "the GPU: none was found here"


def _praise(sidecar: EngineSidecar) -> str:
    targets = _listed(sidecar.targets) if sidecar.targets else "the machine that built it"
    return f"{sidecar.flavour} {sidecar.version}, {sidecar.precision}, batches of {sidecar.profile}, for {targets}"


def _parts(version: str) -> tuple[int, ...]:
    """Return a version's leading numbers: `10.13.3.9` is (10, 13, 3, 9)."""
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _listed(targets: tuple[str, ...]) -> str:
    return ", ".join(targets) or "no architecture"


def _named(versions: Mapping[Flavour, str]) -> str:
    return " and ".join(f"{flavour} {version}" for flavour, version in versions.items()) or "no TensorRT"
