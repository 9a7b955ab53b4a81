"""What an engine is and whether it can run here, said to people and to machines; nothing of it is deserialised."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capgan_edge.errors import ArtifactError
from capgan_edge.files import sha256_of_file
from capgan_edge.runtime.engine_membership import bundle_around, membership_refusal
from capgan_edge.runtime.gpu import this_host
from capgan_edge.runtime.plan_header import HEADER_BYTES, PlanHeader, read_plan_header
from capgan_edge.runtime.preflight import Host, Verdict, preflight
from capgan_edge.runtime.sidecar import MAX_SIDECAR_BYTES, EngineSidecar, sidecar_from_json, sidecar_path


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """One engine on disk, as its header and its sidecar tell, and the verdict on it."""

    path: Path
    header: PlanHeader | None
    """None where the file is no plan."""
    sidecar: EngineSidecar | None
    """None where there is none, or a broken one."""
    verdict: Verdict


def inspect_engine(path: Path, *, is_json: bool) -> int:
    """Say what the engine at `path` is; return the exit code: 0 where it can run here, 1 where it cannot."""
    facts = examine_engine(path, this_host())
    if is_json:
        typer.echo(json.dumps(describe_engine(facts), indent=2, allow_nan=False))
    else:
        print_engine(facts, Console())
    return 0 if facts.verdict.ok else 1


def examine_engine(path: Path, host: Host) -> EngineFacts:
    """Read a plan's header and hash and its sidecar, and hold them against one another and against `host`.

    An engine in a bundle is held against its manifest first: what that does not stand by is not opened either.

    Raises:
        ArtifactError: there is no file at `path`, or it cannot be read.
    """
    if not path.is_file():
        raise ArtifactError(f"expected an engine (a .plan file) at {path}, got none; make one with build-engine")
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        sha256, size_bytes = sha256_of_file(path), path.stat().st_size
        sidecar_bytes = _read_sidecar(sidecar_path(path))
    except OSError as error:
        raise ArtifactError(
            f"expected to read {path}, but: {error.strerror or error}; check its permissions"
        ) from error
    sidecar, refusal = _parsed(sidecar_bytes, sidecar_path(path).name)
    root = bundle_around(path)
    verdict = preflight(
        head, sidecar, host, sha256=sha256, size_bytes=size_bytes, bundle="BUNDLE" if root is None else str(root)
    )
    if refusal:
        verdict = Verdict(ok=False, reason=refusal, rebuild=verdict.rebuild)
    if root is not None:
        verdict = membership_refusal(root, path, sidecar, sidecar_bytes, rebuild=verdict.rebuild) or verdict
    return EngineFacts(path=path, header=_header(head), sidecar=sidecar, verdict=verdict)


def describe_engine(facts: EngineFacts) -> dict[str, Any]:
    """Return all of it, ready for JSON."""
    return {
        "engine": str(facts.path),
        "header": None if facts.header is None else asdict(facts.header),
        "sidecar": None if facts.sidecar is None else facts.sidecar.model_dump(mode="json"),
        "verdict": asdict(facts.verdict),
    }


def print_engine(facts: EngineFacts, console: Console) -> None:
    """Print the sidecar, and the verdict last."""
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("engine", style="bold"), Text(str(facts.path)))
    for name, value in _rows(facts.sidecar).items():
        table.add_row(Text(name, style="bold"), Text(value))
    if facts.sidecar is None and facts.header is not None:
        table.add_row(Text("plan of", style="bold"), Text(f"{facts.header.flavour} {facts.header.version}"))
    console.print(table)
    verdict = facts.verdict
    said = "can run here" if not verdict.unchecked else "nothing known speaks against it"
    print_line(console, f"{said if verdict.ok else 'CANNOT run here'}: {verdict.reason}")
    for gap in verdict.unchecked:
        print_line(console, f"not checked: {gap}")
    if not verdict.ok:
        print_line(console, f"one that can: {verdict.rebuild}")


def print_line(console: Console, line: str) -> None:
    """Print one line as it is, on one line however narrow the terminal: it may hold a command to copy."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _read_sidecar(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_SIDECAR_BYTES + 1)


def _parsed(data: bytes | None, origin: str) -> tuple[EngineSidecar | None, str]:
    """Return the sidecar, or why a file that is there is none."""
    if data is None:
        return None, ""
    try:
        return sidecar_from_json(data, origin), ""
    except ArtifactError as error:
        return None, str(error)


def _header(head: bytes) -> PlanHeader | None:
    try:
        return read_plan_header(head)
    except ArtifactError:
        return None


def _rows(sidecar: EngineSidecar | None) -> dict[str, str]:
    if sidecar is None:
        return {}
    counts = {"as parsed": sidecar.num_network_layers, "in the engine": sidecar.num_layers,
              "casts": sidecar.num_casts, "reformats": sidecar.num_reformats}  # fmt: skip
    gpu = sidecar.device
    return {
        "source": f"{sidecar.source}, sha256 {sidecar.source_sha256[:16]}",
        "precision": sidecar.precision,
        "batches": f"{sidecar.profile.min} to {sidecar.profile.max}, tuned for {sidecar.profile.opt}",
        "built by": f"{sidecar.flavour} {sidecar.version}, {sidecar.created}, in {sidecar.seconds:.1f} s",
        "built on": "a machine without a GPU" if gpu is None else f"{gpu.name} ({gpu.sm})",
        "targets": ", ".join(sidecar.targets) or "the machine that built it",
        "flags": ", ".join(sidecar.flags),
        "layers": ", ".join(f"{count} {what}" for what, count in counts.items() if count is not None),
        "plan": f"{sidecar.size_bytes:,} bytes, sha256 {sidecar.sha256[:16]}",
    }
