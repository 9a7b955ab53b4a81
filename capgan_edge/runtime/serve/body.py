"""Reading a request's body from a client that may be slow, gone, or out to fill the memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from capgan_edge.runtime.serve.gate import Ticket
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.refusals import Refusal

Receive = Callable[[], Awaitable[Any]]
_WINDOW_OF = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


class ClientGoneError(Exception):
    """The client went away: there is no one to answer."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limits: Limits, ticket: Ticket) -> bytes:
    """Return the body, decompressed; what it holds is charged to `ticket` as it arrives.

    Raises:
        Refusal: too large, too slow, or compressed in a way that is not known or broken.
        ClientGoneError: the connection closed before the body was whole.
    """
    declared = number_from_header(headers.get(b"content-length", b""))
    if declared is not None and declared > limits.max_body_bytes and headers.get(b"expect"):
        raise _too_large(limits)  # it waits for our leave to send
    try:
        return await asyncio.wait_for(_read(receive, headers, limits, ticket), limits.client_timeout_s)
    except asyncio.TimeoutError:
        raise Refusal(
            408, f"expected the body within {limits.client_timeout_s:g} s, got a part; send it faster"
        ) from None


def number_from_header(text: bytes) -> int | None:
    """Return a header's count of bytes; None where it is none."""
    return int(text) if text.isdigit() and len(text) < 19 else None


async def _read(receive: Receive, headers: Mapping[bytes, bytes], limits: Limits, ticket: Ticket) -> bytes:
    refusal: Refusal | None = None
    body, inflate = bytearray(), None
    try:
        inflate = _Inflate(headers.get(b"content-encoding", b"").strip().lower())
    except Refusal as error:
        refusal = error
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        if refusal is None and inflate is not None:
            try:
                part = inflate.more(message.get("body", b""), limits, limits.max_body_bytes - len(body))
                ticket.charge(len(part))
                body += part
            except Refusal as error:
                refusal = error
                body.clear()
        # What follows a refusal is read and dropped: a client that is still sending would not read the answer.
        if not message.get("more_body", False):
            break
    if refusal is not None:
        raise refusal
    assert inflate is not None
    inflate.end()
    return bytes(body)


class _Inflate:
    """Decompress in steps, never beyond what is allowed."""

    def __init__(self, encoding: bytes) -> None:
        if encoding not in (b"", b"identity", *_WINDOW_OF):
            raise Refusal(415, f"expected Content-Encoding gzip, deflate or none, got {encoding.decode('latin-1')}; "
                               "send the body as it is")  # fmt: skip
        self._inflate = zlib.decompressobj(_WINDOW_OF[encoding]) if encoding in _WINDOW_OF else None

    def more(self, data: bytes, limits: Limits, max_bytes: int) -> bytes:
        """Return what `data` holds, at most `max_bytes`."""
        if self._inflate is None:
            plain = data
        else:
            try:
                plain = self._inflate.decompress(data, max_bytes + 1)
            except zlib.error as error:
                raise Refusal(400, f"expected a compressed body, but: {error}; compress it again") from error
            if self._inflate.unused_data:
                raise Refusal(400, "expected one compressed stream, got bytes after its end; send one")
        if len(plain) > max_bytes:
            raise _too_large(limits)
        return plain

    def end(self) -> None:
        """Refuse a stream that was cut off."""
        if self._inflate is not None and not self._inflate.eof:
            raise Refusal(400, "expected a whole compressed body, got a part of one; compress it again")


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"expected a body of at most {limits.max_body_mib:g} MiB, got a larger one; send less at once")
