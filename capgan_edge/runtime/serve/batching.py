"""Requests in flight become batches: bounded, in order, and every answer goes to whom it belongs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.serve import metrics
from capgan_edge.runtime.serve.loaded import Answers
from capgan_edge.runtime.serve.refusals import Refusal


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A request, or as much of one as a batch holds."""

    frames_NHWC: NDArray[np.uint8]
    future: asyncio.Future[Answers]


class Batcher:
    """Gather frames for a few milliseconds, run them as one batch in a thread of its own, hand the rows out again."""

    def __init__(
        self, run: Callable[[NDArray[np.uint8]], Answers], *, max_batch: int, max_wait_ms: float, max_queue: int
    ) -> None:
        """Batch calls of `run`, which is only ever called from one thread, with 1 to `max_batch` frames."""
        self.max_batch, self.max_queue = max_batch, max_queue
        self._run = run
        self._max_wait_s = max_wait_ms / 1000
        self._waiting: deque[_Piece] = deque()
        self._num_waiting = 0
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")

    async def submit(self, frames_NHWC: NDArray[np.uint8], *, timeout_s: float | None = None) -> Answers:
        """Return the answers to N >= 1 frames, in their order.

        Raises:
            Refusal: too many frames wait already, these are more than may ever wait, or the time is over.
            CapganError: the engine failed on them.
        """
        num_frames = len(frames_NHWC)
        if num_frames > self.max_queue:
            raise Refusal(413, f"expected at most {self.max_queue} frames in a request, got {num_frames}; split it")
        if self._num_waiting + num_frames > self.max_queue:
            raise Refusal(503, f"expected room for {num_frames} frames, but {self._num_waiting} of {self.max_queue} "
                               "wait already; come again later")  # fmt: skip
        loop = asyncio.get_running_loop()
        pieces = [_Piece(frames_NHWC[start : start + self.max_batch], loop.create_future())
                  for start in range(0, num_frames, self.max_batch)]  # fmt: skip
        self._waiting.extend(pieces)
        self._count(num_frames)
        self._arrived.set()
        try:
            parts = await asyncio.wait_for(asyncio.gather(*(piece.future for piece in pieces)), timeout_s)
        except asyncio.TimeoutError:
            raise Refusal(503, f"expected an answer within {timeout_s:g} s, got none; come again later") from None
        return parts[0] if len(parts) == 1 else _joined(parts)

    async def work(self) -> None:
        """Run batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            pieces = await self._gathered()
            if not pieces:
                continue
            frames_NHWC = _stacked(pieces)
            metrics.BATCH.observe(len(frames_NHWC))
            try:
                with metrics.ENGINE.time():
                    answers = await loop.run_in_executor(self._thread, self._run, frames_NHWC)
            except Exception as error:
                metrics.ENGINE_FAILURES.inc()
                await self._run_apart(pieces, error)
                continue
            _hand_out(pieces, answers)

    def close(self) -> None:
        """End the thread; what runs in it is finished."""
        self._thread.shutdown()

    async def _gathered(self) -> list[_Piece]:
        """Wait for a piece, then for more until the batch is full or its first has waited enough."""
        await self._arrived.wait()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._max_wait_s
        pieces: list[_Piece] = []
        room = self.max_batch
        while True:
            while self._waiting and len(self._waiting[0].frames_NHWC) <= room:
                piece = self._waiting.popleft()
                self._count(-len(piece.frames_NHWC))
                if not piece.future.done():  # its client may have left, or its time may be over
                    pieces.append(piece)
                    room -= len(piece.frames_NHWC)
            if self._waiting:
                return pieces  # the next one does not fit any more
            self._arrived.clear()
            left_s = until_s - loop.time()
            if not room or not pieces or left_s <= 0:
                return pieces
            try:
                await asyncio.wait_for(self._arrived.wait(), left_s)
            except asyncio.TimeoutError:
                return pieces

    async def _run_apart(self, pieces: list[_Piece], error: Exception) -> None:
        """Give each its own try, so that one request's failure is not another's; alone, it has failed already."""
        if len(pieces) == 1:
            _fail(pieces[0], error)
            return
        loop = asyncio.get_running_loop()
        for piece in pieces:
            try:
                answers = await loop.run_in_executor(self._thread, self._run, piece.frames_NHWC)
            except Exception as own_error:
                _fail(piece, own_error)
            else:
                _hand_out([piece], answers)

    def _count(self, num_frames: int) -> None:
        self._num_waiting += num_frames
        metrics.WAITING.set(self._num_waiting)


def _stacked(pieces: list[_Piece]) -> NDArray[np.uint8]:
    if len(pieces) == 1:
        return pieces[0].frames_NHWC
    return np.concatenate([piece.frames_NHWC for piece in pieces])


def _hand_out(pieces: list[_Piece], answers: Answers) -> None:
    start = 0
    for piece in pieces:
        stop = start + len(piece.frames_NHWC)
        if not piece.future.done():
            piece.future.set_result(answers.part(start, stop))
        start = stop
    assert start == len(answers.verdicts)


def _fail(piece: _Piece, error: Exception) -> None:
    if not piece.future.done():
        piece.future.set_exception(error)


def _joined(parts: list[Answers]) -> Answers:
    names = parts[0].outputs
    return Answers(outputs={name: np.concatenate([part.outputs[name] for part in parts]) for name in names},
                   verdicts=[verdict for part in parts for verdict in part.verdicts])  # fmt: skip
