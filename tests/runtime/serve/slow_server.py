"""A real server in a process of its own whose engine takes its time: `python slow_server.py BUNDLE SECONDS`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from serving import Addresses, Limits, Loaded, Obedient, Place, load

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.runner import Outputs
from capgan_edge.runtime.serve.server import EdgeServer


class Slow(Obedient):
    """Every batch takes a while."""

    def __call__(self, frames_NHWC: np.ndarray) -> Outputs:
        time.sleep(float(sys.argv[2]))
        return super().__call__(frames_NHWC)


def say(addresses: Addresses) -> None:
    sys.stdout.write(json.dumps(asdict(addresses)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    loaded: Loaded = load(Bundle.open(Path(sys.argv[1])), Slow)
    limits = Limits(max_batch=1, max_wait_ms=0)
    EdgeServer("tiny", loaded, place=Place(port=0, grpc_port=0), limits=limits).start(say)
