"""The server for minutes under open-loop load at a share of what it was just measured to take."""

from __future__ import annotations

from capgan_benchmarks.endurance.answers import tally_of
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.client import ask_all
from capgan_benchmarks.endurance.load import NUM_CLIENTS, ask_every_size, measured_capacity, offered
from capgan_benchmarks.endurance.memory import MemoryWatch
from capgan_benchmarks.endurance.neighbours import others_since_now
from capgan_benchmarks.endurance.over_time import over_time
from capgan_benchmarks.endurance.process import server
from capgan_benchmarks.endurance.soak_record import ServerSoak
from capgan_edge.errors import CapganError
from capgan_edge.runtime.serve.limits import Limits

LOAD_SHARE = 0.7
_LARGEST_BATCH = 64
"""That the server makes of what ONNX Runtime or OpenVINO computes."""
_NUM_AT_ONCE = Limits().max_open_requests
"""The server holds no more requests; what a full queue once took, the allocator keeps: that is no growth."""
_LONGEST_CAPACITY_S = 20.0
_CAPACITY_SHARE = 0.1
"""Of the length of the load: how long the capacity is measured."""


def soak_server(bench: Bench, seconds: float, sample_s: float) -> ServerSoak:
    """Fill the server's queue once, measure its capacity, load it to 70 % of that for `seconds`, and measure again.

    SIGTERM ends it then.

    Raises:
        CapganError: it does not start, answers nothing, or does not end.
    """
    with server(bench) as (process, address):
        ask_every_size(address, bench.questions, _LARGEST_BATCH)
        burst = ask_all(address, bench.questions, range(_NUM_AT_ONCE))
        capacity_s = max(1.0, min(_LONGEST_CAPACITY_S, _CAPACITY_SHARE * seconds))
        capacity, closed = measured_capacity(address, bench.questions, capacity_s)
        if capacity <= 0:
            said = next((reply.said for reply in closed.replies if reply.said), "no reason was given")
            raise CapganError(f"expected the server to answer, but not one answer was right: {said}")
        rate = LOAD_SHARE * capacity
        others = others_since_now(process.pid)
        with MemoryWatch(process.pid, sample_s) as watch:
            asked = offered(address, bench.questions, rate, seconds, seed=bench.seed)
        others_processors = others()
        capacity_after, closed_after = measured_capacity(address, bench.questions, capacity_s)
        ended = process.end()
    delays = over_time([(0.0, each) for each in asked.delays_ms], seconds)
    return ServerSoak(minutes=seconds / 60, num_clients=NUM_CLIENTS, capacity_seconds=capacity_s,
                      capacity_per_s=capacity, capacity_after_per_s=capacity_after, load_percent=100 * LOAD_SHARE,
                      rate_per_s=rate, others_processors=others_processors,
                      answers=tally_of(reply.kind for reply in asked.replies),
                      answers_in_closed_loop=tally_of(reply.kind for reply in closed.replies + closed_after.replies),
                      answers_in_burst=tally_of(reply.kind for reply in burst),
                      latency=over_time(asked.took, seconds), delay=delays.whole, memory=watch.memory(),
                      exit_code=ended.code)  # fmt: skip
