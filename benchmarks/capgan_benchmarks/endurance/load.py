"""Load on a server: as much as it takes (closed loop), and at a given rate whatever it does (open loop)."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from dataclasses import dataclass, field

import numpy as np

from capgan_benchmarks.endurance.bench import Questions
from capgan_benchmarks.endurance.client import Client, Reply
from capgan_edge.errors import CapganError

NUM_CLIENTS = 32
"""Of the closed loop."""


@dataclass(slots=True)
class Asked:
    """Everything that was asked in one go, in the order of the replies."""

    replies: list[Reply] = field(default_factory=list)
    took: list[tuple[float, float]] = field(default_factory=list)
    """Of those with a result: scheduled at (seconds from the start), and milliseconds from then to the answer."""
    delays_ms: list[float] = field(default_factory=list)
    """From when a question was scheduled to when we came to send it: our own lateness, which is in the latency."""
    length_s: float = 0.0


async def closed_loop(client: Client, seconds: float, num_clients: int = NUM_CLIENTS) -> Asked:
    """Keep `num_clients` questions open; the answered ones over the time are the capacity."""
    asked, numbers = Asked(), itertools.count()
    began_s = time.perf_counter()

    async def one() -> None:
        while (at_s := time.perf_counter() - began_s) < seconds:
            reply = await client.ask(next(numbers))
            _note(asked, reply, at_s, 1000 * (time.perf_counter() - began_s - at_s))

    await asyncio.gather(*(one() for _ in range(num_clients)))
    asked.length_s = time.perf_counter() - began_s
    return asked


def capacity_of(asked: Asked) -> float:
    """Return results per second of a closed loop."""
    return sum(reply.kind == "right" for reply in asked.replies) / asked.length_s


async def open_loop(client: Client, rate_per_s: float, seconds: float, *, seed: int) -> Asked:
    """Ask at the times of a Poisson process, whether or not earlier answers have come; then wait for all answers.

    A latency runs from when its question was scheduled: a server that stalls does not hide what would have been asked.
    """
    asked, open_tasks = Asked(), set[asyncio.Task[None]]()
    rng = np.random.default_rng(seed)
    began_s = time.perf_counter()

    async def one(number: int, due_s: float) -> None:
        asked.delays_ms.append(1000 * (time.perf_counter() - began_s - due_s))
        reply = await client.ask(number)
        _note(asked, reply, due_s, 1000 * (time.perf_counter() - began_s - due_s))

    due_s = 0.0
    for number in itertools.count():
        due_s += -math.log(1 - rng.random()) / rate_per_s
        if due_s >= seconds:
            break
        await asyncio.sleep(max(0.0, began_s + due_s - time.perf_counter()))
        task = asyncio.create_task(one(number, due_s))
        open_tasks.add(task)
        task.add_done_callback(open_tasks.discard)
    await asyncio.gather(*open_tasks)
    asked.length_s = seconds
    return asked


def ask_every_size(address: str, questions: Questions, largest: int) -> None:
    """Ask for 1 to `largest` frames, one after the other.

    Engines prepare for each batch size, and keep what that takes, when they first see it. What the server's memory
    holds of it is not to be taken for growth whenever chance makes another batch.

    Raises:
        CapganError: one was not answered.
    """

    async def work() -> None:
        async with Client(address, questions) as client:
            for num_frames in range(1, largest + 1):
                status = await client.ask_frames(num_frames)
                if status != 200:
                    raise CapganError(f"expected the server to answer {num_frames} frames with 200, got {status}")

    asyncio.run(work())


def measured_capacity(
    address: str, questions: Questions, seconds: float, *, num_clients: int = NUM_CLIENTS
) -> tuple[float, Asked]:
    """Return results per second of a closed loop, after a shorter one that warms up, and what was asked."""

    async def work() -> Asked:
        async with Client(address, questions) as client:
            await closed_loop(client, seconds / 2, num_clients)
            return await closed_loop(client, seconds, num_clients)

    asked = asyncio.run(work())
    return capacity_of(asked), asked


def offered(address: str, questions: Questions, rate_per_s: float, seconds: float, *, seed: int) -> Asked:
    """Run `open_loop` on a client of its own."""

    async def work() -> Asked:
        async with Client(address, questions) as client:
            return await open_loop(client, rate_per_s, seconds, seed=seed)

    return asyncio.run(work())


def _note(asked: Asked, reply: Reply, at_s: float, took_ms: float) -> None:
    asked.replies.append(reply)
    if reply.status == 200:
        asked.took.append((at_s, took_ms))
