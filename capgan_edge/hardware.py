"""The processor: its name, and how it multiplies."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_DOT_PRODUCTS = frozenset({"avx_vnni", "avx512_vnni", "amx_int8"})
_X86 = ("x86_64", "AMD64")


def cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine() or "unknown processor"


def num_cpus() -> int:
    """Return how many logical processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_flags(cpuinfo: str) -> set[str]:
    """Return the flags that every processor of `/proc/cpuinfo` has: big and little cores may differ."""
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    sets = [set(line.split()) for line in lines]
    return set.intersection(*sets) if sets else set()


def is_x86(machine: str | None = None) -> bool:
    """Return whether a machine, as `platform.machine` says it, is x86; None is this one."""
    return (platform.machine() if machine is None else machine) in _X86


def sums_int8_exactly(machine: str | None = None, cpuinfo: str | None = None) -> bool:
    """Return whether sums of INT8 products are exact: without VNNI or AMX, x86 adds pairs in 16 bits, and saturates.

    Args:
        machine: as `platform.machine` says it; None is this one.
        cpuinfo: what `/proc/cpuinfo` holds; None reads it, and where there is none to read, the answer is no.
    """
    if not is_x86(machine):
        return True
    if cpuinfo is None:
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text()
        except OSError:
            return False
    return bool(_DOT_PRODUCTS & cpu_flags(cpuinfo))
