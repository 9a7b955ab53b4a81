"""The cache of ranges: used for the same graph, frames, method and tool, and for nothing else."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from small_graph import frames, small_bytes

from capgan_calibration import range_cache
from capgan_calibration.frames import CalibrationSet, make_calibration_set
from capgan_calibration.images import Images
from capgan_calibration.mixture import mixture_from_text
from capgan_calibration.range_cache import RangeKey, ranges_of
from capgan_calibration.ranges import RangeConfig

CONFIG = RangeConfig(method="minmax")
KEY = RangeKey(graph_sha256="g", data_sha256="d", method="m", tool="t")


def held(seed: int = 0) -> CalibrationSet:
    images = Images(name="random", frames_NHWC=frames(seed=seed), labels_N=None)
    return make_calibration_set(images, mixture_from_text("clean"), None, seed=0)


def test_the_same_again_comes_from_the_cache(tmp_path: Path) -> None:
    first = ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path)
    second = ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path)
    assert not first.is_cached
    assert second.is_cached
    assert first.limit_of_node == second.limit_of_node


class Other(NamedTuple):
    name: str
    graph: bytes
    frames: CalibrationSet
    config: RangeConfig


OTHERS = [
    Other("graph", small_bytes(seed=1), held(), CONFIG),
    Other("frames", small_bytes(), held(seed=1), CONFIG),
    Other("method", small_bytes(), held(), RangeConfig(method="percentile")),
    Other("setting of the method", small_bytes(), held(), RangeConfig(method="percentile", percentile=90)),
    Other("setting in its last digits", small_bytes(), held(), RangeConfig(percentile=99.99900001)),
]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other.name)
def test_another_graph_or_set_or_method_is_measured_anew(other: Other, tmp_path: Path) -> None:
    for model, frames_, config in ((small_bytes(), held(), CONFIG), (small_bytes(), held(), RangeConfig())):
        ranges_of(model, frames_, config, cache=tmp_path)
    before = len(list(tmp_path.iterdir()))
    found = ranges_of(other.graph, other.frames, other.config, cache=tmp_path)
    if other.config == RangeConfig():  # it is there already, with its own ranges
        assert found.is_cached
        assert found.limit_of_node != ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path).limit_of_node
    else:
        assert not found.is_cached
        assert len(list(tmp_path.iterdir())) == before + 1


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(RangeKey)])
def test_every_part_of_the_key_names_another_file(field: str) -> None:
    assert dataclasses.replace(KEY, **{field: "other"}).file_name != KEY.file_name


@pytest.mark.parametrize("field", ["graph_sha256", "data_sha256", "method", "tool"])
def test_an_entry_made_for_anything_else_is_not_used(field: str, tmp_path: Path) -> None:
    """Someone renamed it, or two keys met in one name: what the entry says of itself counts."""
    first = ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path)
    path = tmp_path / first.key.file_name
    entry = json.loads(path.read_text())
    entry["key"][field] = "other"
    entry["ranges"] = dict.fromkeys(entry["ranges"], 1.0)
    path.write_text(json.dumps(entry))
    again = ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path)
    assert not again.is_cached
    assert again.limit_of_node == first.limit_of_node


class Spoilt(NamedTuple):
    name: str
    spoil: Callable[[str], str]


SPOILT = [
    Spoilt("cut short", lambda text: text[: len(text) // 2]),
    Spoilt("no object", lambda text: "[]"),
    Spoilt("a range that is text", lambda text: json.dumps(json.loads(text) | {"ranges": {"a": "1"}})),
    Spoilt("a range that is infinite", lambda text: json.dumps(json.loads(text) | {"ranges": {"a": 1e999}})),
    Spoilt("no ranges", lambda text: json.dumps(json.loads(text) | {"ranges": {}})),
]


@pytest.mark.parametrize("case", SPOILT, ids=lambda case: case.name)
def test_a_broken_entry_is_measured_again_and_replaced(case: Spoilt, tmp_path: Path) -> None:
    first = ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path)
    path = tmp_path / first.key.file_name
    path.write_text(case.spoil(path.read_text()))
    again = ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path)
    assert not again.is_cached
    assert again.limit_of_node == first.limit_of_node
    assert ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path).is_cached


def test_a_cache_that_cannot_be_written_is_said_and_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING, logger="capgan_edge"):
        found = ranges_of(small_bytes(), held(), CONFIG, cache=tmp_path / "file")
    assert found.limit_of_node
    assert "going on without a cache of ranges" in caplog.text


def test_the_default_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path))
    assert range_cache.default_cache() == tmp_path / "ranges"
