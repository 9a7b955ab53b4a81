"""The doctor's report, for people in tables and for machines as one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from capgan_edge.doctor.facts import Cpu, Gpu, Library, Report

_GIB = 1 << 30


def json_from_report(report: Report) -> str:
    """Return the whole report."""
    return json.dumps(asdict(report), indent=2, allow_nan=False)


def print_report(report: Report, console: Console) -> None:
    """Print what the machine is, then what works on it and how to get the rest."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(report).items():
        facts.add_row(Text(name, style="bold"), Text(value))
    console.print(facts)
    console.print()
    for ability in report.abilities:
        mark = Text("works    ", style="green") if ability.works else Text("missing  ", style="yellow")
        remedy = "" if ability.remedy is None else f"; {ability.remedy}"
        console.print(mark + Text(f"{ability.name}: {ability.detail}{remedy}"), soft_wrap=True)
    for problem in report.problems:
        console.print(Text(f"note     {problem}"), soft_wrap=True)


def _facts(report: Report) -> dict[str, str]:
    flavours = [f"{found.flavour} {found.version}" for found in report.tensorrt if found.version]
    jetpack = report.jetpack
    return {
        "capgan-edge": f"{report.capgan_edge}, Python {report.python}",
        "system": report.platform,
        "JetPack": f"{jetpack.jetpack or 'unknown'} (L4T {jetpack.l4t})" if jetpack else "none found",
        "CPU": f"{report.cpu.name}, {report.cpu.num_logical} of its threads",
        "memory": _memory(report.cpu),
        "GPU": _gpu(report.gpu),
        "TensorRT": ", ".join(flavours) or "none",
        "providers": ", ".join(f"{provider.name} ({'works' if provider.works else 'does not load'})"
                               for provider in report.providers) or "none",
        "libraries": ", ".join(_library(library) for library in report.libraries),
    }  # fmt: skip


def _library(library: Library) -> str:
    if library.version is None:
        return f"{library.name} (not installed)"
    return f"{library.name} {library.version}{'' if library.problem is None else ' (does not work)'}"


def _memory(cpu: Cpu) -> str:
    if cpu.memory_total_bytes is None or cpu.memory_available_bytes is None:
        return "unknown"
    return f"{cpu.memory_available_bytes / _GIB:.1f} GiB free of {cpu.memory_total_bytes / _GIB:.1f} GiB"


def _gpu(gpu: Gpu | None) -> str:
    if gpu is None:
        return "no NVIDIA GPU found"
    parts = [gpu.name, gpu.sm, f"driver {gpu.driver}" if gpu.driver else None, f"CUDA {gpu.cuda}" if gpu.cuda else None]
    if gpu.memory_total_mib is not None and gpu.memory_free_mib is not None:
        parts.append(f"{gpu.memory_free_mib:,} MiB free of {gpu.memory_total_mib:,} MiB")
    return ", ".join(part for part in parts if part) + f" (seen by {', '.join(gpu.seen_by)})"
