"""A record keeps what it says, refuses what it is not, and is compared only with one of the same protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_latency_rounds import contestant, protocol

from capgan_benchmarks.latency.assembling import ratios_of, row_of
from capgan_benchmarks.latency.protocol import choose_batches, least_queries
from capgan_benchmarks.latency.record import LatencyRecord, read_record, refuse_other_protocol, write_record
from capgan_benchmarks.latency.request import (
    LatencyRequest,
    batches_from_text,
    frame_from_text,
    names_from_options,
    scenario_from_text,
)
from capgan_benchmarks.latency.rounds import Timed
from capgan_edge.errors import ConfigError, DataError


def record(**changes: Any) -> LatencyRecord:
    pair = [contestant("v", [], role="victim", artifact="m"), contestant("p", [], role="purified", artifact="m")]
    timed = {"v": Timed([[1.0], [2.0]], [[1.0], [1.0]]), "p": Timed([[2.0], [3.0]], [[1.0], [2.0]])}
    values: dict[str, Any] = {
        "date": "2026-01-01T00:00:00+00:00", "code": "abc", "environment": {"cpu": "a CPU", "num_cpus": 2},
        "command": "capgan-edge benchmark latency", "arguments": ("x",), "subject": "tiny", "protocol": protocol(),
        "rows": tuple(row_of(each, timed[each.name], batch=2, scenario="single-stream") for each in pair),
        "ratios": ratios_of(pair, timed, batch=2),
    }  # fmt: skip
    return LatencyRecord(**{**values, **changes})


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", record())
    assert read_record(tmp_path / "record.json") == record()


@pytest.mark.parametrize("change", [{"extra": 1}, {"kind": "robustness"}, {"rows": [{"name": "x"}]}, {"protocol": {}}])
def test_what_is_no_such_record_is_refused_in_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record().model_dump(mode="json") | change))
    with pytest.raises(DataError, match="expected a record of capgan-edge benchmark latency, but: ") as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


def test_a_record_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_record(tmp_path / "none.json")


def test_records_of_one_protocol_may_be_compared_whatever_else_they_are_of() -> None:
    refuse_other_protocol(record(), record(subject="another", code="def", rows=(), ratios=()))


@pytest.mark.parametrize(
    ("change", "says"),
    [({"threads": 2}, "threads 2 for 1"), ({"num_rounds": 5}, "num_rounds 5 for 3"),
     ({"scenario": "offline"}, "scenario offline for single-stream"), ({"batches": (1, 2)}, r"batches \[1, 2\] for"),
     ({"camera_frame": (10, 10)}, "camera_frame")],
)  # fmt: skip
def test_another_protocol_is_refused_and_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"expected two records of one protocol, got one with {says}"):
        refuse_other_protocol(record(), record(protocol=protocol(**change)))


def test_another_processor_is_refused() -> None:
    with pytest.raises(ConfigError, match="cpu another for a CPU"):
        refuse_other_protocol(record(), record(environment={"cpu": "another"}))


def test_mlperf_s_rules_fix_batch_and_queries() -> None:
    assert choose_batches("single-stream", (1, 8), is_mlperf=False) == (1, 8)
    assert choose_batches("multi-stream", (), is_mlperf=True) == (8,)
    with pytest.raises(ConfigError, match="--batch 1 for single-stream by MLPerf's rules, got 1, 8"):
        choose_batches("single-stream", (1, 8), is_mlperf=True)
    assert least_queries("single-stream", 1, min_queries=5, is_mlperf=False) == 5
    assert least_queries("single-stream", 1, min_queries=5, is_mlperf=True) == 24_576
    assert least_queries("multi-stream", 8, min_queries=5, is_mlperf=True) == 270_336
    assert least_queries("offline", 64, min_queries=5, is_mlperf=True) == 384


def test_options_are_read_or_refused() -> None:
    assert batches_from_text("1, 8,64,8") == (1, 8, 64)
    assert frame_from_text("1920x1080") == (1080, 1920)
    assert frame_from_text(None) is None
    assert names_from_options(["a,b", " c "]) == ("a", "b", "c")
    for bad in ("0", "1;2", "x", "-1"):
        with pytest.raises(ConfigError, match="--batch takes counts"):
            batches_from_text(bad)
    for bad in ("1920", "0x5", "99999x2", "9000x9000"):
        with pytest.raises(ConfigError, match="--frame is width x height"):
            frame_from_text(bad)
    with pytest.raises(ConfigError, match="scenario is one of single-stream, multi-stream, offline, got 'server'"):
        scenario_from_text("server")
    with pytest.raises(ConfigError, match="runtime is one of ort"):
        LatencyRequest(subject="x", runtime="tpu")
    with pytest.raises(ConfigError, match="a query a round"):
        LatencyRequest(subject="x", min_queries=3, num_rounds=10)
