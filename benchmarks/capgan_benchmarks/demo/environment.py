"""What ran where: the processor, its threads, and the versions of the tools."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

from capgan_edge.hardware import cpu_name, num_cpus

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
    available = num_cpus()
    tools = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            tools[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            tools[name] = "not installed as a package"
    return Environment(
        cpu=cpu_name(),
        num_cpus=available,
        threads=threads or available,
        system=f"{platform.system()} {platform.machine()}",
        tools=tools,
    )
