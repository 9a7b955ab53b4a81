"""`capgan-edge run` as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CODE = """
import os, resource, signal, sys
from importlib.metadata import EntryPoint
from capgan_edge.cli import GROUP, main
limit, signalled = int(sys.argv.pop(1)), sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
def signal_once(event, arguments):
    global signalled
    if signalled and event == "open" and str(arguments[0]).endswith("manifest.json"):
        number, signalled = int(signalled), ""
        os.kill(os.getpid(), number)
sys.addaudithook(signal_once)
sys.exit(main(parts=[EntryPoint("stream", "capgan_edge.runtime.stream.command:app", GROUP)]))
"""


def started(*arguments: str | Path, limit_bytes: int = 0, signal_at_load: int | None = None) -> subprocess.Popen[str]:
    """Start it; `limit_bytes` bounds what it may write to a file, `signal_at_load` comes while the bundle is read."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    options = [str(limit_bytes), "" if signal_at_load is None else str(int(signal_at_load))]
    command = [sys.executable, "-W", "error", "-c", CODE, *options, "run", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
