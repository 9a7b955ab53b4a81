"""Faults of a server: an engine that raises, overload, SIGTERM under load, a bundle replaced, a clock that jumps."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from capgan_benchmarks.endurance.answers import Tally, tally_of
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.client import MODEL, Reply, ask_all, get, metrics_of
from capgan_benchmarks.endurance.fault import Fault, NotTried, must, wait_for
from capgan_benchmarks.endurance.jumping_clock import HOW
from capgan_benchmarks.endurance.load import measured_capacity, offered
from capgan_benchmarks.endurance.memory import MemoryWatch
from capgan_benchmarks.endurance.process import Ended, server, troubled_server
from capgan_benchmarks.endurance.troubled_server import WARM_UP_CALLS
from capgan_edge.runtime.bundle import Bundle, write_bundle

_NUM_ASKED = 20
_OVERLOAD = 10
_SLOW_S, _QUEUE = 0.05, 16
"""Of the overloaded engine: a frame every 50 ms at best, so that one client can ask ten times as much."""
_OVERLOAD_S = 4.0
_LATEST_MS = 500.0
"""Median lateness of our own sending beyond which it was no such overload."""
_MOST_GROWTH_MIB = 64.0
"""Of the overloaded server: far above what its bounded queue holds."""
_IN_FLIGHT = 16


def raises_once(bench: Bench) -> str:
    """Let one call of the engine fail."""
    with troubled_server(bench, "--fail-from", "5", "--num-failing", "1") as (process, address):
        replies = ask_all(address, bench.questions, range(_NUM_ASKED), at_once=False)
        _end_well(process.end())
    failed = [reply for reply in replies if reply.status == 500]
    must(len(failed) == 1 and failed[0].said.startswith("expected the engine"), f"answers: {_said(replies)}")
    must(tally_of(each.kind for each in replies).right == _NUM_ASKED - 1, f"answers: {_said(replies)}")
    return f"one 500 with its reason in a line; the other {_NUM_ASKED - 1} answered right"


def raises_always(bench: Bench) -> str:
    """Let every call fail from the first answer on."""
    with troubled_server(bench, "--num-failing", "1000000") as (process, address):
        replies = ask_all(address, bench.questions, range(_NUM_ASKED))
        live, _ = get(address, "/v2/health/live")
        num_failures = metrics_of(address)["capgan_serve_engine_failures_total"]
        _end_well(process.end())
    must(all(reply.status == 500 and not reply.said.startswith("?") for reply in replies), f"answers: {_said(replies)}")
    must(live == 200, f"health said {live}")
    must(num_failures >= _NUM_ASKED, f"{num_failures:g} failures were counted")
    return f"{len(replies)} times 500 with a line, all counted; live, and SIGTERM ends it with 0"


def overload(bench: Bench) -> str:
    """Ask ten times as much as the server was just measured to answer."""
    with troubled_server(bench, "--seconds", f"{_SLOW_S:g}", "--max-queue", f"{_QUEUE}") as (process, address):
        capacity, _ = measured_capacity(address, bench.questions, 2.0, num_clients=_QUEUE // 2)
        rate = _OVERLOAD * capacity
        with MemoryWatch(process.pid, 0.1) as watch:
            asked = offered(address, bench.questions, rate, _OVERLOAD_S, seed=bench.seed)
        after = ask_all(address, bench.questions, range(_NUM_ASKED), at_once=False)
        _end_well(process.end())
    tally, memory = tally_of(reply.kind for reply in asked.replies), watch.memory()
    must(tally.is_clean, f"answers: {_said(asked.replies)}")
    if statistics.median(asked.delays_ms) > _LATEST_MS:
        raise NotTried(f"this machine was too busy to ask {rate:.0f} times a second")
    must(tally.refused > 0 and tally.right > 0, f"{tally.right} right, {tally.refused} refused")
    must(all(reply.retry_after for reply in asked.replies if reply.kind == "refused"), "a 503 without Retry-After")
    must(tally_of(reply.kind for reply in after).right == _NUM_ASKED, f"afterwards: {_said(after)}")
    growth_mib = memory.largest_mib - memory.over_time[0][1]
    must(growth_mib <= _MOST_GROWTH_MIB, f"memory grew by {growth_mib:.0f} MiB")
    slowest_ms = max(took_ms for _, took_ms in asked.took)
    return (f"{rate:.0f} requests/s on {capacity:.0f}: {tally.right} right (slowest {slowest_ms:.0f} ms), "
            f"{tally.refused} told 503 with Retry-After, 0 lost, 0 mixed; memory {memory.over_time[0][1]:.0f} MiB, "
            f"at most {memory.largest_mib:.0f}; all right afterwards")  # fmt: skip


def sigterm_under_load(bench: Bench) -> str:
    """Send SIGTERM when requests wait for a slow engine."""
    with troubled_server(bench, "--seconds", "0.2") as (process, address), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_all, address, bench.questions, range(_IN_FLIGHT))
        wait_for(lambda: _num_read(address) == _IN_FLIGHT, f"expected {_IN_FLIGHT} requests to be read")
        num_waiting = metrics_of(address)["capgan_serve_waiting_frames"]
        process.popen.send_signal(signal.SIGTERM)
        replies = asked.result()
        _end_well(process.wait())
    must(num_waiting > 0, "the engine was too fast: nothing was in flight")
    tally = tally_of(reply.kind for reply in replies)
    must(tally.right == _IN_FLIGHT, f"answers: {_said(replies)}")
    return f"{num_waiting:.0f} of {_IN_FLIGHT} still waited; all {tally.right} answered right; exit 0"


def bundle_replaced(bench: Bench) -> str:
    """Replace the bundle on disk by one whose labels are in reverse, then remove it."""
    copy = bench.folder / "replaced"
    _write_copy(bench.bundle, copy, is_reversed=False)
    with server(replace(bench, bundle=copy)) as (process, address):
        before = ask_all(address, bench.questions, range(_NUM_ASKED))
        first = _about(address)
        _write_copy(bench.bundle, copy, is_reversed=True)
        after = ask_all(address, bench.questions, range(_NUM_ASKED))
        second = _about(address)
        wait_for(lambda: "the bundle on disk is replaced" in process.err, "expected a line in the log")
        wait_for(lambda: metrics_of(address)["capgan_serve_bundle_replaced"] == 1, "expected the metric to say so")
        shutil.rmtree(copy)
        last = ask_all(address, bench.questions, range(_NUM_ASKED))
        third = _about(address)
        _end_well(process.end())
    for replies in (before, after, last):
        must(tally_of(reply.kind for reply in replies).right == _NUM_ASKED, f"answers: {_said(replies)}")
    must(first["bundle_on_disk"] == "as loaded", f"before: {first['bundle_on_disk']}")
    must(second["bundle_on_disk"] == "replaced", f"after: {second['bundle_on_disk']}")
    must(third["bundle_on_disk"] == "gone", f"when it was removed: {third['bundle_on_disk']}")
    must(second["sha256"] == third["sha256"] == first["sha256"], "it serves other bytes than before")
    return f"{3 * _NUM_ASKED} answered right by what was loaded, before, after and without it; told in log and metrics"


def clock_jumps(bench: Bench) -> str:
    """Ask while the server's wall clock jumps."""
    with troubled_server(bench, "--jump-clock") as (process, address):
        until_s = time.monotonic() + 2
        replies = []
        while time.monotonic() < until_s:
            replies += ask_all(address, bench.questions, range(_NUM_ASKED))
        _end_well(process.end())
    tally = tally_of(reply.kind for reply in replies)
    must(tally.right == len(replies), f"answers: {_said(replies)}")
    return f"{tally.right} answered right ({HOW}); SIGTERM ends it with 0"


