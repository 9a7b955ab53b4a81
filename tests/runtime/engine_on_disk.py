"""Plans of nothing but a header, by the layout in plan_header.py, and sidecars for them: preflight reads no more."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.sidecar import EngineSidecar, GpuIdentity, Profile, json_from_sidecar, sidecar_path

RTX_VERSION, TRT_VERSION = "1.7.1.116", "10.13.3.9"
MASK_OF = {"sm_75": 1, "sm_80": 2, "sm_86": 4, "sm_89": 8, "sm_120": 16, "sm_121": 32}
AMPERE = GpuIdentity(name="RTX 3080", sm="sm_86")
ADA = GpuIdentity(name="RTX 4090", sm="sm_89")
TURING = GpuIdentity(name="RTX 2080", sm="sm_75")


def rtx_plan(*targets: str, version: str = RTX_VERSION, size_bytes: int = 100) -> bytes:
    """Return a plan as TensorRT-RTX begins one."""
    mask = sum(MASK_OF[target] for target in targets)
    numbers = bytes(int(part) for part in version.split("."))
    head = struct.pack("<IIQQ4sII", 0x74727476, 0, 2, size_bytes, numbers, 0x74727476, mask)
    return head.ljust(size_bytes, b"\0")


def trt_plan(version: str = TRT_VERSION, size_bytes: int = 100) -> bytes:
    """Return a plan as TensorRT begins one."""
    numbers = bytes(int(part) for part in version.split("."))
    return struct.pack("<II16x4s", 0x74727466, 0, numbers).ljust(size_bytes, b"\0")


def sidecar_of(plan: bytes, **changes: Any) -> EngineSidecar:
    """Return a sidecar that tells the truth of `rtx_plan("sm_86")`, but for what is changed."""
    facts: dict[str, Any] = {
        "source": "model.fp16.onnx",
        "source_sha256": "a" * 64,
        "precision": "fp16",
        "profile": Profile(min=1, opt=1, max=8),
        "flavour": "tensorrt_rtx",
        "version": RTX_VERSION,
        "targets": ("sm_86",),
        "device": None,
        "flags": ("STRONGLY_TYPED",),
        "sha256": sha256_of_bytes(plan),
        "size_bytes": len(plan),
        "num_network_layers": 180,
        "num_layers": None,
        "num_casts": None,
        "num_reformats": None,
        "seconds": 1.5,
        "created": "2025-06-01T12:00:00+00:00",
        "rebuild": "rm -rf /",
    }
    return EngineSidecar(**{**facts, **changes})


def host_sidecar_of(plan: bytes, **changes: Any) -> EngineSidecar:
    """Return a sidecar of `trt_plan()`, built on an RTX 3080 for itself."""
    mine = {"flavour": "tensorrt", "version": TRT_VERSION, "targets": (), "device": AMPERE}
    return sidecar_of(plan, **{**mine, **changes})


def write_engine(path: Path, plan: bytes, sidecar: EngineSidecar | None) -> Path:
    """Write both to disk, and return where the plan is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plan)
    if sidecar is not None:
        sidecar_path(path).write_bytes(json_from_sidecar(sidecar))
    return path
