"""Trying faults: what is said of each, and some of them for real."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from capgan_benchmarks.endurance import loop_faults, source_faults
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.fault import Fault, Lost, NotTried, Tried, must, try_out
from capgan_benchmarks.endurance.faults import FAULTS, chosen
from capgan_benchmarks.endurance.faults_record import FaultsRecord
from capgan_benchmarks.endurance.results import newest_faults
from capgan_benchmarks.endurance.tables import faults_table
from capgan_benchmarks.endurance.troubled import TroubledRunner
from capgan_edge.errors import ConfigError, DataError
from capgan_edge.files import write_json
from capgan_edge.runtime.bundle import Bundle


def fault(attempt: object) -> Fault:
    return Fault("server", "some fault", "it lives", attempt)  # type: ignore[arg-type]


def fails(bench: Bench) -> str:
    must(False, "it died\nin two lines")
    return ""


def breaks(bench: Bench) -> str:
    raise OSError("no route")


def cannot(bench: Bench) -> str:
    raise NotTried("needs a disk")


def test_each_end_of_a_fault_is_told(bench: Bench) -> None:
    came = [try_out(fault(attempt), bench) for attempt in (lambda held: "lived", fails, breaks, cannot)]
    assert [(each.outcome, each.seen) for each in came] == [
        ("survived", "lived"), ("lost", "it died in two lines"), ("lost", "OSError: no route"),
        ("not tried", "needs a disk"),
    ]  # fmt: skip
    gate = threading.Event()
    hung = try_out(fault(lambda held: str(gate.wait(30))), bench, longest_s=0.05)
    gate.set()
    assert (hung.outcome, hung.seen) == ("lost", "it hung for 0.05 s")


def record_of(*came: Tried, bench: Bench, date: str = "2026-01-01") -> FaultsRecord:
    return FaultsRecord(date=date, code="abc", environment={"cpu": "some", "num_cpus": 2}, command="faults",
                        arguments=(), bundle=bench.identity, seed=0, settings=bench.running.settings, n=len(came),
                        faults=came)  # fmt: skip


def test_the_table_has_a_row_for_each_and_marks_what_is_lost(bench: Bench) -> None:
    attempts = (lambda held: "a | b", fails, cannot)
    record = record_of(*(try_out(fault(attempt), bench) for attempt in attempts), bench=bench)
    table = faults_table(record, has_seen=True)
    assert r"| server | some fault | it lives | a \| b | yes |" in table
    assert "| it died in two lines | **lost** |" in table
    assert "| needs a disk | not tried |" in table
    assert "2 tried, 1 survived, 1 lost, 1 not tried here" in table
    short = faults_table(record)
    assert "| server | some fault | it lives | yes |" in short
    assert "| server | some fault | it lives | **lost**: it died in two lines |" in short


def test_the_newest_record_is_the_one_that_is_shown(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make one with python -m"):
        newest_faults(tmp_path)
    records = [record_of(bench=bench, date=date) for date in ("2026-03-01", "2026-01-01")]
    for number, record in enumerate(records):
        write_json(tmp_path / f"faults_{number}.json", record.model_dump(mode="json"))
    assert newest_faults(tmp_path) == records[0]


def test_what_is_seen_names_no_folder(bench: Bench) -> None:
    said = f"no space left on {bench.folder}/out.avi at http://127.0.0.1:1/video.mjpg, 3 requests/s"
    assert try_out(fault(lambda held: said), bench).seen == (
        "no space left on out.avi at http://127.0.0.1:1/video.mjpg, 3 requests/s"
    )


def test_faults_are_chosen_by_a_part_of_their_names() -> None:
    assert {each.name for each in chosen(["clock"])} == {"clock jumps"}
    assert chosen([]) == list(FAULTS)
    assert len({(each.where, each.name) for each in FAULTS}) == len(FAULTS)
    with pytest.raises(ConfigError, match="expected --only to be part of"):
        chosen(["earthquake"])


def test_a_troubled_runner_fails_only_in_its_calls(bench: Bench) -> None:
    with TroubledRunner(bench.running.open(Bundle.open(bench.bundle)).runner, failing=range(1, 2)) as runner:
        frames_NHWC = bench.questions.frames_NHWC[:2]
        first = runner(frames_NHWC).logits_NK.copy()
        with pytest.raises(Exception, match="failed in call 1, as it was told to"):
            runner(frames_NHWC)
        assert (runner(frames_NHWC).logits_NK == first).all()


@pytest.mark.parametrize("attempt", [loop_faults.raises_always, loop_faults.clock_jumps])
def test_a_fault_of_the_loop_is_survived(attempt: object, bench: Bench) -> None:
    tried = try_out(fault(attempt), bench)
    assert tried.outcome == "survived", tried.seen


def test_a_check_that_is_not_met_is_lost() -> None:
    with pytest.raises(Lost, match="invented"):
        must(False, "a frame was invented")
    assert all(each.must for each in (*loop_faults.FAULTS, *source_faults.FAULTS))
