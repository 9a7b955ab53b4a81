"""Read the plain values of a pickle without running it: nothing is imported, looked up or called.

CIFAR-10's archive comes as pickles of dicts, lists, strings, integers and one NumPy array. This reader walks the
opcodes that `pickletools.genops` names and keeps the few that build those values. What NumPy and Python 3 name to
rebuild arrays and bytes is recognised by name only; any other global, and any opcode not listed, is refused.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_OPCODES = 1_000_000
"""An official batch has some 60,000; the bound keeps a hostile one from filling the memory with empty lists."""
MAX_DIMENSIONS = 4


class RefusedPickleError(ValueError):
    """The bytes are no pickle of plain values."""


@dataclass(slots=True)
class PickledArray:
    """An array as described in a pickle: its shape and raw bytes, filled by BUILD."""

    shape: tuple[int, ...] = ()
    data: bytes = b""

    def uint8(self) -> NDArray[np.uint8]:
        """Return the array; the shape is checked against the bytes, so nothing is allocated on a claim."""
        if (
            len(self.shape) > MAX_DIMENSIONS
            or math.prod(self.shape) != len(self.data)
            or min(self.shape, default=0) < 0
        ):
            raise RefusedPickleError(
                f"an array of {len(self.shape)} dimensions whose shape does not fit its {len(self.data)} bytes"
            )
        return np.frombuffer(self.data, np.uint8).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class _Global:
    """A name in a pickle; never resolved."""

    name: str


@dataclass(frozen=True, slots=True)
class _Uint8:
    """numpy.dtype('u1')."""


_MARK = object()
_ARRAY, _DTYPE, _RECONSTRUCT = "numpy ndarray", "numpy dtype", "numpy _reconstruct"
_ENCODE, _BYTES = "_codecs encode", "__builtin__ bytes"
_GLOBALS = {
    _ARRAY: _Global(_ARRAY),
    _DTYPE: _Global(_DTYPE),
    "numpy.core.multiarray _reconstruct": _Global(_RECONSTRUCT),
    "numpy._core.multiarray _reconstruct": _Global(_RECONSTRUCT),
    _ENCODE: _Global(_ENCODE),  # how Python 3 writes bytes where a protocol has none
    _BYTES: _Global(_BYTES),  # and how it writes empty ones
}


@dataclass(slots=True)
class _Machine:
    """The stack and the memo of a pickle in reading."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    num_encodable: int = 0
    """Characters that may still be encoded: as many as the pickle has bytes, so that none is copied over and over."""

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise RefusedPickleError("a mark where a value belongs")
        return value

    def pop_to_mark(self) -> list[Any]:
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise RefusedPickleError("a missing mark")


def plain_value(data: bytes) -> Any:
    """Return the value in `data`: None, bool, int, float, bytes, str, tuple, list, dict or `PickledArray`.

    Python 2's strings come as bytes.

    Raises:
        RefusedPickleError: the bytes are truncated, or hold anything else; the message names it.
    """
    machine = _Machine(num_encodable=len(data))
    try:
        for index, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                break
            if index >= MAX_OPCODES:
                raise RefusedPickleError(f"more than {MAX_OPCODES} opcodes")
            _step(machine, opcode.name, argument)
        (value,) = machine.stack
    except RefusedPickleError:
        raise
    except Exception as error:  # whatever broken bytes lead pickletools or the stack to
        raise RefusedPickleError(f"broken bytes ({' '.join(str(error).split()) or type(error).__name__})") from error
    if value is _MARK or isinstance(value, (_Global, _Uint8)):
        raise RefusedPickleError("no plain value")
    return value


def _step(machine: _Machine, name: str, argument: Any) -> None:
    if name == "PROTO":
        return
    if name in _VALUES:
        machine.stack.append(_VALUES[name](argument))
    elif name in _PUTS:
        machine.memo[argument] = machine.stack[-1]
    elif name in _GETS:
        machine.stack.append(machine.memo[argument])
    elif name in _EDITS:
        _EDITS[name](machine)
    else:
        raise RefusedPickleError(f"the opcode {name}, which plain values do not need")


def _global(name: str) -> _Global:
    if name not in _GLOBALS:
        raise RefusedPickleError(f"the global {name.replace(' ', '.')}, which may run code")
    return _GLOBALS[name]


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _set_items(target: Any, items: list[Any]) -> Any:
    if not isinstance(target, dict) or len(items) % 2:
        raise RefusedPickleError("items set on what is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (bytes, str, int)):
            raise RefusedPickleError(f"a dict key of type {type(key).__name__}")
        target[key] = value
    return target


def _extend(target: Any, items: list[Any]) -> None:
    if not isinstance(target, list):
        raise RefusedPickleError("items appended to what is no list")
    target.extend(items)


def _append(machine: _Machine) -> None:
    value = machine.pop()
    _extend(machine.stack[-1], [value])


def _appends(machine: _Machine) -> None:
    values = machine.pop_to_mark()
    _extend(machine.stack[-1], values)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine.stack[-1], [key, value])


def _set_marked_items(machine: _Machine) -> None:
    values = machine.pop_to_mark()
    _set_items(machine.stack[-1], values)


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(tuple([machine.pop() for _ in range(count)][::-1]))


def _reduce(machine: _Machine) -> None:
    """Stand in for the few calls that pickles of arrays and bytes make."""
    arguments, function = machine.pop(), machine.pop()
    made: Any = None
    if function == _GLOBALS[_ENCODE]:
        text, encoding = arguments
        machine.num_encodable -= len(text)
        made = _bytes(text) if encoding == "latin1" and machine.num_encodable >= 0 else None
    elif function == _GLOBALS[_BYTES]:
        made = b"" if arguments == () else None
    elif function == _GLOBALS[_DTYPE]:
        made = _Uint8() if arguments[0] in (b"u1", "u1", b"|u1", "|u1") else None
    elif function == _Global(_RECONSTRUCT):
        made = PickledArray() if arguments[0] == _GLOBALS[_ARRAY] else None
    if made is None:
        called = function.name.replace(" ", ".") if isinstance(function, _Global) else type(function).__name__
        raise RefusedPickleError(f"a call of {called} that pickles of arrays and bytes do not make")
    machine.stack.append(made)


def _build(machine: _Machine) -> None:
    """Fill a `PickledArray` from (version, shape, dtype, is_fortran, bytes); a dtype's state says nothing new."""
    state, target = machine.pop(), machine.stack[-1]
    if isinstance(target, _Uint8):
        return
    if not isinstance(target, PickledArray):
        raise RefusedPickleError(f"state set on a {type(target).__name__}")
    _, shape, dtype, is_fortran, data = state
    if dtype != _Uint8() or is_fortran or not isinstance(data, bytes):
        raise RefusedPickleError("an array that is not uint8 in C order")
    target.shape, target.data = tuple(int(size) for size in shape), data


_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})
_SAME = ("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE",
         "BINBYTES", "SHORT_BINBYTES")  # fmt: skip
_VALUES: dict[str, Callable[[Any], Any]] = {
    **{name: (lambda argument: argument) for name in _SAME},
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), _bytes),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: _MARK,
    "GLOBAL": _global,
}
_EDITS: dict[str, Callable[[_Machine], None]] = {
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_marked_items,
    "TUPLE": lambda machine: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": lambda machine: machine.stack.append(machine.pop_to_mark()),
    "DICT": lambda machine: machine.stack.append(_set_items({}, machine.pop_to_mark())),
    "REDUCE": _reduce,
    "BUILD": _build,
}
