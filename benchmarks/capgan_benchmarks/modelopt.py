"""NVIDIA ModelOpt's own INT8 of the same graph on the same frames, made in a virtual environment of its own.

python -m capgan_benchmarks.modelopt VENV      # makes the environment: some gigabytes, a few minutes
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from capgan_benchmarks.script import run_script
from capgan_edge.errors import CapganError, ConfigError

FOLDER = Path(__file__).parents[1] / "modelopt"
"""The script that runs over there, and what it needs."""
Method = Literal["entropy", "max"]


def make_environment(path: Path) -> None:
    """Make the virtual environment at `path`, or bring one that is there up to the requirements."""
    venv.create(path, with_pip=True)
    command = [_python(path), "-m", "pip", "install", "--quiet", "-r", str(FOLDER / "requirements.txt")]
    if subprocess.run(command).returncode:
        raise CapganError(f"expected pip to install ModelOpt in {path}, but it failed (its own words are above)")


def version_in(path: Path) -> str:
    """Return the version of ModelOpt in the environment at `path`.

    Raises:
        ConfigError: it is not there.
    """
    code = "from importlib.metadata import version; print(version('nvidia-modelopt'))"
    try:
        done = subprocess.run([_python(path), "-c", code], capture_output=True, text=True)
    except OSError:
        done = None
    if done is None or done.returncode:
        raise ConfigError(
            f"expected NVIDIA ModelOpt in the environment {path}, got none; make it with "
            f"python -m capgan_benchmarks.modelopt {path}"
        )
    return done.stdout.strip()


def int8_by_modelopt(model_bytes: bytes, frames_NHWC: NDArray[np.uint8], method: Method, environment: Path) -> bytes:
    """Return ModelOpt's INT8 graph, calibrated on the CPU on these frames.

    Raises:
        CapganError: ModelOpt failed; its last line is in the message.
    """
    with tempfile.TemporaryDirectory(prefix="modelopt-") as folder:
        model_path, frames_path, out_path = (Path(folder, name) for name in ("m.onnx", "frames.npy", "int8.onnx"))
        model_path.write_bytes(model_bytes)
        np.save(frames_path, frames_NHWC, allow_pickle=False)
        command = [
            _python(environment),
            str(FOLDER / "quantise.py"),
            *map(str, (model_path, frames_path, out_path)),
            method,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not out_path.is_file():
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise CapganError(f"expected ModelOpt to quantise the graph ({method}), but: {said}")
        return out_path.read_bytes()


def _python(environment: Path) -> str:
    return str(environment / ("Scripts" if sys.platform == "win32" else "bin") / "python")


def main(path: Annotated[Path, typer.Argument(help="Where to make the virtual environment.")]) -> None:
    """Make ModelOpt's environment."""
    make_environment(path)
    typer.echo(f"ModelOpt {version_in(path)} in {path}", err=True)


if __name__ == "__main__":
    run_script(main)
