"""What the server takes at most: everything that a client can make grow has its bound here."""

from __future__ import annotations

from dataclasses import dataclass

from capgan_edge.errors import ConfigError

_MAX_BODIES = 8
"""Bodies of the largest size that are held at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one server."""

    max_batch: int | None = None
    """Frames given to the engine at once; None is what the engine takes."""
    max_wait_ms: float = 2.0
    """How long the first frame of a batch waits for others, in milliseconds."""
    max_queue: int = 256
    """Frames that wait for the engine, and frames of one request."""
    max_body_mib: float = 16.0
    """Of a request, before and after decompression, in MiB."""
    max_megapixels: float = 16.0
    """Of an encoded image, in millions of pixels."""
    client_timeout_s: float = 30.0
    """How long a client may take to send a body, or to take an answer, in seconds."""
    grace_s: float = 30.0
    """How long answers in flight may take once the server was told to stop, in seconds."""

    def __post_init__(self) -> None:
        if self.max_batch is not None and self.max_batch < 1:
            raise ConfigError(f"max_batch is a count of frames of at least 1, got {self.max_batch}; leave it out")
        if self.max_queue < 1:
            raise ConfigError(f"max_queue is a count of frames of at least 1, got {self.max_queue}; the default is 256")
        if not 0 <= self.max_wait_ms <= 1000:
            raise ConfigError(f"max_wait_ms is in milliseconds, in [0, 1000], got {self.max_wait_ms}; the default is 2")
        for name in ("max_body_mib", "max_megapixels", "client_timeout_s", "grace_s"):
            if not 0 < getattr(self, name) <= 86_400:
                raise ConfigError(f"{name} is above 0 and at most 86400, got {getattr(self, name)}; leave it out")

    @property
    def max_body_bytes(self) -> int:
        """Of one request."""
        return int(self.max_body_mib * (1 << 20))

    @property
    def max_receiving(self) -> int:
        """Messages that are received over gRPC at once; how large one is, gRPC says when it has it."""
        return _MAX_BODIES

    @property
    def max_held_bytes(self) -> int:
        """Of the bodies of all requests together, REST and gRPC."""
        return _MAX_BODIES * self.max_body_bytes

    @property
    def max_open_requests(self) -> int:
        """Requests that are being read, wait, or are being answered."""
        return 2 * self.max_queue
