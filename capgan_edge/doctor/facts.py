"""What the doctor finds: plain records, ready for JSON. What could not be found out is None."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpu:
    """The processor and the memory beside it."""

    name: str
    machine: str
    """`x86_64`, `aarch64`."""
    num_logical: int
    """Processors that this process may use."""
    features: dict[str, bool]
    """Instructions that matter to inference, by the kernel's names."""
    memory_total_bytes: int | None
    memory_available_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """An NVIDIA GPU, by whatever knows of it."""

    name: str
    sm: str | None
    """Its compute capability, as in `sm_86`."""
    driver: str | None
    cuda: str | None
    """The newest CUDA that the driver serves."""
    memory_total_mib: int | None
    memory_free_mib: int | None
    seen_by: tuple[str, ...]
    is_usable: bool
    """The driver's library gives it to this process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JetPack:
    """The system of a Jetson."""

    l4t: str
    """As in `36.4.3`."""
    jetpack: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorRt:
    """One flavour of TensorRT."""

    flavour: str
    version: str | None
    is_loadable: bool
    can_build: bool
    """A builder could be made here."""
    targets: tuple[str, ...] | None
    """The architectures that it names; None where it names none: it builds for the GPU at hand."""
    problem: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """One execution provider that this build of ONNX Runtime offers."""

    name: str
    works: bool
    """A session was made on it, and gave the right result."""
    problem: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """One library that was imported to see whether it can be."""

    name: str
    version: str | None
    """As installed; None where it is not."""
    problem: str | None
    """Why it does not import; None where it does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """Where decoded images are kept."""

    path: str
    is_writable: bool
    problem: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ability:
    """One thing that capgan-edge does, and whether it can do it here."""

    name: str
    works: bool
    detail: str
    """What it works with, or what is in the way."""
    remedy: str | None
    """How to get it; None where it works."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All of it."""

    capgan_edge: str
    python: str
    platform: str
    cpu: Cpu
    gpu: Gpu | None
    jetpack: JetPack | None
    tensorrt: tuple[TensorRt, ...]
    providers: tuple[Provider, ...]
    libraries: tuple[Library, ...]
    cache: Cache
    problems: tuple[str, ...]
    """Probes that did not come to an end."""
    abilities: tuple[Ability, ...] = field(default=())

    def library(self, name: str) -> Library:
        """Return what was found of a library."""
        return next(library for library in self.libraries if library.name == name)
