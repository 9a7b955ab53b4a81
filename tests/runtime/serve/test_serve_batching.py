"""Batches of requests in flight: whatever comes together, each gets its own answer, and nothing grows without bound."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import PATIENCE_S, frames_of

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.classifier import Verdict
from capgan_edge.runtime.serve.batching import Batcher
from capgan_edge.runtime.serve.loaded import Answers
from capgan_edge.runtime.serve.refusals import Refusal


class Engine:
    """Answers a frame with its own mean, remembers its batches, and fails on a frame of zeros."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self.may_go = threading.Event()
        self.may_go.set()
        self.has_come = threading.Event()

    def __call__(self, frames_NHWC: np.ndarray) -> Answers:
        self.has_come.set()
        assert self.may_go.wait(PATIENCE_S)
        self.batches.append(len(frames_NHWC))
        self.threads.add(threading.get_ident())
        means = frames_NHWC.reshape(len(frames_NHWC), -1).mean(axis=1)
        if (means == 0).any():
            raise ArtifactError("expected light, got a black frame; turn it on")
        verdicts = [Verdict(index=int(mean), label="", score=1.0, suspicion=0.0, is_alarm=None, latency_ms=0.0)
                    for mean in means]  # fmt: skip
        return Answers(outputs={"mean": means}, verdicts=verdicts)


def with_batcher(
    engine: Engine, ask: Callable[[Batcher], Awaitable[None]], *, max_batch: int, wait_ms: float = 1, queue: int = 256
) -> None:
    async def session() -> None:
        batcher = Batcher(engine, max_batch=max_batch, max_wait_ms=wait_ms, max_queue=queue)
        working = asyncio.create_task(batcher.work())
        try:
            await asyncio.wait_for(ask(batcher), PATIENCE_S)
        finally:
            engine.may_go.set()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            batcher.close()

    asyncio.run(session())


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=25),
    max_batch=st.integers(1, 8),
    wait_ms=st.sampled_from([0.0, 1.0, 5.0]),
    pauses=st.lists(st.booleans(), min_size=25, max_size=25),
)
def test_every_request_gets_its_own_frames_answers_in_order(
    sizes: Sequence[int], max_batch: int, wait_ms: float, pauses: Sequence[bool]
) -> None:
    engine = Engine()
    requests = [frames_of(size, seed=number) for number, size in enumerate(sizes)]

    async def one(batcher: Batcher, frames: np.ndarray, pause: bool) -> Answers:
        if pause:
            await asyncio.sleep(0.001)
        return await batcher.submit(frames)

    async def ask(batcher: Batcher) -> None:
        together = [one(batcher, frames, pause) for frames, pause in zip(requests, pauses, strict=False)]
        for frames, answers in zip(requests, await asyncio.gather(*together), strict=True):
            expected = frames.reshape(len(frames), -1).mean(axis=1)
            np.testing.assert_allclose(answers.outputs["mean"], expected)
            assert [verdict.index for verdict in answers.verdicts] == [int(mean) for mean in expected]

    with_batcher(engine, ask, max_batch=max_batch, wait_ms=wait_ms)
    assert max(engine.batches) <= max_batch
    assert sum(engine.batches) == sum(sizes)
    assert len(engine.threads) == 1


def test_what_comes_together_goes_together() -> None:
    engine = Engine()

    async def ask(batcher: Batcher) -> None:
        await asyncio.gather(*(batcher.submit(frames_of(1, seed=seed)) for seed in range(8)))

    with_batcher(engine, ask, max_batch=8, wait_ms=1000)
    assert engine.batches == [8]  # and full, so that it did not wait for its second


def test_a_failure_is_only_whose_frames_failed() -> None:
    engine = Engine()

    async def ask(batcher: Batcher) -> None:
        black = np.zeros((1, 8, 8, 3), np.uint8)
        results = await asyncio.gather(
            *(batcher.submit(frames) for frames in (frames_of(2), black, frames_of(1, seed=1))), return_exceptions=True
        )
        assert [type(result) for result in results] == [Answers, ArtifactError, Answers]
        with pytest.raises(ArtifactError, match="black"):
            await batcher.submit(black)
        assert len((await batcher.submit(frames_of(3))).verdicts) == 3

    with_batcher(engine, ask, max_batch=4, wait_ms=50)


def test_past_the_bound_requests_are_refused_and_those_before_are_answered() -> None:
    engine = Engine()
    engine.may_go.clear()

    async def ask(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(frames_of(2, seed=99)))
        assert await asyncio.to_thread(engine.has_come.wait, PATIENCE_S)
        waiting = [asyncio.create_task(batcher.submit(frames_of(1, seed=seed))) for seed in range(4)]
        await asyncio.sleep(0)
        for size in (1, 4):
            with pytest.raises(Refusal, match="come again later") as caught:
                await batcher.submit(frames_of(size))
            assert caught.value.status == 503
            assert caught.value.headers == {"retry-after": "1"}
        with pytest.raises(Refusal, match="at most 4 frames in a request, got 5"):
            await batcher.submit(frames_of(5))
        engine.may_go.set()
        assert [len((await task).verdicts) for task in (first, *waiting)] == [2, 1, 1, 1, 1]

    with_batcher(engine, ask, max_batch=2, wait_ms=0, queue=4)


def test_a_request_whose_time_is_over_is_refused_and_never_run() -> None:
    engine = Engine()
    engine.may_go.clear()

    async def ask(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(frames_of(1)))
        assert await asyncio.to_thread(engine.has_come.wait, PATIENCE_S)
        with pytest.raises(Refusal, match="expected an answer within") as caught:
            await batcher.submit(frames_of(7), timeout_s=0.01)
        assert caught.value.status == 503
        engine.may_go.set()
        await first
        await batcher.submit(frames_of(2))

    with_batcher(engine, ask, max_batch=8, wait_ms=0)
    assert 7 not in engine.batches


def test_a_request_that_is_cancelled_is_never_run() -> None:
    engine = Engine()
    engine.may_go.clear()

    async def ask(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.submit(frames_of(1)))
        assert await asyncio.to_thread(engine.has_come.wait, PATIENCE_S)
        left = asyncio.create_task(batcher.submit(frames_of(7)))
        await asyncio.sleep(0)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        engine.may_go.set()
        await first
        await batcher.submit(frames_of(2))

    with_batcher(engine, ask, max_batch=8, wait_ms=0)
    assert engine.batches == [1, 2]
