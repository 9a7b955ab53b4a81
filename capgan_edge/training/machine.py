"""The machine that a run computed on, as far as it bears on its figures and on doing it again."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import torch

from capgan_edge.hardware import cpu_name, num_cpus

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
        "cpu": cpu_name(),
        "num_cpus": num_cpus(),
        "threads": torch.get_num_threads(),
        "precision": precision,
        "tools": tools,
    }
