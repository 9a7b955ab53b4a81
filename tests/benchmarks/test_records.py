"""What a record keeps of the command that made it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capgan_benchmarks.endurance.faults_record import FaultsRecord
from capgan_benchmarks.endurance.soak_record import SoakRecord
from capgan_benchmarks.headed_record import HeadedRecord, read_checked
from capgan_benchmarks.latency.cold_start import ColdRecord
from capgan_benchmarks.latency.profiling import ProfileRecord
from capgan_benchmarks.latency.record import LatencyRecord
from capgan_benchmarks.records import ROOT, record_head, record_name, recorded_arguments
from capgan_benchmarks.robustness.record import RobustnessRecord
from capgan_edge.errors import DataError
from capgan_edge.files import write_json
from capgan_edge.runtime.fields import Record

KINDS: dict[str, type[Record]] = {
    "latency": LatencyRecord, "profile": ProfileRecord, "cold-start": ColdRecord, "robustness": RobustnessRecord,
    "faults": FaultsRecord, "soak": SoakRecord,
}  # fmt: skip


@pytest.mark.parametrize(("said", "kept"), [("/somewhere/else/runs", "runs"), ("--runs=/somewhere/runs", "--runs=runs"),
                                            ("runs/mine", "runs/mine"), ("--n", "--n"), ("", "")])  # fmt: skip
def test_an_absolute_path_is_kept_by_its_last_name(said: str, kept: str) -> None:
    assert recorded_arguments(["signs-nano", said]) == ["signs-nano", kept]


def test_every_kept_record_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    met = set()
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.json")):
        kind = json.loads(path.read_bytes()).get("kind")
        if kind in KINDS:
            met.add(kind)
            record = read_checked(path, KINDS[kind], what=kind)
            # A field that came after a record was made is none of its.
            write_json(tmp_path / path.name, record.model_dump(mode="json", exclude_unset=True))
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert met == set(KINDS)


def test_the_head_of_a_record_has_the_first_fields_of_every_headed_one_in_their_order() -> None:
    head = record_head("anything", command="python -m something", environment={"cpu": "a"})
    assert list(head) == list(HeadedRecord.model_fields)
    assert HeadedRecord(**head).model_dump(mode="json") == head
    headed = [kind for kind in KINDS.values() if issubclass(kind, HeadedRecord)]
    assert len(headed) == 5, "a soak has the states of the machine between"
    for kind in headed:
        assert list(kind.model_fields)[: len(head)] == list(head)


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "Invalid JSON"), (b"{}", "'kind': Field required"), (None, "No such file")], ids=str
)
def test_what_is_no_such_record_is_one_line_with_a_remedy(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"record.json: expected a thing, but: .*{said}.*; make it anew") as raised:
        read_checked(path, HeadedRecord, what="a thing", remedy="make it anew")
    assert "\n" not in str(raised.value)


def test_a_record_is_named_by_theme_hardware_and_day() -> None:
    record = {"environment": {"cpu": "AMD EPYC (TM)", "num_cpus": 2}, "date": "2025-01-02T03:04:05+00:00"}
    assert record_name("latency", record) == "latency_amd-epyc-tm-2_2025-01-02.json"
