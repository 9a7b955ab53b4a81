"""Faults of a server's clients: they leave in the middle, dawdle, or are gone without a word."""

from __future__ import annotations

import contextlib
import json
import time

from capgan_benchmarks.endurance import connections
from capgan_benchmarks.endurance.answers import tally_of
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.client import ask_all, metrics_of
from capgan_benchmarks.endurance.fault import Fault, must, wait_for
from capgan_benchmarks.endurance.process import server

_NUM_BAD = 40
_NUM_GOOD = 24
"""Questions of others meanwhile."""
_TIMEOUT_S = 2.0
"""A client's time for its body."""
_SETTLING_S = 0.3


def leaves_mid_body(bench: Bench) -> str:
    """Send half a body and close, every other time with an RST."""
    with server(bench) as (process, address):
        for number in range(_NUM_BAD):
            connection = connections.connected(address)
            connections.send_half(connection)
            connections.reset(connection) if number % 2 else connection.close()
        good = _others(bench, address)
        _wait_until_none_is_open(address)
        ended = process.end()
    must(ended.code == 0 and "Traceback" not in ended.err, f"exit {ended.code}: {ended.err.strip()[-200:]}")
    return f"{_NUM_BAD} left; {good}; no place is held"


def dawdles(bench: Bench) -> str:
    """Send a body byte by byte."""
    with (
        server(bench, "--client-timeout-s", f"{_TIMEOUT_S:g}") as (_, address),
        contextlib.closing(connections.connected(address)) as connection,
    ):
        connections.send_half(connection)
        until_s = time.monotonic() + 10 * _TIMEOUT_S
        good = _others(bench, address)
        connection.settimeout(0.1)
        while time.monotonic() < until_s:
            try:
                connection.send(b" ")
                status, body = connections.answer_of(connection)
                break
            except TimeoutError:
                continue
        else:
            status, body = 0, "nothing"
        must(status == 408, f"after {10 * _TIMEOUT_S:g} s the slow client had {status}: {body[:80]}")
        must(list(json.loads(body)) == ["error"], f"408 said {body[:80]}")
        _wait_until_none_is_open(address)
    return f"408 after {_TIMEOUT_S:g} s; meanwhile {good}"


def is_half_open(bench: Bench) -> str:
    """Vanish mid-body without FIN or RST, and leave connections whose headers never end; then SIGTERM."""
    with (
        server(bench, "--client-timeout-s", f"{_TIMEOUT_S:g}", "--grace-s", "5") as (process, address),
        contextlib.ExitStack() as held,
    ):
        mid_body = [connections.connected(address) for _ in range(_NUM_BAD // 2)]
        for connection in mid_body:
            connections.send_half(connection)
            endless = connections.connected(address)
            held.callback(endless.close)
            connections.send_headers_without_end(endless)
        # what is still under way to one who vanished is answered with an RST: the other side has to have read it all
        wait_for(lambda: _num_open(address) == len(mid_body), "half bodies were not read", patience_s=_TIMEOUT_S)
        time.sleep(_SETTLING_S)
        num_vanished = sum(connections.vanish(connection) for connection in mid_body)
        for connection in mid_body:
            held.callback(connection.close)
        num_unnoticed = _num_open(address)
        good = _others(bench, address)
        _wait_until_none_is_open(address)
        ended = process.end()
    must(ended.code == 0, f"exit {ended.code} after SIGTERM: {ended.err.strip()[-200:]}")
    how = (f"{num_vanished} vanished without FIN (TCP_REPAIR), {num_unnoticed:g} of them unnoticed" if num_vanished
           else f"{len(mid_body)} fell silent mid-body (TCP_REPAIR is not allowed here)")  # fmt: skip
    return f"{how}, {len(mid_body)} never ended their headers; {good}; bodies given up, exit 0"


def _others(bench: Bench, address: str) -> str:
    tally = tally_of(reply.kind for reply in ask_all(address, bench.questions, range(_NUM_GOOD)))
    must(tally.right == _NUM_GOOD, f"of {_NUM_GOOD} others {tally.right} were answered right, {tally.lost} were lost")
    return f"{tally.right} of {_NUM_GOOD} others answered right"


def _wait_until_none_is_open(address: str) -> None:
    wait_for(lambda: _num_open(address) == 0, "places of the bad clients were not freed")


def _num_open(address: str) -> float:
    """Return how many requests with a body are open; the look itself has none."""
    return metrics_of(address)["capgan_serve_open_requests"]


FAULTS = (
    Fault("server", "client disconnects mid-body", "others are answered, its place is freed", leaves_mid_body),
    Fault("server", "slow client", "408 when its time is over; others are answered meanwhile", dawdles),
    Fault("server", "half-open connection", "bodies given up in time, others answered; SIGTERM: exit 0", is_half_open),
)  # fmt: skip
