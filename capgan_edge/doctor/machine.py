"""What files of the system tell: processor, memory, a Jetson's release, a driver. Nothing is loaded or run."""

from __future__ import annotations

import platform
import re
from pathlib import Path

from capgan_edge.doctor.facts import Cpu, JetPack
from capgan_edge.hardware import cpu_flags, cpu_name, num_cpus

X86_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
ARM_FEATURES = ("asimddp", "i8mm", "bf16", "sve")
_JETPACKS = (((36, 0), "6.0"), ((36, 4), "6.1 or 6.2"), ((38, 0), "7.0 or 7.1"), ((39, 0), "7.2"))
"""From which release of Jetson Linux (L4T) on; 35 is JetPack 5."""
SYSTEM = Path("/")


def read_cpu(root: Path = SYSTEM) -> Cpu:
    """Return the processor, its instructions that matter, and the memory."""
    machine = platform.machine()
    flags = cpu_flags(_text(root / "proc/cpuinfo"))
    wanted = ARM_FEATURES if machine in ("aarch64", "arm64") else X86_FEATURES
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _text(root / "proc/meminfo"), re.MULTILINE))

    def bytes_of(name: str) -> int | None:
        return 1024 * int(memory[name]) if name in memory else None

    return Cpu(
        name=cpu_name(),
        machine=machine,
        num_logical=num_cpus(),
        features={feature: feature in flags for feature in wanted},
        memory_total_bytes=bytes_of("MemTotal"),
        memory_available_bytes=bytes_of("MemAvailable"),
    )


def read_jetpack(root: Path = SYSTEM) -> JetPack | None:
    """Return the release of a Jetson; None on other machines."""
    found = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", _text(root / "etc/nv_tegra_release"))
    if found is None:
        return None
    major, revision = int(found[1]), found[2]
    release = (major, int(revision.split(".")[0]))
    names = [name for since, name in _JETPACKS if release >= since and major == since[0]]
    return JetPack(l4t=f"{major}.{revision}", jetpack="5" if major == 35 else names[-1] if names else None)


def read_driver(root: Path = SYSTEM) -> tuple[str | None, str | None]:
    """Return the first GPU's name and the driver's version, as the kernel tells them; None for what it does not."""
    version = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", _text(root / "proc/driver/nvidia/version"))
    name = None
    for folder in sorted((root / "proc/driver/nvidia/gpus").glob("*")):
        found = re.search(r"^Model:\s+(.+)$", _text(folder / "information"), re.MULTILINE)
        name = name or (found[1].strip() if found else None)
    if name is None and (root / "etc/nv_tegra_release").exists():
        name = _text(root / "proc/device-tree/model").rstrip("\0").strip() or None
    return name, None if version is None else version[1]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
