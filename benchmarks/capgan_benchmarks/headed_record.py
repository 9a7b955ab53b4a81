"""The head that records of figures share, and the one way in which they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from capgan_edge.errors import DataError
from capgan_edge.runtime.fields import Date, Listed, Name, Record
from capgan_edge.runtime.sidecar import first_problem

MAX_RECORD_BYTES = 64 << 20
R = TypeVar("R", bound=Record)


class HeadedRecord(Record):
    """What was measured, when, by which code, where and how it was called: the first fields of a record, in order.

    `capgan_benchmarks.records.made_now` makes the values of the last five.
    """

    schema_version: Literal[1] = 1
    kind: str
    """Of each record its own: `latency`, `robustness`."""
    date: Date
    code: Name
    environment: dict[str, Any]
    command: Name
    arguments: Listed[str]


def read_checked(path: Path, record: type[R], *, what: str, remedy: str = "pass its JSON file") -> R:
    """Read and check a record.

    Args:
        path: of the file.
        record: what it must be.
        what: what to call it in an error.
        remedy: what to do about a file that is none.

    Raises:
        DataError: it cannot be read, or is no such record.
    """
    try:
        data = path.read_bytes()
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError(f"larger than {MAX_RECORD_BYTES >> 20} MiB")
        return record.model_validate_json(data)
    except (OSError, ValueError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise DataError(f"{path}: expected {what}, but: {problem}; {remedy}") from error
