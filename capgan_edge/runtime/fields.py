"""What fields of the manifest are made of: strict, frozen records, hashes, counts, printable names."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints

T = TypeVar("T")
Precision = Literal["fp32", "fp16", "int8"]
Listed = Annotated[tuple[T, ...], Field(strict=False)]
"""A JSON list, kept as a tuple; Python callers may pass either."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


def _printable(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("expected printable text on one line")
    return text


def _iso_date(text: str) -> str:
    datetime.fromisoformat(text.replace("Z", "+00:00"))
    return text


Name = Annotated[str, AfterValidator(_printable)]
"""Printed to terminals: no control characters, not empty."""
Date = Annotated[str, AfterValidator(_iso_date)]
"""ISO 8601 date or date and time."""
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
"""In [0, 1]."""


class Record(BaseModel):
    """Strict about types, frozen, and without fields that it does not know."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")