def _num_read(address: str) -> float:
    """Return how many frames have been read: given to the engine, but for its warm-up, or waiting."""
    held = metrics_of(address)
    return held["capgan_serve_batch_frames_sum"] - WARM_UP_CALLS + held["capgan_serve_waiting_frames"]


def _write_copy(bundle: Path, copy: Path, *, is_reversed: bool) -> None:
    opened = Bundle.open(bundle)
    labels = opened.manifest.labels[::-1] if is_reversed else opened.manifest.labels
    files = {name: (bundle / name).read_bytes() for name in opened.manifest.files}
    write_bundle(copy, opened.manifest.model_copy(update={"labels": labels}), files, overwrite=is_reversed)


def _about(address: str) -> dict[str, str]:
    _, body = get(address, f"/v2/models/{MODEL}/about")
    said: dict[str, str] = json.loads(body)
    return said


def _end_well(ended: Ended) -> None:
    must(ended.code == 0 and "Traceback" not in ended.err, f"exit {ended.code}: {ended.err.strip()[-200:]}")


def _said(replies: list[Reply]) -> str:
    tally: Tally = tally_of(reply.kind for reply in replies)
    odd = next((f"; first: {each.status} {each.said[:120]}" for each in replies if each.kind != "right"), "")
    return ", ".join(f"{count} {name}" for name, count in tally.model_dump().items() if count) + odd


FAULTS = (
    Fault("server", "runner raises once", "one 500 in a line, all others answered", raises_once),
    Fault("server", "runner raises always", "500 in a line each time, counted; the server lives", raises_always),
    Fault(
        "server",
        "10 x overload",
        "503 with Retry-After or a right answer, no growth; all answered afterwards",
        overload,
    ),
    Fault("server", "SIGTERM under load", "answers in flight are finished, exit 0", sigterm_under_load),
    Fault("server", "bundle replaced on disk", "serves what it loaded, and says so", bundle_replaced),
    Fault("server", "clock jumps", "answers as ever", clock_jumps),
)
