"""Pickles read as inert values: equal to what was written, and nothing else accepted."""

from __future__ import annotations

import collections
import datetime
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgan_edge.data.pickled import MAX_OPCODES, PickledArray, RefusedPickleError, plain_value

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
_KEYS = st.integers() | st.text() | st.binary()
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(_KEYS, inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=_VALUES, protocol=st.sampled_from([1, 2, 3]))
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    assert plain_value(pickle.dumps(value, protocol=protocol)) == pickle.loads(pickle.dumps(value, protocol=protocol))


def test_the_official_python_2_form_is_read() -> None:
    rows = bytes(range(256)) * 24
    official = (
        b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x06K\x09eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05"
        b"cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01"
        b"\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x18\x00\x00" + rows + b"tbu."
    )
    value = plain_value(official)
    assert value[b"labels"] == [6, 9]
    assert np.array_equal(value[b"data"].uint8(), np.frombuffer(rows, np.uint8).reshape(2, 3072))


def test_the_ascii_form_of_python_2_is_read() -> None:
    ascii_form = b"(dp1\nS'num'\np2\nI10000\nsS'label_names'\np3\n(lp4\nS'cat'\np5\naS'dog'\np6\nas."
    assert plain_value(ascii_form) == {b"num": 10000, b"label_names": [b"cat", b"dog"]}


@settings(max_examples=20, deadline=None)
@given(shape=st.lists(st.integers(0, 4), min_size=1, max_size=3), protocol=st.sampled_from([2, 3]))
def test_uint8_arrays_are_read_as_written(shape: list[int], protocol: int) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    value = plain_value(pickle.dumps(array, protocol=protocol))
    assert isinstance(value, PickledArray)
    assert np.array_equal(value.uint8(), array)


REFUSED: dict[str, Any] = {
    "an ordered dict": collections.OrderedDict(a=1),
    "a date": datetime.date(2020, 1, 1),
    "a function": print,
    "a set": {1, 2},
    "an array of objects": np.array([None], dtype=object),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("protocol", [1, 2, 4])
def test_anything_else_is_refused(case: str, protocol: int) -> None:
    with pytest.raises(RefusedPickleError):
        plain_value(pickle.dumps(REFUSED[case], protocol=protocol))


BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "broken bytes"),
    "text": (b"hello there", "opcode|broken"),
    "an empty stack": (b".", "broken bytes"),
    "two values": (b"K\x01K\x02.", "broken bytes"),
    "a bare mark": (b"(.", "no plain value"),
    "a bare global": (b"cnumpy\nndarray\n.", "no plain value"),
    "an unknown memo": (b"h\x05.", "broken bytes"),
    "a call of a value": (b"K\x01K\x02\x85R.", "a call of int"),
    "a list as a key": (b"}]K\x01s.", "a dict key of type list"),
    "an append to a dict": (b"}K\x01a.", "no list"),
    "a mark as a value": (b"](a.", "a mark where a value belongs"),
    "an extension": (b"\x82\x01.", "the opcode EXT1"),
    "a persistent id": (b"Pname\n.", "the opcode PERSID"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_or_hostile_bytes_are_refused_by_name(case: str) -> None:
    content, message = BROKEN[case]
    with pytest.raises(RefusedPickleError, match=message):
        plain_value(content)


def test_a_list_of_a_million_lists_is_refused() -> None:
    with pytest.raises(RefusedPickleError, match="more than 1000000 opcodes"):
        plain_value(b"(" + b"]" * MAX_OPCODES + b"l.")


def test_bytes_encoded_over_and_over_are_refused() -> None:
    once = b"h\x00h\x01X\x06\x00\x00\x00latin1\x86R"
    text = b"X\xe8\x03\x00\x00" + b"a" * 1000 + b"q\x01"
    assert plain_value(b"(c_codecs\nencode\nq\x00" + text + once + b"t.")[2] == b"a" * 1000
    with pytest.raises(RefusedPickleError, match=r"a call of _codecs\.encode"):
        plain_value(b"(c_codecs\nencode\nq\x00" + text + once * 50 + b"t.")


def test_a_shape_that_its_bytes_do_not_fill_allocates_nothing() -> None:
    with pytest.raises(RefusedPickleError, match="does not fit its 3 bytes"):
        PickledArray(shape=(1 << 40, 1 << 40), data=b"abc").uint8()
    with pytest.raises(RefusedPickleError, match="does not fit"):
        PickledArray(shape=(-1, -3), data=b"abc").uint8()
