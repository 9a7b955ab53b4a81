"""Goals are judged by what records say; what was not measured, or cannot be here, is told and never guessed."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from test_latency_record import record
from test_latency_rounds import contestant, protocol

from capgan_benchmarks.latency.assembling import row_of
from capgan_benchmarks.latency.cold_start import ColdRecord, ColdRow, write_cold
from capgan_benchmarks.latency.goals import GOALS, Finding, judge
from capgan_benchmarks.latency.goals_table import goals_section, goals_table
from capgan_benchmarks.latency.newest import SpeedRecords, newest_speed_records
from capgan_benchmarks.latency.profiling import Part, ProfileRecord, write_profile
from capgan_benchmarks.latency.record import Ceiling, LatencyRecord, NotRun, RoofShare, Row, write_record
from capgan_benchmarks.latency.rounds import Timed
from capgan_edge.cli import GROUP, main
from capgan_edge.errors import DataError
from capgan_edge.files import write_json

PARTS = [EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)]
ENVIRONMENT = {"cpu": "a CPU", "num_cpus": 2, "cpu_features": ["avx2"]}


def row(name: str, role: Any, *rounds_ms: float, batch: int = 1, host_ms: float = 0.0, **changes: Any) -> Row:
    each = contestant(name, [], role=role, artifact=changes.pop("artifact", "m32"), **changes)
    timed = Timed([[ms + host_ms] * 2 for ms in rounds_ms], [[ms] * 2 for ms in rounds_ms])
    return row_of(each, timed, batch=batch, scenario="single-stream")


def rows(batch: int) -> tuple[Row, ...]:
    """Two rounds each; all but PyTorch eager are as fast in both."""
    return (
        row("victim, ort", "victim", 1.6, 1.6, batch=batch), row("fp32, ort", "purified", 4, 4, batch=batch),
        row("victim, openvino", "victim", 2.5, 2.5, batch=batch, runtime="openvino"),
        row("fp32, openvino", "purified", 5, 5, batch=batch, runtime="openvino"),
        row("int8, ort", "purified", 8, 8, batch=batch, precision="int8", artifact="m8"),
        row("int8, openvino", "purified", 2, 2, batch=batch, precision="int8", artifact="m8", runtime="openvino"),
        row("classify, ort", "classify", 4, 4, batch=batch, host_ms=0.6),
        row("on a GPU", "purified", 0.1, 0.1, batch=batch, runtime="ort-cuda"),
        row("torch-eager", "peer", 12, 15, batch=batch, runtime="torch-eager"),
        row("torch-eager-victim", "peer", 8, 8, batch=batch, runtime="torch-eager"),
    )  # fmt: skip


def speed(batch: int = 1, **changes: Any) -> LatencyRecord:
    ceilings = tuple(Ceiling.model_validate({"kind": kind, "value": value, "by": "x", "n": 1})
                     for kind, value in (("fp32", 1e11), ("int8", 1.5e11), ("copy", 6.2208e9)))  # fmt: skip
    shares = tuple(RoofShare(name=name, batch=batch, macs=macs, int8_macs=0, moved_bytes=1, roof_ms=1.0,
                             bound="compute", percent=percent)
                   for name, macs, percent in (("int8, openvino", 300, 40.0), ("fp32, ort", 300, 60.0),
                                               ("victim, openvino", 100, 50.0)))  # fmt: skip
    values: dict[str, Any] = {
        "rows": rows(batch), "ratios": (), "environment": ENVIRONMENT, "ceilings": ceilings, "roof": shares,
        "protocol": protocol(batches=(batch,), camera_frame=(1080, 1920) if batch == 1 else None),
        "not_run": (NotRun(name="torch-compile", why="no C++ compiler"),), "subject": "cifar10-nano",
    }  # fmt: skip
    return record(**{**values, **changes})


def training() -> dict[str, Any]:
    loops = {"fast": {"precision": "fp32", "roof_percent": 60.0}, "plain": {"precision": "fp32", "roof_percent": 20.0}}
    ratio = {"median": 3.0, "low": 2.9, "high": 3.2, "num_rounds": 5}
    return {"rows": [{"preset": "nano", "loops": loops, "ratio": ratio}], "environment": ENVIRONMENT,
            "date": "2026-01-03", "protocol": {"batch_size": 128, "num_rounds": 5}}  # fmt: skip


def cold() -> ColdRecord:
    made = [ColdRow(name=name, backend=name, artifact="m32", precision="fp32", n=10, p50_s=p50_s, min_s=p50_s,
                    max_s=p50_s, first_s=2.0, stages_p50_s={"interpreter": 0.1, "import": 0.2, "load": p50_s - 0.4,
                                                            "first_verdict": 0.1})
            for name, p50_s in (("cpu", 0.7), ("openvino", 1.2))]  # fmt: skip
    return ColdRecord(date="2026-01-02", code="abc", environment=ENVIRONMENT, command="x", arguments=(),
                      subject="cifar10-nano", rows=tuple(made))  # fmt: skip


def profiled() -> ProfileRecord:
    part = Part(name="Conv avx2", count=40, ms=1.5, time_percent=75.0, macs_percent=99.0)
    return ProfileRecord(date="2026-01-02", code="abc", environment=ENVIRONMENT, command="x", arguments=(),
                         subject="cifar10-nano", artifact="model.int8.onnx", runtime="openvino", batch=64, threads=2,
                         num_queries=9, total_ms=2.0, kinds=(part,), layers=(part,))  # fmt: skip


def everything() -> SpeedRecords:
    return SpeedRecords(latency={1: speed(), 64: speed(64)}, training=training(), cold=cold(), profiles=(profiled(),))


def findings(records: SpeedRecords) -> dict[str, Finding]:
    return {finding.goal.key: finding for finding in judge(records)}


WANTED = {
    "fused": ([12 * 1.125 / 4], "yes"), "best-1": ([12 * 1.125 / 2], "yes"), "best-64": ([12 * 1.125 / 2], "yes"),
    "int8": ([2.5, 0.5], "no"), "free": ([2 / 2.5, 8 / 1.6], "yes"), "bare-eager": ([0.25], "yes"),
    "roof": ([40.0, 60.0], "no"), "classify": ([15.0], "no"), "training": ([3.0], "no"),
    "cold": ([0.7, 1.2], "in part"),
}  # fmt: skip


@pytest.mark.parametrize("key", WANTED)
def test_a_goal_is_judged_by_the_engine_that_one_would_take_and_names_the_others(key: str) -> None:
    values, verdict = WANTED[key]
    held = findings(everything())[key]
    assert [figure.value for figure in held.figures] == pytest.approx(values)
    assert held.verdict == verdict


def test_a_ratio_has_its_spread_over_rounds() -> None:
    (figure,) = findings(everything())["best-1"].figures
    assert (figure.what, figure.low, figure.high) == ("m8, openvino", 6.0, 7.5)


def test_who_could_not_run_here_is_no_goal_missed() -> None:
    held = findings(everything())["compile"]
    assert (held.verdict, held.why_not) == ("not measured", "not here: no C++ compiler")
    absent = findings(SpeedRecords(latency={1: speed(not_run=())}))["compile"]
    assert str(absent.why_not).startswith("not in the record: capgan-edge benchmark latency")


def test_without_records_nothing_is_measured_and_every_goal_says_by_which_command() -> None:
    held = judge(SpeedRecords())
    assert len(held) == len(GOALS) == 11
    assert all(finding.verdict == "not measured" and "capgan-edge " in str(finding.why_not) for finding in held)
    assert "No record yet." in goals_section(SpeedRecords())


def test_what_a_record_lacks_is_told() -> None:
    bare = speed(rows=rows(1)[:2], roof=(), ceilings=(), protocol=protocol(batches=(1,)))
    held = findings(SpeedRecords(latency={1: bare, 64: speed(64, roof=())}))
    assert "capgan-edge calibrate" in str(held["int8"].why_not)
    assert "--frame 1920x1080" in str(held["classify"].why_not)
    assert "--no-roof" in str(held["roof"].why_not)


def test_the_section_says_why_goals_are_missed() -> None:
    said = goals_section(everything())
    assert "| >= 3 times | 2.50 [2.50, 2.50] (openvino); 0.50 [0.50, 0.50] (ort) | no |" in said
    assert "| <= 10 % | 15 % (m32, ort) | no |" in said
    assert "none (no VNNI, no AMX); the ceiling on INT8 products is 1.50 times that on FP32 products." in said
    assert "reading the frame once takes 1.00 ms at the measured bandwidth, 25 % of the run" in said
    assert "in fp32 it reaches 60 % of its roof, the plain loop 20 %; at the roof it would be 5.00 times" in said
    assert "openvino: interpreter 0.10 s, import 0.20 s, load 0.80 s, first verdict 0.10 s" in said
    assert "| model.int8.onnx, openvino | 64 | Conv avx2 | 40 | 75.0 | 99.0 |" in said
    assert "batch 1: 1 threads, n >= 4, a CPU, 2026-01-01." in said
    assert said.startswith(goals_table(everything()))


def test_a_ratio_that_is_missed_is_set_beside_what_the_roof_allows() -> None:
    slow = tuple(each.model_copy(update={"end_to_end": each.end_to_end.model_copy(update={"p50_ms": 4.0})})
                 if each.name == "torch-eager" else each for each in rows(1))  # fmt: skip
    said = goals_section(SpeedRecords(latency={1: speed(rows=slow)}))
    assert ("m8, openvino takes 2.00 ms and torch-eager 4.00; at the measured roof it would take 1.00, and the figure "
            "would be 4.00.") in said  # fmt: skip


def test_the_newest_record_of_each_batch_size_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, date, batch in (("1_a", "2026-01-01", 1), ("1_b", "2026-01-02", 1), ("64_a", "2026-01-01", 64)):
        write_record(tmp_path / f"latency-cifar10-nano-single-stream-{name}.json", speed(batch, date=date))
    write_record(tmp_path / "latency-other-single-stream-1_a.json", speed(date="2026-01-09"))
    write_json(tmp_path / "training-speed_a_2026.json", training())
    write_cold(cold(), tmp_path)
    write_profile(profiled(), tmp_path)
    held = newest_speed_records(tmp_path)
    assert {batch: each.date for batch, each in held.latency.items()} == {1: "2026-01-02", 64: "2026-01-01"}
    assert held.cold == cold()
    assert held.profiles == (profiled(),)
    assert held.training == training()
    assert main(["benchmark", "goals", "--records", str(tmp_path)], PARTS) == 0
    assert capsys.readouterr().out == goals_section(held) + "\n"
    (tmp_path / "cold-start-cifar10-nano_x.json").write_text("{}")
    with pytest.raises(DataError, match="expected a ColdRecord, but: "):
        newest_speed_records(tmp_path)


def test_int8_and_fp32_stand_beside_their_roofs() -> None:
    fp32 = RoofShare(name="fp32, openvino", batch=1, macs=300, int8_macs=0, moved_bytes=1, roof_ms=3.5, bound="compute",
                     percent=70.0)  # fmt: skip
    at_1 = speed(roof=(*speed().roof, fp32))
    said = goals_section(SpeedRecords(latency={1: at_1, 64: speed(64)}))
    assert "at batch 1 in openvino INT8 takes 2.00 ms, 40 % of its roof, and FP32 (purified) 5.00 ms, 70 %" in said
