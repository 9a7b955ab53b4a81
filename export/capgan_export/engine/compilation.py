"""TensorRT's compiler behind plain values: a parsed network and a configuration in, a plan out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.files import write_atomic
from capgan_export.engine.config import EngineConfig
from capgan_export.engine.door import Door
from capgan_export.engine.network import Network
from capgan_export.engine.progress import BuildProgress


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerCounts:
    """What the inspector counts in an engine; None where there was no GPU to open it on."""

    num_layers: int | None = None
    num_casts: int | None = None
    num_reformats: int | None = None


def compile_network(
    door: Door, network: Network, config: EngineConfig, progress: BuildProgress
) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the plan, None where the build failed or was cancelled, and the flags it was built with, by name."""
    trt, builder_config = door.trt, network.builder.create_builder_config()
    builder_config.progress_monitor = _monitor(trt, progress)
    builder_config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # what the inspector can tell
    _set_profile(network, builder_config, config)
    _set_targets(trt, builder_config, config)
    if config.workspace_bytes is not None:
        builder_config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, config.workspace_bytes)
    named = ["STRONGLY_TYPED"]
    if config.is_version_compatible:
        builder_config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        named.append("VERSION_COMPATIBLE")
    if config.is_hardware_compatible:
        builder_config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        named.append("AMPERE_PLUS")
    if config.timing_cache is not None:
        _read_timing_cache(builder_config, config)
    plan = network.builder.build_serialized_network(network.definition, builder_config)
    if plan is None:
        return None, tuple(named)
    if config.timing_cache is not None:
        write_atomic(config.timing_cache, bytes(builder_config.get_timing_cache().serialize()))
    return bytes(plan), tuple(named)


def count_layers(door: Door, plan: bytes) -> LayerCounts:
    """Open a plan that was just built, and count its layers; needs the GPU that it is for."""
    trt = door.trt
    runtime = trt.Runtime(door.log.logger)
    if hasattr(runtime, "engine_host_code_allowed"):
        runtime.engine_host_code_allowed = True  # a version-compatible plan holds code: ours, of a moment ago
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        return LayerCounts()
    inspector = engine.create_engine_inspector()
    return counts_from_inspector(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def counts_from_inspector(text: str) -> LayerCounts:
    """Count layers in the inspector's JSON; a layer is an object with `LayerType`, and a reformat may be a cast."""
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError):
        return LayerCounts()
    kinds = [(entry.get("LayerType"), entry.get("Origin")) for entry in layers if isinstance(entry, dict)]
    if len(kinds) != len(layers):  # bare names: the engine was built without the details
        return LayerCounts(num_layers=len(layers))
    num_casts = sum(kind == "Cast" or (kind == "Reformat" and origin == "CAST") for kind, origin in kinds)
    num_reformats = sum(kind == "Reformat" and origin not in ("CAST", "QDQ") for kind, origin in kinds)
    return LayerCounts(num_layers=len(layers), num_casts=num_casts, num_reformats=num_reformats)


def _monitor(trt: Any, progress: BuildProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # untyped: TensorRT brings no stubs
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()


def _set_profile(network: Network, builder_config: Any, config: EngineConfig) -> None:
    height, width = network.contract.size_px
    sizes = (config.profile.min, config.profile.opt, config.profile.max)
    profile = network.builder.create_optimization_profile()
    profile.set_shape("frames", *((size, height, width, 3) for size in sizes))
    if builder_config.add_optimization_profile(profile) < 0:
        raise ArtifactError(
            f"expected a graph that takes batches of {config.profile}, got one that does not; choose others (--batch)"
        )


def _set_targets(trt: Any, builder_config: Any, config: EngineConfig) -> None:
    if not config.targets:
        return
    builder_config.num_compute_capabilities = len(config.targets)
    for index, target in enumerate(config.targets):
        member = trt.ComputeCapability.__members__[target.replace("sm_", "SM")]
        if not builder_config.set_compute_capability(member, index):
            raise ConfigError(f"expected a target that TensorRT accepts, got {target}, which it refused; leave it out")


def _read_timing_cache(builder_config: Any, config: EngineConfig) -> None:
    path = config.timing_cache
    assert path is not None
    try:
        held = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise ConfigError(
            f"expected to read the timing cache {path}, but: {error.strerror or error}; name another file"
        ) from error
    cache = builder_config.create_timing_cache(held)
    if cache is None or not builder_config.set_timing_cache(cache, False):
        raise ConfigError(
            f"expected a timing cache of this GPU and this TensorRT at {path}, got another; name one file for each "
            "GPU and version, or delete this one"
        )
