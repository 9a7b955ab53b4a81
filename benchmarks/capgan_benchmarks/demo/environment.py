"""What ran where: the processor, its threads, and the versions of the tools."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_TOOLS = ("capgan-edge", "torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """The machine, as far as it bears on a figure."""

    cpu: str
    num_cpus: int
    """Logical processors that this process may use."""
    threads: int
    """Of ONNX Runtime."""
    system: str
    tools: dict[str, str]

    @property
    def device(self) -> str:
        """One line for a figure."""
        plural = "" if self.threads == 1 else "s"
        return f"CPU ({self.cpu}, {self.num_cpus} logical processors), {self.threads} thread{plural}"


def read_environment(threads: int | None) -> Environment:
    """Describe this machine; `threads` None is all that this process may use."""
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    tools = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            tools[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            tools[name] = "not installed as a package"
    return Environment(
        cpu=_cpu_name(),
        num_cpus=num_cpus,
        threads=threads or num_cpus,
        system=f"{platform.system()} {platform.machine()}",
        tools=tools,
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine() or "unknown processor"
