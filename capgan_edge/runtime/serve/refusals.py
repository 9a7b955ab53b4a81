"""Every failure as a status and one line, the same for REST and gRPC."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from grpc import StatusCode
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotLive, ServerNotReady
from starlette.exceptions import HTTPException

from capgan_edge.errors import CapganError, InputError

LOG = logging.getLogger("capgan_edge.serve")
_RETRY_AFTER_S = 1
_MAX_LINE = 500

_GRPC_CODE_OF = {
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
}


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An answer that is no result."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = HTTPStatus(status)
        self.line = printable(line)

    @property
    def headers(self) -> dict[str, str]:
        """Of the REST answer: when to come again, how to log in, or that the connection ends here."""
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return {"retry-after": str(_RETRY_AFTER_S)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            return {"www-authenticate": "Bearer"}
        if self.status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            return {"connection": "close"}
        return {}

    @property
    def grpc_code(self) -> StatusCode:
        """The gRPC status that says the same."""
        return _GRPC_CODE_OF.get(self.status, StatusCode.INTERNAL)


def refusal_from(error: BaseException) -> Refusal:
    """Return what a client is told of an error; what is nobody's input is logged, in one line."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, (InvalidInput, InputError)):
        return Refusal(400, str(error))
    if isinstance(error, ModelNotFound):
        return Refusal(404, str(error))
    if isinstance(error, (ModelNotReady, ServerNotReady, ServerNotLive)):
        return Refusal(503, str(error))
    if isinstance(error, NotImplementedError):  # KServe's word for a model version in the path
        return Refusal(404, f"expected a model without versions, but: {error}; leave the version out")
    if isinstance(error, HTTPException):
        return Refusal(error.status_code, str(error.detail))
    if isinstance(error, RequestValidationError):
        return Refusal(400, _first_problem(error))
    LOG.error("%s", printable(f"a request failed: {type(error).__name__}: {error}"))
    if isinstance(error, CapganError):
        return Refusal(500, str(error))
    return Refusal(500, f"internal error: {type(error).__name__}; the server's log says more")


def printable(text: str) -> str:
    """Return text as one line without control characters: it may quote a hostile request."""
    start = text[: 4 * _MAX_LINE]  # of a text as large as a body, the rest would only cost time
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(start.split()))
    return line if len(line) <= _MAX_LINE else line[: _MAX_LINE - 3] + "..."


def _first_problem(error: RequestValidationError) -> str:
    problems = error.errors()
    first = problems[0] if problems else {"loc": (), "msg": "invalid"}
    place = ".".join(str(part) for part in first["loc"])
    return f"expected a valid request, but {place or 'it'}: {first['msg']}; see /openapi.json"
