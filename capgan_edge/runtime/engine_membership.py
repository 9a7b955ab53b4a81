"""Whether an engine on disk is the one that the bundle around it names: a sidecar alone may say anything."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from capgan_edge.errors import ArtifactError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.engine_opening import stale_reason
from capgan_edge.runtime.manifest import MANIFEST, EngineRecord
from capgan_edge.runtime.preflight import Verdict
from capgan_edge.runtime.sidecar import EngineSidecar, engine_record, rebuild_command, sidecar_path

_LARGEST_BATCH = re.compile(r"-b([0-9]{1,4})\.plan$")
"""As `build-engine` names its engines."""


def bundle_around(plan: Path) -> Path | None:
    """Return the bundle whose `engines/` the plan is in, as a command can name it; None where it is in none."""
    home = plan.resolve().parent.parent
    if not (home / MANIFEST).is_file():
        return None
    named = plan.parent.parent
    return named if named.resolve() == home else home


def membership_refusal(
    root: Path, plan: Path, sidecar: EngineSidecar | None, sidecar_bytes: bytes | None, *, rebuild: str
) -> Verdict | None:
    """Return why the bundle does not stand by this engine; None where it does, or where only the plan has changed.

    Args:
        root: of the bundle.
        plan: in its `engines/`; its own bytes are not judged here.
        sidecar: as parsed; None where there is none, or a broken one.
        sidecar_bytes: the file; None where there is none.
        rebuild: the command to give where the bundle knows none.
    """
    name = plan.resolve().relative_to(plan.resolve().parent.parent).as_posix()
    try:
        bundle = Bundle.open(root, replaced=(name, sidecar_path(Path(name)).as_posix()))
    except ArtifactError as error:
        return Verdict(ok=False, reason=str(error), rebuild=rebuild)
    record = bundle.manifest.engines.get(name)
    if record is None:
        reason = f"expected one of the engines that {MANIFEST} names, got {name}; remove it, or build it there"
        return Verdict(ok=False, reason=reason, rebuild=rebuild)
    promised = bundle.manifest.files[record.sidecar].sha256
    came = "none" if sidecar_bytes is None else f"{sha256_of_bytes(sidecar_bytes)[:12]}..."
    if sidecar_bytes is None or sha256_of_bytes(sidecar_bytes) != promised:
        reason = f"expected the sidecar {promised[:12]}... that {MANIFEST} names, got {came}: it was changed or is lost"
        return Verdict(ok=False, reason=reason, rebuild=_rebuild_of_record(record, name, root))
    if sidecar is None or engine_record(sidecar, record.sidecar) != record:
        reason = f"expected a sidecar that says what {MANIFEST} says of this engine, got another"
        return Verdict(ok=False, reason=reason, rebuild=_rebuild_of_record(record, name, root))
    stale = stale_reason(bundle, name)
    if stale is not None:
        return Verdict(ok=False, reason=stale, rebuild=rebuild_command(sidecar, bundle=str(root)))
    return None


def _rebuild_of_record(record: EngineRecord, name: str, root: Path) -> str:
    """Return the command that builds an engine of this very name, as far as one knows without its sidecar."""
    words = ["capgan-edge build-engine", shlex.quote(str(root)), f"--{record.precision}"]
    batch = _LARGEST_BATCH.search(name)
    if batch is not None:
        words.append(f"--batch 1,1,{int(batch[1])}")
    if record.flavour == "tensorrt_rtx" and "-portable-" not in name:
        words += [f"--target {shlex.quote(target)}" for target in record.targets]
    return " ".join([*words, "--force"])
