"""`capgan-edge calibrate` called as a user does, on few frames."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

from capgan_edge.cli import main

PARTS = [EntryPoint(name="calibration", value="capgan_calibration.command:app", group="capgan_edge.commands")]
INT8 = "model.int8.onnx"


def calibrate(bundle: Path, images: Path | str, *options: str) -> int:
    clean = () if "--mix" in options else ("--mix", "clean")
    return main(["calibrate", str(bundle), "--images", str(images), "--n", "40", "--num-check", "40", *clean, *options],
                PARTS)  # fmt: skip
