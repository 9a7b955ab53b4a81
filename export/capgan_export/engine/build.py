"""From a graph's bytes to a plan and its sidecar, with Ctrl-C that ends the build and leaves nothing."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from types import FrameType
from typing import Any, TypeVar

from capgan_edge.errors import ArtifactError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.gpu import first_gpu
from capgan_edge.runtime.plan_header import HEADER_BYTES, read_plan_header
from capgan_edge.runtime.sidecar import EngineSidecar, rebuild_command
from capgan_export.engine.compilation import LayerCounts, compile_network, count_layers
from capgan_export.engine.config import EngineConfig, sorted_targets
from capgan_export.engine.door import Door, open_door
from capgan_export.engine.network import network_from_onnx, require_precision
from capgan_export.engine.progress import BuildProgress, Progress

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltEngine:
    """A pure plan, and all that is known of it."""

    plan: bytes
    sidecar: EngineSidecar
    warnings: tuple[str, ...]
    """What TensorRT warned of while it built."""


def plan_from_onnx(
    model_bytes: bytes,
    config: EngineConfig,
    *,
    source: str,
    door: Door | None = None,
    progress: Progress | None = None,
) -> BuiltEngine:
    """Compile a graph.

    Args:
        model_bytes: the graph, in the precision that `config` names.
        config: what to build.
        source: what the bundle calls the graph.
        door: the TensorRT to build with; None opens the one that is installed.
        progress: called from another thread with the phase and the share done.

    Raises:
        ArtifactError: TensorRT does not take the graph, or it is of another precision than `config` says.
        ConfigError: an option does not apply to this TensorRT.
        KeyboardInterrupt: Ctrl-C; the build has ended by then.
    """
    door = open_door() if door is None else door
    door.refuse(config)
    steps = BuildProgress(progress)
    started_s = time.monotonic()
    door.log.clear()
    network = network_from_onnx(door, model_bytes, source)
    require_precision(network, config.precision, source)
    plan, flags = _interruptible(lambda: compile_network(door, network, config, steps), steps)
    if plan is None:
        raise _failed(door, source, config)
    seconds, warnings = time.monotonic() - started_s, door.log.warnings
    gpu = first_gpu()
    sidecar = _sidecar(
        door,
        config,
        plan,
        source=source,
        source_sha256=sha256_of_bytes(model_bytes),
        num_network_layers=network.num_layers,
        flags=flags,
        device=gpu,
        seconds=round(seconds, 3),
        **asdict(LayerCounts() if gpu is None else count_layers(door, plan)),
    )
    return BuiltEngine(plan=plan, sidecar=sidecar, warnings=warnings)


def _sidecar(door: Door, config: EngineConfig, plan: bytes, **facts: Any) -> EngineSidecar:
    """Return the sidecar of a plan, of the facts that only the build knows and those that are plain from the rest."""
    sidecar = EngineSidecar(
        precision=config.precision,
        profile=config.profile,
        flavour=door.flavour,
        version=door.version,
        targets=_targets(config, plan),
        is_portable=door.flavour == "tensorrt_rtx" and not config.targets,
        workspace_gib=config.workspace_gib,
        sha256=sha256_of_bytes(plan),
        size_bytes=len(plan),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        rebuild="capgan-edge build-engine",  # until the rest is known
        **facts,
    )
    return sidecar.model_copy(update={"rebuild": rebuild_command(sidecar)})


def _targets(config: EngineConfig, plan: bytes) -> tuple[str, ...]:
    """Return what was asked for, or where nothing was, what the plan says it holds code for."""
    return sorted_targets(config.targets) or read_plan_header(plan[:HEADER_BYTES]).targets or ()


def _interruptible(work: Callable[[], _T], steps: BuildProgress) -> _T:
    """Do `work` in a thread of its own: TensorRT's C++ lets no Ctrl-C through, so this thread waits for it."""
    outcome: list[_T] = []
    failure: list[BaseException] = []
    done = threading.Event()  # in Python 3.11 a join that Ctrl-C ends marks the thread as ended, which it is not

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # raised again below, in the thread that asked
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="capgan-build-engine", daemon=True)
    with _ctrl_c_cancels(steps):
        thread.start()
        interruption = _wait(done, steps)
        thread.join()
    if interruption is not None:
        raise interruption
    if failure:
        raise failure[0]
    return outcome[0]


def _wait(done: threading.Event, steps: BuildProgress) -> BaseException | None:
    """Wait, whatever a signal's handler raises meanwhile; return that."""
    interruption: BaseException | None = None
    while not done.is_set():
        try:
            done.wait()
        except BaseException as error:  # what another signal than Ctrl-C raises: the build ends first
            steps.is_cancelled = True
            interruption = error
    return interruption


@contextlib.contextmanager
def _ctrl_c_cancels(steps: BuildProgress) -> Iterator[None]:
    """Let Ctrl-C cancel the build and raise at the end of it alone: raised at once, it would leave the build behind
    wherever it came between two lines. Another thread than the main one gets no Ctrl-C.
    """
    pressed: list[int] = []

    def cancel(number: int, frame: FrameType | None) -> None:
        steps.is_cancelled = True
        pressed.append(number)

    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return
    signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed:
        usual(pressed[0], None)


def _failed(door: Door, source: str, config: EngineConfig) -> ArtifactError:
    said = " | ".join(door.log.errors) or "no reason given"
    targets = f" for {', '.join(config.targets)}" if config.targets else ""
    return ArtifactError(
        f"{source}: expected {door.flavour} {door.version} to compile it{targets}, but it says: {said}; "
        f"{_remedy(said, config)}"
    )


def _remedy(said: str, config: EngineConfig) -> str:
    lowered = said.lower()
    if "workspace" in lowered or "out of memory" in lowered:
        return "give it more memory (--workspace-gib, or close what else uses the GPU), or smaller batches (--batch)"
    if "turing" in lowered or "sm75" in lowered:
        lower = "" if config.precision == "fp16" else "build with --fp16, or "  # there it stays FP32 to make a score
        return f"Turing takes no FP32 matrix product: {lower}leave sm_75 out, and use ONNX Runtime on that GPU"
    if "cuda" in lowered and ("driver" in lowered or "device" in lowered):
        return "build on the machine with the GPU and its driver, or name an architecture with --target"
    return "try another precision, or run the graph with ONNX Runtime (backend cpu or cuda)"
