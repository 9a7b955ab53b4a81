"""The REST surface: KServe's routes of the protocol, one for encoded images, one for what is served, and metrics."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotLive, ServerNotReady
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

import capgan_edge
from capgan_edge.errors import CapganError
from capgan_edge.runtime.frames import fit_frames
from capgan_edge.runtime.serve.dataplane import ClosedRepository, EdgeDataPlane
from capgan_edge.runtime.serve.encoded_image import frame_from_image
from capgan_edge.runtime.serve.refusals import Refusal, refusal_from

_MAX_DECODING = 2
"""Images decoded at once: each may hold many times its body."""
_ENCODED = {"type": "string", "format": "binary"}
_IMAGE_BODY = {"requestBody": {"required": True, "content": {"image/jpeg": {"schema": _ENCODED},
                                                             "image/png": {"schema": _ENCODED}}}}  # fmt: skip
_FAILURES = (Refusal, CapganError, InvalidInput, ModelNotFound, ModelNotReady, ServerNotLive, ServerNotReady,
             NotImplementedError, HTTPException, RequestValidationError, Exception)  # fmt: skip


def rest_app(dataplane: EdgeDataPlane, repository: ClosedRepository, *, max_pixels: int) -> FastAPI:
    """Return the application; KServe's own is one a process, on every address, and has the V1 protocol too."""
    app = FastAPI(title="capgan-edge", version=capgan_edge.__version__, docs_url=None, redoc_url=None,
                  redirect_slashes=False)  # fmt: skip
    register_v2_endpoints(app, dataplane, repository)
    routes = _Routes(dataplane, max_pixels)
    app.add_api_route("/v2/models/{model_name}/classify", routes.classify, methods=["POST"], tags=["capgan-edge"],
                      openapi_extra=_IMAGE_BODY)  # fmt: skip
    app.add_api_route("/v2/models/{model_name}/about", routes.about, methods=["GET"], tags=["capgan-edge"])
    app.add_api_route("/metrics", metrics_handler, methods=["GET"], tags=["capgan-edge"])
    for failure in _FAILURES:
        app.add_exception_handler(failure, _answer)
    return app


class _Routes:
    """What the protocol does not have."""

    def __init__(self, dataplane: EdgeDataPlane, max_pixels: int) -> None:
        self._dataplane = dataplane
        self._max_pixels = max_pixels
        self._decoding = asyncio.Semaphore(_MAX_DECODING)

    async def classify(self, model_name: str, request: Request) -> dict[str, Any]:
        """Classify one image: the body is a JPEG or PNG of any size, as it lies in its file."""
        model = self._dataplane.model(model_name)
        if not model.ready:
            raise ModelNotReady(model_name)
        async with self._decoding:
            frames_NHWC = await asyncio.to_thread(self._fitted, await request.body(), model.loaded.size_px)
        answers = await model.answers(frames_NHWC, timeout_s=None)
        (verdict,) = answers.verdicts
        said = {"label": verdict.label, "index": verdict.index, "score": verdict.score,
                "suspicion": verdict.suspicion, "is_alarm": verdict.is_alarm}  # fmt: skip
        raw = {} if verdict.raw_index is None else {"raw_label": verdict.raw_label, "raw_index": verdict.raw_index}
        return {"model_name": model.name, **said, **raw, "parameters": model.parameters(answers.verdicts)}

    async def about(self, model_name: str) -> dict[str, Any]:
        """Say what is served: labels, artifact, hash, backend and why, card, and what is on disk in its place."""
        return await asyncio.to_thread(self._dataplane.model(model_name).loaded.describe)

    def _fitted(self, data: bytes, size_px: tuple[int, int]) -> NDArray[np.uint8]:
        return fit_frames([frame_from_image(data, max_pixels=self._max_pixels)], size_px)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    refusal = refusal_from(error)
    allow = getattr(error, "headers", None) if isinstance(error, HTTPException) else None
    return JSONResponse({"error": refusal.line}, int(refusal.status), headers={**(allow or {}), **refusal.headers})
