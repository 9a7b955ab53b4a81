"""The commands as users run them, each in a process of its own that never outlives us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from capgan_benchmarks.endurance.bench import Bench
from capgan_edge.errors import CapganError

PATIENCE_S = 60.0
"""Far above what anything waited for here takes: what hangs is told, and ends."""
_CLI = ("-m", "capgan_edge.cli")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a process said until its end."""

    code: int
    out: str
    err: str


class Process:
    """A process that was started; its stderr is read all the time, so that it never waits for us."""

    def __init__(self, words: Sequence[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.popen = subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._err: list[str] = []
        self._reader = threading.Thread(target=self._read_err, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.popen.pid

    def lines(self) -> Iterator[str]:
        """Yield the lines of stdout as they come, until the process ends."""
        assert self.popen.stdout is not None
        yield from self.popen.stdout

    def end(self, number: int = signal.SIGTERM) -> Ended:
        """Send a signal (0 sends none), and wait for the end.

        Raises:
            CapganError: it does not end.
        """
        self.popen.send_signal(number)
        return self.wait()

    def wait(self) -> Ended:
        """Wait for the end; raises as `end` does."""
        assert self.popen.stdout is not None
        with ended_after(self, PATIENCE_S):
            out = self.popen.stdout.read()
            code = self.popen.wait()
        if code == -signal.SIGKILL:
            raise CapganError("expected the process to go on and to end when it is told to, but it hung and was killed")
        self._reader.join(PATIENCE_S)
        return Ended(code, out, "".join(self._err))

    def kill(self) -> None:
        """End it, whatever it does."""
        self.popen.kill()
        self.popen.wait()
        self._reader.join(PATIENCE_S)
        for pipe in (self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def err(self) -> str:
        """What came on stderr so far."""
        return "".join(self._err)

    def _read_err(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self._err.append(line)


@contextmanager
def ended_after(process: Process, seconds: float) -> Iterator[None]:
    """Kill the process if the block is not left in time, so that whoever reads its lines does not wait for ever."""
    watchdog = threading.Timer(seconds, process.popen.kill)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()


@contextmanager
def started(*words: str, before: Sequence[str] = ()) -> Iterator[Process]:
    """Run Python with these words, behind the words of another program; it is killed at the end if it still runs."""
    process = Process([*before, sys.executable, *words])
    try:
        yield process
    finally:
        process.kill()


@contextmanager
def camera_loop(bench: Bench, *options: str, before: Sequence[str] = ()) -> Iterator[Process]:
    """Run `capgan-edge run`, its events as JSON lines on stdout."""
    with started(*_CLI, "run", str(bench.bundle), *bench.running.options, "--jsonl", "-", *options,
                 before=before) as process:  # fmt: skip
        yield process


@contextmanager
def server(bench: Bench, *options: str) -> Iterator[tuple[Process, str]]:
    """Run `capgan-edge serve`; yield it and its address when it is ready."""
    with started(*_CLI, "serve", str(bench.bundle), *bench.running.options, "--port", "0", "--no-grpc", "--json",
                 *options) as process:  # fmt: skip
        yield process, address_of(process)


def address_of(process: Process) -> str:
    """Wait until a server says where it serves; raises CapganError where it ends or hangs instead."""
    assert process.popen.stdout is not None
    with ended_after(process, 2 * PATIENCE_S):
        line = process.popen.stdout.readline()
    if not line:
        process.popen.wait()
        last = process.err.strip().splitlines()[-1:] or ["nothing on stderr"]
        raise CapganError(f"expected the server to start, but it ended: {last[0]}")
    said: dict[str, Any] = json.loads(line)
    if "http" not in said:
        raise CapganError(f"expected the server to start, but it ended: {said.get('error')}")
    return str(said["http"])


@contextmanager
def troubled_server(bench: Bench, *options: str) -> Iterator[tuple[Process, str]]:
    """Run the server whose engine has trouble; yield it and its address when it is ready."""
    with started("-m", "capgan_benchmarks.endurance.troubled_server", str(bench.bundle), *bench.running.options,
                 *options) as process:  # fmt: skip
        yield process, address_of(process)
