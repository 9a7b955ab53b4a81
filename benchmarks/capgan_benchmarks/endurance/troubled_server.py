"""A real server whose engine has trouble: `python -m capgan_benchmarks.endurance.troubled_server BUNDLE --seconds 0.1`.

It says where it serves in one line of JSON, as `capgan-edge serve --json` does.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capgan_benchmarks.endurance.bench import Running
from capgan_benchmarks.endurance.client import MODEL
from capgan_benchmarks.endurance.jumping_clock import jumping_clock
from capgan_benchmarks.endurance.troubled import TroubledRunner
from capgan_benchmarks.script import run_script

if TYPE_CHECKING:
    from capgan_edge.runtime.serve.server import Addresses

WARM_UP_CALLS = 4
"""That the server makes before it is ready."""


def main(
    bundle: Path,
    seconds: Annotated[float, typer.Option(help="That each batch takes longer.")] = 0.0,
    max_queue: Annotated[int, typer.Option(help="Frames that may wait (a count).")] = 256,
    fail_from: Annotated[int, typer.Option(help="First call of the engine that fails, after the warm-up.")] = 0,
    num_failing: Annotated[int, typer.Option(help="How many calls fail (a count).")] = 0,
    jump_clock: Annotated[bool, typer.Option("--jump-clock", help="The wall clock jumps all the time.")] = False,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> None:
    """Serve one frame a batch until SIGTERM."""
    from capgan_edge.runtime.serve.door import open_kserve

    open_kserve()
    from capgan_edge.runtime.bundle import Bundle
    from capgan_edge.runtime.loading import classifier_from_opened
    from capgan_edge.runtime.serve.limits import Limits
    from capgan_edge.runtime.serve.loaded import Loaded
    from capgan_edge.runtime.serve.server import EdgeServer, Place

    opened = Bundle.open(bundle)
    inner = Running(backend=backend, precision=precision, threads=threads).open(opened)
    first = WARM_UP_CALLS + fail_from
    runner = TroubledRunner(inner.runner, failing=range(first, first + num_failing), seconds=seconds)
    loaded = Loaded(opened, classifier_from_opened(opened, inner), runner)
    limits = Limits(max_batch=1, max_wait_ms=0, max_queue=max_queue)
    with jumping_clock() if jump_clock else contextlib.nullcontext():
        EdgeServer(MODEL, loaded, place=Place(port=0, grpc_port=None), limits=limits).start(_say)


def _say(addresses: Addresses) -> None:
    sys.stdout.write(json.dumps(asdict(addresses)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run_script(main)
