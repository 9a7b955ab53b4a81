"""An engine joins the bundle that its graph is in: one writer at a time, the plan and its sidecar or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import Manifest
from capgan_edge.runtime.sidecar import (
    EngineSidecar,
    engine_record,
    json_from_sidecar,
    sidecar_from_json,
)
from capgan_edge.runtime.verdicts import without_verdicts
from capgan_export.engine.build import BuiltEngine, plan_from_onnx
from capgan_export.engine.config import EngineConfig, sorted_targets
from capgan_export.engine.door import Door, open_door
from capgan_export.engine.progress import Progress

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedEngine:
    """An engine of a bundle, made now or found there."""

    bundle: Bundle
    name: str
    """Of the plan, as the manifest calls it."""
    sidecar: EngineSidecar
    is_kept: bool
    """It was there already, and is what was asked for."""
    warnings: tuple[str, ...] = ()


def engine_name(config: EngineConfig, door: Door) -> str:
    """Return what an engine is called: `engines/fp16-sm_86-b8.plan`."""
    default = "portable" if door.flavour == "tensorrt_rtx" else "host"
    targets = "-".join(sorted_targets(config.targets)) or default
    return f"engines/{config.precision}-{targets}-b{config.profile.max}.plan"


def add_engine(
    path: Path,
    config: EngineConfig,
    *,
    overwrite: bool = False,
    door: Door | None = None,
    say: Say | None = None,
    progress: Progress | None = None,
) -> AddedEngine:
    """Compile the bundle's graph of the precision asked for, and add the engine to the bundle.

    Args:
        path: of the bundle; nobody else writes to it meanwhile.
        config: what to build.
        overwrite: replace an engine of this name, which may be damaged; its card and threshold go with it.
        door: the TensorRT to build with; None opens the one that is installed.
        say: called with a line for people where something is worth one.
        progress: called from another thread with the phase and the share done.

    Raises:
        ArtifactError: the bundle has no such graph, TensorRT does not take it, or another engine has this name.
        ConfigError: an option does not apply to this TensorRT, or the timing cache would lie in the bundle.
        CapganError: the disk is full or the folder cannot be written; nothing changed.
    """
    door = open_door() if door is None else door
    door.refuse(config)
    _refuse_cache_inside(path, config.timing_cache)
    name = engine_name(config, door)
    with locked(path, replaced=engine_files(name) if overwrite else ()) as bundle:
        source = bundle.artifact(config.precision).relative_to(bundle.path).as_posix()
        if name in bundle.manifest.engines and not overwrite:
            return _kept(bundle, name, config, source, door)
        if say is not None:
            say(f"compiling {source} with {door.flavour} {door.version}, batches of {config.profile}")
        built = plan_from_onnx(bundle.read_file(source), config, source=source, door=door, progress=progress)
        grown = grow_bundle(bundle, _manifest_with(bundle.manifest, name, built), _files(name, built))
    return AddedEngine(bundle=grown, name=name, sidecar=built.sidecar, is_kept=False, warnings=built.warnings)


def _kept(bundle: Bundle, name: str, config: EngineConfig, source: str, door: Door) -> AddedEngine:
    """Return the engine that is there, where it is the very one asked for.

    Raises:
        ArtifactError: it is another one, which is not replaced unasked.
    """
    held = sidecar_from_json(bundle.read_file(bundle.manifest.engines[name].sidecar), name)
    asked = {
        "graph": (held.source_sha256, bundle.manifest.files[source].sha256),
        "batches": (held.profile, config.profile),
        "TensorRT": (f"{held.flavour} {held.version}", f"{door.flavour} {door.version}"),
        "workspace": (held.workspace_gib, config.workspace_gib),
        "version compatibility": ("VERSION_COMPATIBLE" in held.flags, config.is_version_compatible),
        "hardware compatibility": ("AMPERE_PLUS" in held.flags, config.is_hardware_compatible),
    }
    differing = [f"{what} {_shown(was)}, not {_shown(now)}" for what, (was, now) in asked.items() if was != now]
    if differing:
        raise ArtifactError(
            f"{bundle.path}: expected no engine {name}, or the one asked for, got one with {'; '.join(differing)}; "
            "pass --force to replace it"
        )
    return AddedEngine(bundle=bundle, name=name, sidecar=held, is_kept=True)


def _shown(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text


def _manifest_with(manifest: Manifest, name: str, built: BuiltEngine) -> Manifest:
    """Return the manifest with the engine; what was measured on an older one of its name goes."""
    kept = without_verdicts(manifest, name)
    engines = {**kept.engines, name: engine_record(built.sidecar, _sidecar_name(name))}
    return kept.model_copy(update={"engines": engines})


def _files(name: str, built: BuiltEngine) -> dict[str, bytes]:
    return {name: built.plan, _sidecar_name(name): json_from_sidecar(built.sidecar)}


def engine_files(name: str) -> tuple[str, str]:
    """Return the two files of an engine: the plan and its sidecar."""
    return name, _sidecar_name(name)


def _sidecar_name(name: str) -> str:
    return name.removesuffix(".plan") + ".json"


def _refuse_cache_inside(bundle: Path, timing_cache: Path | None) -> None:
    if timing_cache is not None and timing_cache.resolve().is_relative_to(bundle.resolve()):
        raise ConfigError(
            f"expected a timing cache outside the bundle, whose files are hashed, got {timing_cache} in {bundle}; "
            "name another file with --timing-cache"
        )
