"""How much one request may say at most, given the model that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from capgan_edge.runtime.serve.refusals import Refusal

_SPARE = 1000
"""Brackets and commas of what is not pixels: names, shapes, outputs, parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Of one request: its frames, and with them what its JSON may hold."""

    max_frames: int
    size_px: tuple[int, int]
    """Height and width of a frame."""

    @property
    def max_pixels(self) -> int:
        """Numbers, three a place of a frame."""
        return self.max_frames * prod(self.size_px) * 3

    @property
    def max_brackets(self) -> int:
        """Lists and objects: frames, rows and places may each be a list."""
        height, width = self.size_px
        return self.max_frames * (1 + height * (1 + width)) + _SPARE

    def check_json(self, body: bytes, num_bytes: int) -> None:
        """Refuse JSON that is nothing but brackets or numbers, before a parser makes objects of them.

        A body of a few kB can inflate to millions, each of which is an object while the parser runs.

        Raises:
            Refusal: it holds more than the largest request has.
        """
        num_brackets = body.count(b"[", 0, num_bytes) + body.count(b"{", 0, num_bytes)
        if num_brackets > self.max_brackets:
            raise Refusal(400, f"expected a JSON object of at most {self.max_brackets} lists and objects, got "
                               f"{num_brackets}; send at most {self.max_frames} frames")  # fmt: skip
        num_commas = body.count(b",", 0, num_bytes)
        if num_commas > self.max_pixels + self.max_brackets:
            raise Refusal(413, f"expected a JSON object of at most {self.max_pixels} numbers, got {num_commas}; "
                               f"send at most {self.max_frames} frames")  # fmt: skip
