"""What a record keeps of the command that made it."""

from __future__ import annotations

import pytest

from capgan_benchmarks.records import record_name, recorded_arguments


@pytest.mark.parametrize(("said", "kept"), [("/somewhere/else/runs", "runs"), ("--runs=/somewhere/runs", "--runs=runs"),
                                            ("runs/mine", "runs/mine"), ("--n", "--n"), ("", "")])  # fmt: skip
def test_an_absolute_path_is_kept_by_its_last_name(said: str, kept: str) -> None:
    assert recorded_arguments(["signs-nano", said]) == ["signs-nano", kept]


def test_a_record_is_named_by_theme_hardware_and_day() -> None:
    record = {"environment": {"cpu": "AMD EPYC (TM)", "num_cpus": 2}, "date": "2025-01-02T03:04:05+00:00"}
    assert record_name("latency", record) == "latency_amd-epyc-tm-2_2025-01-02.json"
