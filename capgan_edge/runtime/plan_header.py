"""The first 64 bytes of a TensorRT plan, read without TensorRT: who wrote it, in which version, and for what.

TensorRT (its sample `sampleEngines.cpp` reads the same): word 0 is the tag 0x74727466 ("ftrt" in the file), word 1 the
version of the serialisation (0), and bytes 24 to 27 are major, minor, patch and build of the writer, one byte each.

TensorRT-RTX writes 64 bytes (`Runtime.engine_header_size`), found out by building plans for one target after another
with tensorrt_rtx 1.7.1.116; the tests build them again and hold this table to them:

    offset  size  what
         0     4  the tag 0x74727476 ("vtrt")
         4     4  0
         8     8  2, the same in every plan seen: taken for the version of this layout
        16     8  size of the whole plan in bytes
        24     4  major, minor, patch, build of the writer, one byte each
        28     4  the tag again
        32     4  targets, one bit each: 0 is sm_75, then 80, 86, 89, 120, 121; a plan made without targets has 0x7e,
                  so that bit 6 stands for something that this version cannot name as a target

Where the layout is another, nothing is claimed of size and targets. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.sidecar import RTX_TARGETS, Flavour

HEADER_BYTES = 64
_TRT_TAG, _RTX_TAG = 0x74727466, 0x74727476
_RTX_LAYOUT = 2
_VERSION_END = 28


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanHeader:
    """What a plan says of itself."""

    flavour: Flavour
    version: str
    """`1.7.1.116`; each part modulo 256."""
    size_bytes: int | None
    """Of the whole plan; None where the layout does not tell."""
    targets: tuple[str, ...] | None
    """Architectures it holds code for; None where the layout does not tell."""


def read_plan_header(head: bytes) -> PlanHeader:
    """Return what the first `HEADER_BYTES` of a plan say.

    Raises:
        ArtifactError: they are not the beginning of a plan.
    """
    if len(head) < _VERSION_END:
        raise ArtifactError(
            f"expected a TensorRT plan, got {len(head)} bytes, fewer than its header has; copy it again, or rebuild it"
        )
    tag, serialisation = struct.unpack_from("<II", head)
    if tag not in (_TRT_TAG, _RTX_TAG) or serialisation != 0:
        raise ArtifactError(
            f"expected a pure TensorRT plan, which begins with {_TRT_TAG:#x} or {_RTX_TAG:#x}, got {tag:#x} "
            f"(serialisation {serialisation}); a plan behind another tool's own header is none: build the engine here"
        )
    version = ".".join(str(part) for part in head[24:_VERSION_END])
    if tag == _TRT_TAG:
        return PlanHeader(flavour="tensorrt", version=version, size_bytes=None, targets=None)
    size_bytes, targets = _rtx_facts(head)
    return PlanHeader(flavour="tensorrt_rtx", version=version, size_bytes=size_bytes, targets=targets)


def _rtx_facts(head: bytes) -> tuple[int | None, tuple[str, ...] | None]:
    if len(head) < HEADER_BYTES:
        return None, None
    layout, size_bytes, _, tag, mask = struct.unpack_from("<QQIII", head, 8)
    if layout != _RTX_LAYOUT or tag != _RTX_TAG:
        return None, None
    return size_bytes, tuple(name for bit, name in enumerate(RTX_TARGETS) if mask >> bit & 1)
