"""Protocol buffers' text format, as much of it as a model configuration needs.

A writer of its own, since the schema comes with a client that nothing else here needs; the tests read what it writes
with that schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union


class Symbol(str):
    """A value of an enumeration, written without quotes."""

    __slots__ = ()


Value: TypeAlias = Union[str, int, bool, Symbol, "Message", Sequence["Value"]]
Message: TypeAlias = Mapping[str, Value]
"""Fields in the order that they are written; a sequence is a repeated field."""


def pbtxt_from_message(message: Message, indent: int = 0) -> str:
    """Return the message as text, a field a line."""
    lines: list[str] = []
    margin = "  " * indent
    for name, value in message.items():
        for single in _singles(value):
            if isinstance(single, Mapping):
                lines += [f"{margin}{name} {{", pbtxt_from_message(single, indent + 1).rstrip("\n"), f"{margin}}}"]
            else:
                lines.append(f"{margin}{name}: {_scalar(single)}")
    return "".join(line + "\n" for line in lines if line)


def _singles(value: Value) -> Sequence[Value]:
    """Return the values of a repeated field, or the one of another."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    return (value,)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Symbol, int)):
        return str(value)
    assert isinstance(value, str)
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in value) + '"'


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
