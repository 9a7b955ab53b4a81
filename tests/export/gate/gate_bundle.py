"""An INT8 graph made with nothing of ours, graphs put into bundles with their records, and graphs that are damaged."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from capgan_edge.cli import GROUP
from capgan_edge.data.signs import load_signs
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import ArtifactRecord, Manifest
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.sidecar import EngineSidecar, Profile, engine_record, json_from_sidecar
from capgan_export.bundling import ARTIFACT
from capgan_export.parity import ParityConfig, ProbeFrames, measure_parity

PARTS = [EntryPoint(name="export", value="capgan_export.command:app", group=GROUP)]
Verify = Callable[..., tuple[int, dict[str, Any]]]
INT8 = "model.int8.onnx"
COARSE = ParityConfig(tolerance=1.0, suspicion_tolerance=1.0, num_levels=255)
"""What INT8 is off by is for the gate to say."""


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, frames_NHWC: Any) -> None:
        self.batches = iter(np.split(frames_NHWC, 2))

    def get_next(self) -> dict[str, Any] | None:
        batch_NHWC = next(self.batches, None)
        return None if batch_NHWC is None else {"frames": batch_NHWC}


def manifest_of(path: Path) -> Manifest:
    return Bundle.open(path).manifest


def int8_from_fp32(model_bytes: bytes, frames_NHWC: Any, folder: Path) -> bytes:
    """Return the graph with every convolution quantised by ONNX Runtime, with nothing of ours."""
    out = folder / "int8.onnx"
    quantize_static(onnx.load_from_string(model_bytes), out, _Frames(frames_NHWC), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                    op_types_to_quantize=["Conv"],
                    extra_options={"ActivationSymmetric": True, "QuantizeBias": False})  # fmt: skip
    return out.read_bytes()


def add_graph(path: Path, name: str, model_bytes: bytes, precision: Any) -> Bundle:
    """Put a graph into a bundle as a part of ours does: with its record, and parity that was measured."""
    signs = load_signs("test", size_px=32, n=40)
    with locked(path) as bundle:
        with OrtRunner(bundle.read_file(ARTIFACT)) as fp32:
            probe = ProbeFrames(kind="clean", frames_NHWC=signs.images_NHWC, settings={"data": signs.name})
            records = measure_parity(name, model_bytes, fp32, ARTIFACT, [probe], COARSE)
        record = ArtifactRecord(precision=precision, opset=20, source_sha256=bundle.manifest.files[ARTIFACT].sha256)
        kept = [parity for parity in bundle.manifest.parity if parity.artifact != name]
        changes = {"artifacts": {**bundle.manifest.artifacts, name: record}, "parity": (*kept, *records)}
        return grow_bundle(bundle, bundle.manifest.model_copy(update=changes), {name: model_bytes})


def spoilt(path: Path, name: str, change: Callable[[onnx.ModelProto], None]) -> Manifest:
    """Change a graph of a bundle and write it with the right hashes, as someone who means harm would."""
    with locked(path) as bundle:
        model = onnx.load_from_string(bundle.read_file(name))
        change(model)
        return grow_bundle(bundle, bundle.manifest, {name: model.SerializeToString()}).manifest


def add_engine(path: Path, name: str) -> None:
    """Put an engine into a bundle whose sidecar is right and whose plan runs on no machine."""
    plan = b"this is no plan"
    with locked(path) as bundle:
        sidecar = EngineSidecar(
            source=ARTIFACT, source_sha256=bundle.manifest.files[ARTIFACT].sha256, precision="fp32",
            profile=Profile(min=1, opt=1, max=8), flavour="tensorrt_rtx", version="1.7.1", targets=("sm_86",),
            device=None, flags=("STRONGLY_TYPED",), sha256=sha256_of_bytes(plan), size_bytes=len(plan),
            num_network_layers=1, num_layers=None, num_casts=None, num_reformats=None, seconds=0.1,
            created="2026-11-23", rebuild="make it",
        )  # fmt: skip
        engines = {f"{name}.plan": engine_record(sidecar, f"{name}.json")}
        files = {f"{name}.plan": plan, f"{name}.json": json_from_sidecar(sidecar)}
        grow_bundle(bundle, bundle.manifest.model_copy(update={"engines": engines}), files)
