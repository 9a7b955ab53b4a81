"""The machine that a run computed on, as far as it bears on its figures and on doing it again."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_TOOLS = ("capgan-edge", "torch", "lightning-fabric", "numpy")


def machine_state(precision: str) -> dict[str, Any]:
    """Return the processor, the logical processors this process may use, its threads, and the tools' versions."""
    tools = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            tools[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout that is on the path but not installed
            tools[name] = "not installed as a package"
    return {
        "cpu": _cpu_name(),
        "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "tools": tools,
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine() or "unknown processor"
