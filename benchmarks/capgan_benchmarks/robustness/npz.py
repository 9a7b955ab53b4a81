"""Reading arrays from an .npz that somebody may have cut short or changed; nothing is ever unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError, SyntaxError, RuntimeError, OverflowError, MemoryError,
          zipfile.BadZipFile, zlib.error)  # fmt: skip
"""What zipfile, numpy and json raise over such a file."""


def member(held: Mapping[str, Any], name: str) -> NDArray[Any]:
    """Return one array.

    Raises:
        ValueError: the member is no array; numpy gives what is no .npy file as bytes.
    """
    array = held[name]
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is no array")
    return array
