"""Probes in a process of their own: a library that crashes or hangs takes nobody with it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import capgan_edge

MARK = "capgan-edge probe: "
"""Begins the line of the answer: libraries print what they like around it."""


class ProbeError(Exception):
    """A probe gave no answer; says why in one line. Never reaches a user as an error."""


def ask(probe: str, *arguments: str, timeout_s: float) -> Any:
    """Return the answer of a function of `probes.py`, run in a fresh interpreter with this one's module path.

    Raises:
        ProbeError: it crashed, hung, or could not be started.
    """
    package_root = Path(capgan_edge.__file__).resolve().parents[1]
    paths = [str(Path(path).absolute()) for path in sys.path if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-W", "ignore", "-m", "capgan_edge.doctor.probes", probe, *arguments]
    # In the package's root: `-m` puts the working directory before all others, and a user's may hold anything.
    said = run(command, timeout_s=timeout_s, environment=environment, folder=package_root)
    answers = [line for line in said.splitlines() if line.startswith(MARK)]
    if not answers:
        raise ProbeError("it ended without an answer")
    answer = json.loads(answers[-1].removeprefix(MARK))
    if "problem" in answer:
        raise ProbeError(answer["problem"])
    return answer["value"]


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Return what a command prints.

    Raises:
        ProbeError: it is not there, failed, or took too long. One that cannot even be killed is left behind.
    """
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   text=True, errors="replace", env=environment, cwd=folder)  # fmt: skip
    except OSError as error:
        raise ProbeError(f"it did not start ({error.strerror or error})") from error
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _give_up_on(process)
        raise ProbeError(f"no answer within {timeout_s:g} s") from None
    if process.returncode != 0:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        raise ProbeError(f"it crashed ({how})")
    return said


def _give_up_on(process: subprocess.Popen[str]) -> None:
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in a driver: not even killing ends it
        process.wait(timeout=1)
    if process.stdout is not None:
        process.stdout.close()
