"""The machine as it was while it was timed: processor, clocks, governor, load, versions; a GPU's state too."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from capgan_edge.doctor.machine import SYSTEM, read_cpu, read_jetpack

_TOOLS = ("capgan-edge", "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "tensorrt",
          "tensorrt-rtx", "adversarial-robustness-toolbox")  # fmt: skip
_GPU_FIELDS = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.draw", "power.limit", "temperature.gpu",
               "pstate", "clocks_event_reasons.active")  # fmt: skip


def read_conditions(*, threads: int, has_gpu: bool) -> dict[str, Any]:
    """Return what does not change during a run; `cpu` and `num_cpus` name the record."""
    cpu = read_cpu()
    return {
        "cpu": cpu.name,
        "num_cpus": cpu.num_logical,
        "machine": cpu.machine,
        "cpu_features": [name for name, has_it in cpu.features.items() if has_it],
        "memory_total_bytes": cpu.memory_total_bytes,
        "threads": threads,
        "governor": _governor(SYSTEM),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **_versions()},
        "gpu": _said(["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS[:2])}", "--format=csv,noheader"])
        if has_gpu
        else None,
        "power_mode": _said(["nvpmodel", "-q"]) if read_jetpack() is not None else None,
    }


def read_clocks(*, has_gpu: bool, root: Path = SYSTEM) -> dict[str, Any]:
    """Return what changes during a run: read before and after."""
    text = _text(root / "proc/cpuinfo")
    clocks = [float(found) for found in re.findall(r"^cpu MHz\s*: ([\d.]+)", text, re.MULTILINE)]
    state: dict[str, Any] = {"cpu_mhz": clocks, "load_1_min": _load()}
    if has_gpu:
        said = _said(["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS[2:])}", "--format=csv,noheader,nounits"])
        values = [] if said is None else [value.strip() for value in said.split(",")]
        state["gpu"] = dict(zip(_GPU_FIELDS[2:], values, strict=False))
    return state


def _governor(root: Path) -> str | None:
    names = {_text(path).strip() for path in (root / "sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_governor")}
    return ", ".join(sorted(names)) or None


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _versions() -> dict[str, str]:
    held = {}
    for name in _TOOLS:
        try:
            held[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return held


def _said(command: Sequence[str]) -> str | None:
    """Return the first line that a program of the system prints; None where there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0] or None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
