"""The one model of the server: a `kserve.Model` over the classifier."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
from kserve.errors import ModelNotReady
from numpy.typing import NDArray

from capgan_edge.runtime.classifier import Verdict
from capgan_edge.runtime.serve import metrics
from capgan_edge.runtime.serve.asked import Asked, asked_from_request
from capgan_edge.runtime.serve.batching import Batcher
from capgan_edge.runtime.serve.bounds import Bounds
from capgan_edge.runtime.serve.loaded import Answers, Loaded
from capgan_edge.runtime.serve.rest_request import request_from_body

_MAX_SHORT_BYTES = 1 << 14
"""Of JSON that is read at once: a thread would take longer to start."""


class PurifiedModel(Model):  # type: ignore[misc]
    """Frames in, what the fused graph gives out; ready once it is warm."""

    def __init__(self, name: str, loaded: Loaded, batcher: Batcher) -> None:
        super().__init__(name)
        self.loaded = loaded
        self.batcher = batcher
        self.bounds = Bounds(max_frames=batcher.max_queue, size_px=loaded.size_px)
        self._reading = asyncio.Semaphore(1)  # more at once would not be faster, and take their memory at once

    def load(self) -> bool:
        """Load nothing: a request cannot make a model ready, only warming up does."""
        return bool(self.ready)

    async def warm_up(self) -> None:
        """Run one frame and a full batch, twice each (an engine captures its graph in the second), then be ready."""
        for num_frames in (1, 1, self.batcher.max_batch, self.batcher.max_batch):
            shape = (min(num_frames, self.batcher.max_queue), *self.loaded.size_px, 3)
            await self.batcher.submit(np.zeros(shape, np.uint8))
        self.ready = True

    def get_input_types(self) -> list[dict[str, Any]]:
        return [self.loaded.input.as_metadata()]

    def get_output_types(self) -> list[dict[str, Any]]:
        return [output.as_metadata() for output in self.loaded.outputs]

    async def predict(
        self, payload: InferRequest, headers: Mapping[str, str] | None = None, response_headers: object = None
    ) -> InferResponse:
        """Answer a request of the protocol.

        Raises:
            Refusal: it is not for this model, or the queue is full.
            CapganError: the engine failed.
        """
        if not self.ready:
            raise ModelNotReady(self.name)
        asked = await self._asked(payload)
        answers = await self.answers(asked.frames_NHWC, timeout_s=asked.timeout_s)
        datatype_of = {output.name: output.datatype for output in self.loaded.outputs}
        tensors = []
        for output in asked.outputs:
            array = answers.outputs[output.name]
            tensors.append(InferOutput(output.name, list(array.shape), datatype_of[output.name], array))
        return InferResponse(
            response_id=payload.id or uuid.uuid4().hex,  # KServe sends no answer without one
            model_name=self.name,
            infer_outputs=tensors,
            parameters=self.parameters(answers.verdicts),
            from_grpc=payload.from_grpc,
            requested_outputs=list(asked.outputs),
        )

    async def read(self, body: bytes, num_json_bytes: int) -> InferRequest:
        """Return the request in the body of a REST request; a long one is read beside the event loop.

        Raises:
            Refusal: it is no request of the protocol, or says more than one may.
        """
        if num_json_bytes <= _MAX_SHORT_BYTES:
            return request_from_body(body, num_json_bytes, self.name, self.bounds)
        async with self._reading:
            return await asyncio.to_thread(request_from_body, body, num_json_bytes, self.name, self.bounds)

    async def _asked(self, payload: InferRequest) -> Asked:
        """Return what is asked for, and forget the numbers that it was said with, which take many times the memory."""
        described = self.loaded.input, self.loaded.outputs
        if any(tensor.data for tensor in payload.inputs):
            async with self._reading:
                asked = await asyncio.to_thread(asked_from_request, payload, *described)
        else:
            asked = asked_from_request(payload, *described)
        payload.inputs.clear()
        return asked

    async def answers(self, frames_NHWC: NDArray[np.uint8], *, timeout_s: float | None) -> Answers:
        """Return the answers to frames of the graph's size, and count what they say."""
        answers = await self.batcher.submit(frames_NHWC, timeout_s=timeout_s)
        for verdict in answers.verdicts:
            metrics.SUSPICION.observe(verdict.suspicion)
            if verdict.is_alarm:
                metrics.ALARMS.inc()
        return answers

    def parameters(self, verdicts: list[Verdict]) -> dict[str, str]:
        """Return what goes with every answer: which bytes gave it, and how suspicious each frame is.

        All are texts, since KServe's gRPC takes neither lists nor floats; the suspicion is a JSON list, a number a
        frame.
        """
        suspicion = json.dumps([round(verdict.suspicion, 6) for verdict in verdicts])
        alarms = [verdict.is_alarm for verdict in verdicts]
        loaded = self.loaded
        said = {"capgan_artifact": loaded.artifact, "capgan_sha256": loaded.sha256,
                "capgan_precision": loaded.precision, "capgan_card": loaded.card_state,
                "capgan_suspicion": suspicion}  # fmt: skip
        return said if None in alarms else {**said, "capgan_alarm": json.dumps(alarms)}
