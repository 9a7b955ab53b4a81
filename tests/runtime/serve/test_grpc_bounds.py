"""Clients that are silent, or that bring too much at once, over gRPC: others are served, and the memory is bounded."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc_calls
import numpy as np
import pytest
from client_process import ClientProcess
from serving import PATIENCE_S, Obedient, Place, Running, frames_of, load, logits_of

from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.runner import Runner
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.reception import Reception
from capgan_edge.runtime.serve.refusals import Refusal

GRPC = Place(port=0, grpc_port=0)


def test_silent_clients_lock_nobody_out_and_are_given_up(shared_bundle: Bundle, client_process: ClientProcess) -> None:
    limits = Limits(max_queue=16, client_timeout_s=3)
    num_silent = 3 * limits.max_receiving
    with Running(load(shared_bundle), limits=limits, place=GRPC) as running:
        client_process(grpc_calls.open_silent_calls, running.grpc, num_silent)
        frames = frames_of(2)
        said = client_process(grpc_calls.infer, running.grpc, frames)
        np.testing.assert_allclose(said["arrays"]["logits"], logits_of(frames), rtol=1e-5)
        assert client_process(grpc_calls.health_and_metadata, running.grpc)["ready"]
        ends = client_process(grpc_calls.end_of_silent_calls)
    assert len(ends) == num_silent
    for end in ends:
        assert "UNAVAILABLE] expected a message at once, since others wait" in end or (
            "DEADLINE_EXCEEDED] expected a message within 3 s, got none" in end
        )


def test_silent_clients_do_not_keep_the_server_from_stopping(
    shared_bundle: Bundle, client_process: ClientProcess
) -> None:
    with Running(load(shared_bundle), limits=Limits(client_timeout_s=600, grace_s=600), place=GRPC) as running:
        client_process(grpc_calls.open_silent_calls, running.grpc, 3)
        assert client_process(grpc_calls.health_and_metadata, running.grpc)["live"]  # they are in before it stops
    assert all("UNAVAILABLE]" in end for end in client_process(grpc_calls.end_of_silent_calls))


def test_requests_together_hold_no_more_bytes_than_the_limit(
    shared_bundle: Bundle, client_process: ClientProcess
) -> None:
    made: list[Obedient] = []

    def wrap(runner: Runner) -> Runner:
        made.append(Obedient(runner))
        return made[0]

    limits = Limits(max_body_mib=0.05, max_queue=10_000, max_batch=64)
    batches = [frames_of(200, seed=number) for number in range(24)]  # 38 kB each
    num_held = limits.max_held_bytes // batches[0].nbytes
    with Running(load(shared_bundle, wrap), limits=limits, place=GRPC) as running, ThreadPoolExecutor(1) as pool:
        made[0].may_go.clear()
        later = pool.submit(client_process, grpc_calls.infer_at_once_or_errors, running.grpc, batches)
        refused = 'capgan_serve_refused_total{status="503"} '
        before = _count(running, refused)
        for _ in range(2000):
            if _count(running, refused) - before >= len(batches) - num_held:
                break
        made[0].may_go.set()
        answers = later.result(PATIENCE_S)
    answered = [number for number, said in enumerate(answers) if "error" not in said]
    assert 1 <= len(answered) <= num_held
    for number, said in enumerate(answers):
        if number in answered:
            np.testing.assert_allclose(said["arrays"]["logits"], logits_of(batches[number]), rtol=1e-5)
        else:
            assert "UNAVAILABLE] expected room for the body, but others fill it" in said["error"]


def _count(running: Running, name: str) -> float:
    (line,) = [line for line in running.ask("GET", "/metrics").body.decode().splitlines() if line.startswith(name)]
    return float(line.removeprefix(name))


def test_without_the_token_a_silent_call_ends_before_it_sends_anything(
    shared_bundle: Bundle, client_process: ClientProcess
) -> None:
    place = Place(port=0, grpc_port=0, token="a-token-of-more-than-16-letters")
    with Running(load(shared_bundle), limits=Limits(client_timeout_s=600), place=place) as running:
        client_process(grpc_calls.open_silent_calls, running.grpc, 2)
        ends = client_process(grpc_calls.end_of_silent_calls)
    assert all("UNAUTHENTICATED] expected the header Authorization" in end for end in ends)


@pytest.mark.parametrize(
    ("method", "request_kind", "members", "message"),
    [
        ("ModelReady", "ModelReadyRequest", {"name": "tiny", "version": "1"}, "NOT_FOUND] expected a model without"),
        ("ModelMetadata", "ModelMetadataRequest", {"name": "tiny", "version": "1"}, "NOT_FOUND] expected a model"),
        ("ModelInfer", "ModelInferRequest", {"model_name": "tiny", "model_version": "1"}, "NOT_FOUND] expected a mod"),
        ("ModelReady", "ModelReadyRequest", {"name": "x" * 5000}, "RESOURCE_EXHAUSTED] expected a message of at most"),
    ],
)
def test_versions_and_long_questions_are_refused(
    method: str,
    request_kind: str,
    members: dict[str, str],
    message: str,
    running_client: tuple[Running, ClientProcess],
) -> None:
    running, client = running_client
    assert message in client(grpc_calls.ask_with, running.grpc, method, request_kind, **members)


@pytest.fixture
def running_client(server: Running, client_process: ClientProcess) -> tuple[Running, ClientProcess]:
    return server, client_process


def test_more_numbers_than_pixels_are_refused_before_they_become_objects(
    server: Running, client_process: ClientProcess
) -> None:
    said = client_process(grpc_calls.infer_typed, server.grpc, frames_of(1), [1] * 900_000)
    assert "RESOURCE_EXHAUSTED] expected at most 49152 numbers in a request" in said["error"]


async def _never() -> None:
    await asyncio.Event().wait()


async def _at_once() -> str:
    return "a message"


def test_the_newest_in_line_gets_the_seat_of_the_oldest_who_is_silent() -> None:
    async def run() -> tuple[str, list[str]]:
        reception = Reception(seats=2, max_waiting=9, patience_s=0.01)
        silent = [asyncio.ensure_future(reception.receive(_never, timeout_s=PATIENCE_S)) for _ in range(2)]
        await asyncio.sleep(0)
        got = await reception.receive(_at_once, timeout_s=PATIENCE_S)
        (ended,), (still,) = await asyncio.wait(silent, return_when=asyncio.FIRST_COMPLETED)
        assert still is silent[1]
        reception.drain()
        ends = [str(error) for error in await asyncio.gather(ended, still, return_exceptions=True)]
        return got, ends

    got, ends = asyncio.run(run())
    assert got == "a message"
    assert all("since others wait" in end for end in ends[:1])


def test_a_full_line_gives_up_its_oldest_and_a_silent_client_its_time() -> None:
    async def run() -> list[BaseException | str]:
        reception = Reception(seats=1, max_waiting=1, patience_s=PATIENCE_S)
        seated = asyncio.ensure_future(reception.receive(_never, timeout_s=0.2))
        await asyncio.sleep(0)
        first = asyncio.ensure_future(reception.receive(_at_once, timeout_s=PATIENCE_S))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(reception.receive(_at_once, timeout_s=PATIENCE_S))
        return await asyncio.gather(seated, first, second, return_exceptions=True)

    timed_out, pushed_out, served = asyncio.run(run())
    assert isinstance(timed_out, Refusal)
    assert timed_out.status == 408
    assert isinstance(pushed_out, Refusal)
    assert (pushed_out.status, "1 calls wait" in pushed_out.line) == (503, True)
    assert served == "a message"
