"""What takes seconds to make and is only read: made once a run, by whichever process of pytest-xdist asks first."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from capgan_edge.data.signs import load_signs
from capgan_edge.runtime.bundle import Bundle
from capgan_export.bundling import export_pair
from capgan_export.fused import GraphOutputs
from capgan_export.parity import ParityConfig
from capgan_export.source import find_source


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a copy of this process's own of the folder that `make` fills, which is called once a run of pytest.

    Args:
        factory: of this process; processes of one run share the folder above theirs, other runs have another.
        name: of what is made, and the only key to it: what is made otherwise is named otherwise.
        make: fills an empty folder; a file in it must not tell where it is. Where it raises, the next to ask tries.
    """
    base = factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    root.mkdir(exist_ok=True)
    kept = root / name
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held until the file is closed, or the process has ended
        if not kept.exists():
            partial = root / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(kept)
    return Path(shutil.copytree(kept, factory.mktemp(name) / name))


def exported_signs(factory: pytest.TempPathFactory, outputs: GraphOutputs | None = None) -> Bundle:
    """Return signs-nano as `capgan-edge export` writes it, in FP32, with these outputs."""
    outputs = outputs or GraphOutputs()

    def make(folder: Path) -> None:
        source = find_source("signs-nano")
        export_pair(source.purifier, source.victim, labels=source.labels, size_px=source.size_px, name=source.name,
                    frames=load_signs("test", size_px=32, n=40), out=folder / "bundle", outputs=outputs,
                    parity=ParityConfig(num_frames=40))  # fmt: skip

    return Bundle.open(made_once(factory, "-".join(("signs-nano", *outputs.names)), make) / "bundle")
