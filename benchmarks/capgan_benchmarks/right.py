"""Which images a figure had right, as a record keeps it: one bit an image, in hexadecimal.

Two figures of one record are of the same images in the same order, so that their difference can be judged image by
image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(is_right_N: NDArray[np.bool_]) -> str:
    """Return the bits, the first image's the highest of the first digit, filled up with 0 to whole bytes."""
    return np.packbits(is_right_N).tobytes().hex()


def right_of(cell: Mapping[str, Any]) -> NDArray[np.bool_] | None:
    """Return which images a record's cell had right; None where it was written before records said so."""
    held = cell.get("right")
    if held is None:
        return None
    bits_N = np.unpackbits(np.frombuffer(bytes.fromhex(held), np.uint8), count=cell["n"])
    return bits_N.astype(np.bool_)
