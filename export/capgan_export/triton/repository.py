"""The model repository on disk: made beside its place, then moved there whole; nothing that is there is touched."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.runtime.bundle import Bundle, write_synced
from capgan_export.triton.card_state import card_facts
from capgan_export.triton.config import LABELS_FILE, TritonConfig, file_name, model_config
from capgan_export.triton.guide import guide_to
from capgan_export.triton.pbtxt import pbtxt_from_message
from capgan_export.triton.tensors import source_of_engine, tensors_from_onnx


@dataclass(frozen=True, kw_only=True, slots=True)
class TritonRequest:
    """What was asked for."""

    bundle: Path
    out: Path
    artifacts: tuple[str, ...] = ()
    """Graphs and engines by name; empty takes all that Triton can run."""
    config: TritonConfig = field(default_factory=TritonConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class TritonModel:
    """One model of the repository."""

    name: str
    artifact: str
    max_batch: int
    needs: str
    """What the server has to bring."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A repository that was written."""

    path: Path
    models: tuple[TritonModel, ...]
    left_out: tuple[str, ...]
    """A line for each artifact that Triton cannot run."""


def export_repository(request: TritonRequest) -> Exported:
    """Write a model repository.

    Raises:
        ConfigError: an artifact that the bundle does not have.
        ArtifactError: one that was asked for cannot run in Triton, there is none at all, two would be models of the
            same name, or something is in the way.
        CapganError: the disk is full or the folder cannot be written; nothing changed.
    """
    bundle = Bundle.open(request.bundle)
    _refuse_target(request.out)
    names, left_out = _chosen(bundle, request.artifacts)
    _refuse_twins(names, request.config)
    files: dict[str, bytes] = {}
    models = []
    for name in names:
        model, held = _model(bundle, name, request.config)
        models.append(model)
        files |= held
    files["README.md"] = guide_to(bundle, models).encode()
    _write(request.out, files)
    return Exported(path=request.out, models=tuple(models), left_out=left_out)


def _chosen(bundle: Bundle, wanted: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    held = [*bundle.manifest.artifacts, *bundle.manifest.engines]
    for name in wanted:
        if name not in held:
            raise ConfigError(f"expected artifacts among {', '.join(held)}, got {name!r}; see capgan-edge inspect")
    reasons = {name: _why_not(bundle, name) for name in wanted or held}
    left_out = tuple(f"{name}: {reason}" for name, reason in reasons.items() if reason)
    names = [name for name, reason in reasons.items() if not reason]
    if left_out and (wanted or not names):
        raise ArtifactError(f"expected an artifact that Triton runs, but {left_out[0]}")
    return names, left_out


def _why_not(bundle: Bundle, name: str) -> str:
    """Return why Triton cannot run an artifact; empty where it can."""
    record = bundle.manifest.engines.get(name)
    if record is None:
        return ""
    if record.flavour != "tensorrt":
        return "Triton has no backend for TensorRT-RTX; build it with TensorRT (build-engine --flavour tensorrt)"
    sidecar, _ = source_of_engine(bundle, name)
    if sidecar.profile.min > 1:
        return f"Triton sends batches from 1 on, it takes {sidecar.profile.min} or more; build it with --batch 1,..."
    return ""


def _model(bundle: Bundle, artifact: str, config: TritonConfig) -> tuple[TritonModel, dict[str, bytes]]:
    manifest, data = bundle.manifest, bundle.read_file(artifact)
    is_plan = artifact in manifest.engines
    if is_plan:
        sidecar, tensors = source_of_engine(bundle, artifact)
        max_batch, precision = sidecar.profile.max, sidecar.precision
        where = ", ".join(sidecar.targets) or (sidecar.device.name if sidecar.device else "the GPU that built it")
        needs = f"TensorRT {sidecar.version}, and {where}"
    else:
        tensors, max_batch = tensors_from_onnx(data), config.max_batch
        record = manifest.artifacts[artifact]
        precision, needs = record.precision, f"an ONNX Runtime with opset {record.opset}"
    name = _model_name(artifact, config)
    facts = {
        "capgan_artifact": artifact,
        "capgan_sha256": manifest.files[artifact].sha256,
        "capgan_precision": precision,
        **card_facts(manifest, artifact),
    }
    message = model_config(name, tensors, config, max_batch=max_batch, is_plan=is_plan, facts=facts)
    labels = "".join(f"{label}\n" for label in manifest.labels)
    files = {
        f"{name}/config.pbtxt": pbtxt_from_message(message).encode(),
        f"{name}/{LABELS_FILE}": labels.encode(),
        f"{name}/1/{file_name(is_plan=is_plan)}": data,
    }
    return TritonModel(name=name, artifact=artifact, max_batch=max_batch, needs=needs), files


def _model_name(artifact: str, config: TritonConfig) -> str:
    """Return the name of an artifact's model: `model.fp32.onnx` is `capgan-fp32-onnx`."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", artifact.removeprefix("engines/").removeprefix("model."))
    return f"{config.name}-{plain}"


def _refuse_twins(artifacts: list[str], config: TritonConfig) -> None:
    """Refuse artifacts of which one would take the other's directory, also where case makes no difference."""
    held: dict[str, str] = {}
    for artifact in artifacts:
        name = _model_name(artifact, config)
        twin = held.setdefault(name.casefold(), artifact)
        if twin != artifact:
            raise ArtifactError(
                f"expected artifacts that give models of different names, got {twin} and {artifact}, both {name}; "
                "name the ones to export with --artifact, and each of these in a repository of its own"
            )


def _refuse_target(out: Path) -> None:
    try:
        is_free = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    except OSError as error:
        raise ArtifactError(
            f"expected a place for a repository at {out}, but: {error.strerror or error}; choose another"
        ) from error
    if not is_free:
        raise ArtifactError(f"expected nothing or an empty directory at {out}, got more; choose another with -o")


def _write(out: Path, files: dict[str, bytes]) -> None:
    target = out.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp") as workshop:
            fresh = Path(workshop, "new")
            for name, data in files.items():
                write_synced(fresh / name, data)
            os.rename(fresh, target)  # noqa: PTH104 - replaces an empty directory, never one that has been filled since
    except OSError as error:
        raise CapganError(
            f"expected to write the repository {out}, but: {error.strerror or error}; nothing was changed there: "
            "free some space or name another folder, then run the same command again"
        ) from error
