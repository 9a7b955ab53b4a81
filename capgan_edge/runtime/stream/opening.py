"""From a source that was named to one that is open."""

from __future__ import annotations

import functools

from capgan_edge.runtime.stream.capture import Capture, CaptureOpener
from capgan_edge.runtime.stream.source import SourceSpec


def opener_of(spec: SourceSpec, *, patience_s: float) -> CaptureOpener:
    """Return what opens this source; `patience_s` is how long a network source may keep us waiting for a frame."""
    return functools.partial(_open, spec, patience_s)


def _open(spec: SourceSpec, patience_s: float) -> Capture:
    if spec.kind == "demo":
        from capgan_edge.runtime.stream.demo_drive import DemoDrive

        return DemoDrive(attack=spec.target.partition(":")[2])
    if spec.kind == "folder":
        from capgan_edge.runtime.stream.folder_capture import FolderCapture

        return FolderCapture(spec.target)
    from capgan_edge.runtime.stream.camera import OpenCvCapture

    return OpenCvCapture(spec, patience_s=patience_s)
