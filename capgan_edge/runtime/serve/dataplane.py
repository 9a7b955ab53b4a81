"""KServe's data plane with what it lacks: a reader that checks, readiness that waits for the model, a closed door."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import orjson
from kserve import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.infer_type import InferRequest, InferResponse
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

import capgan_edge
from capgan_edge.runtime.serve.model import PurifiedModel
from capgan_edge.runtime.serve.refusals import Refusal
from capgan_edge.runtime.serve.rest_request import HEADER


class Unread(NamedTuple):
    """A body of REST, of which the first bytes are JSON: the layer in front of the routes has said how many."""

    body: bytes
    num_json_bytes: int


class EdgeDataPlane(DataPlane):  # type: ignore[misc]
    """What REST and gRPC share."""

    def __init__(self, models: ModelRepository) -> None:
        super().__init__(models)
        self.is_draining = False

    def metadata(self) -> dict[str, Any]:
        extensions = ["binary_tensor_data"]
        return {"name": "capgan-edge", "version": capgan_edge.__version__, "extensions": extensions}

    async def ready(self) -> bool:
        """Say whether the model is warm and no one has told the server to stop."""
        models = self.model_registry.get_models().values()
        return not self.is_draining and all(model.ready for model in models)

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        """Describe the model; its list of versions is empty, where KServe would say null."""
        said = {"platform": self.model(model_name).loaded.platform, "versions": []}
        return {**await super().model_metadata(model_name), **said}

    def model(self, name: str) -> PurifiedModel:
        """Return the model of this name, or raise KServe's ModelNotFound."""
        model: PurifiedModel = self.get_model_from_registry(name)
        return model

    def decode_inference_request(self, body: bytes, headers: dict[str, str], model_name: str) -> Unread:
        """Leave a body as it is until `infer`, which can wait for a thread that reads it."""
        return Unread(body, int(headers[HEADER]))

    async def infer(
        self, model_name: str, request: Unread | InferRequest, headers: dict[str, str] | None = None
    ) -> tuple[InferResponse, dict[str, str]]:
        """Answer a request; one of REST is read first."""
        if isinstance(request, Unread):
            request = await self.model(model_name).read(request.body, request.num_json_bytes)
        answer: tuple[InferResponse, dict[str, str]] = await super().infer(model_name, request, headers)
        return answer

    def encode(
        self, model_name: str, response: Any, headers: dict[str, str], req_attributes: dict[str, Any]
    ) -> tuple[Any, dict[str, str]]:
        """Write an answer; never as a cloud event, whatever headers a request came with.

        JSON is written here, also in front of tensors: KServe's own says null of each member that is optional, where
        the protocol leaves it out.
        """
        said, named = super().encode(model_name, response, {}, req_attributes)
        if isinstance(said, dict):
            return _without_null(said), named
        num_json_bytes = int(named[HEADER])
        head = _without_null(orjson.loads(said[:num_json_bytes]))
        return head + said[num_json_bytes:], {**named, HEADER: str(len(head))}


def _without_null(said: dict[str, Any]) -> bytes:
    return orjson.dumps({key: value for key, value in said.items() if value is not None})


class ClosedRepository(ModelRepositoryExtension):  # type: ignore[misc]
    """No model is loaded or unloaded by request."""

    async def load(self, model_name: str) -> NoReturn:
        raise Refusal(403, "expected no request to load a model, which is not offered; start another server")

    async def unload(self, model_name: str) -> NoReturn:
        raise Refusal(403, "expected no request to unload a model, which is not offered; stop the server")
