"""Raw connections to the server, for clients that do not do what HTTP asks of them."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

from capgan_benchmarks.endurance.client import MODEL

DECLARED_BYTES = 100_000
"""Of a body that never comes whole."""
_TCP_REPAIR = 19
"""Linux: a socket that is closed in this mode sends neither FIN nor RST; its peer cannot know."""
_PATIENCE_S = 60.0


def connected(address: str) -> socket.socket:
    """Return a new connection."""
    place = urlsplit(address)
    return socket.create_connection((str(place.hostname), int(place.port or 80)), timeout=_PATIENCE_S)


def send_half(connection: socket.socket) -> None:
    """Send the headers of a request, and half of its body."""
    head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {DECLARED_BYTES}\r\n\r\n"
    connection.sendall(head.encode() + b" " * (DECLARED_BYTES // 2))


def send_headers_without_end(connection: socket.socket) -> None:
    """Send the beginning of headers."""
    connection.sendall(f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Le".encode())


def reset(connection: socket.socket) -> None:
    """Close it with an RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def vanish(connection: socket.socket) -> bool:
    """Close it without a word to the other side, as a machine that loses power; return whether that is allowed here."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
    except OSError:  # needs CAP_NET_ADMIN, and Linux
        return False
    connection.close()
    return True


def answer_of(connection: socket.socket) -> tuple[int, str]:
    """Wait for the answer, and return its status and its body."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    words = head.split()
    return (int(words[1]) if len(words) > 1 else 0), body.decode(errors="replace")
