"""A soak of a few seconds, through the commands themselves, to a record and a figure."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.image import imread

from capgan_benchmarks.endurance.answers import Tally
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.soak import soaked, summary
from capgan_benchmarks.endurance.soak_figure import drawn, figure_of
from capgan_benchmarks.endurance.soak_record import SoakRecord
from capgan_benchmarks.endurance.tables import soak_section
from capgan_edge.hardware import num_cpus
from capgan_edge.runtime.serve.limits import Limits


@pytest.fixture(scope="module")
def record(bench: Bench) -> SoakRecord:
    return soaked(bench.bundle, bench.running, loop_s=1.0, server_s=1.0, seed=0)


def test_loop_and_server_are_held_to_what_must_be(record: SoakRecord) -> None:
    camera, server = record.camera, record.server
    assert camera is not None
    assert server is not None
    assert camera.frames == camera.verdicts.asked > 0
    assert camera.verdicts.right == camera.verdicts.asked
    assert (camera.uncounted, camera.missing_events, camera.errors, camera.exit_code) == (0, 0, 0, 0)
    assert camera.source_changes == ("connecting", "live")
    assert server.answers.is_clean
    assert server.answers.right > 0
    assert server.rate_per_s == pytest.approx(0.7 * server.capacity_per_s)
    assert server.capacity_after_per_s > 0
    assert server.answers_in_burst.is_clean
    assert server.answers_in_burst.asked == Limits().max_open_requests
    assert server.answers_in_burst.right >= Limits().max_queue
    assert server.answers_in_closed_loop.asked > server.capacity_per_s * server.capacity_seconds
    assert server.exit_code == 0
    for memory in (camera.memory, server.memory):
        assert memory.n > 10
        assert memory.first_mib > 20
        assert memory.grows is None
    assert all(0 <= part.others_processors < num_cpus() + 1 for part in (camera, server))


def test_the_record_is_read_back_and_what_is_wrong_in_it_is_told(record: SoakRecord) -> None:
    assert SoakRecord.model_validate_json(record.model_dump_json()) == record
    assert record.camera is not None
    assert record.server is not None
    growing = record.server.memory.model_copy(update={"grows": True})
    lost = record.server.answers.model_copy(update={"lost": 2})
    worse = record.model_copy(update={
        "server": record.server.model_copy(update={"memory": growing, "answers": lost}),
        "camera": record.camera.model_copy(update={"uncounted": 3}),
    })  # fmt: skip
    said = worse.problems
    assert "camera loop: 3 frames vanished uncounted" in said
    assert "server: memory grows" in said
    assert "server: open loop: 0 mixed, 0 wrong, 2 lost" in said
    assert summary(worse)[-len(said) :] == said


def test_a_server_that_refuses_at_a_load_that_it_should_take_has_not_passed(record: SoakRecord) -> None:
    assert record.server is not None
    for num_refused, is_passed in ((0, True), (1, True), (2, False)):
        answers = Tally(right=150 - num_refused, refused=num_refused)
        server = record.server.model_copy(update={"answers": answers, "capacity_after_per_s": 90.0})
        problems = record.model_copy(update={"server": server, "camera": None}).problems
        assert (not problems) is is_passed
        assert is_passed or ("2 of 150 refused at 70 %" in problems[0] and "90/s afterwards" in problems[0])


def test_a_run_too_short_to_judge_memory_is_not_said_to_have_shown_no_growth(record: SoakRecord) -> None:
    assert record.camera is not None
    assert "too short" in record.model_copy(update={"server": None}).verdict
    steady = record.camera.model_copy(update={"memory": record.camera.memory.model_copy(update={"grows": False})})
    assert "no growth" in record.model_copy(update={"server": None, "camera": steady}).verdict


def test_the_figure_draws_all_that_was_measured(record: SoakRecord, tmp_path: Path) -> None:
    camera, server = record.camera, record.server
    assert camera is not None
    assert server is not None
    panels = drawn(record).axes
    assert [len(axes.lines) for axes in panels] == [2, 1, 2, 1]  # median and tail, memory; of the loop, of the server
    for axes, held in ((panels[0], camera.age), (panels[2], server.latency)):
        assert [list(line.get_ydata()) for line in axes.lines] == [
            [each.p50_ms for each in held.stretches], [each.p99_ms for each in held.stretches]
        ]  # fmt: skip
    assert list(panels[3].lines[0].get_ydata()) == [mib for _, mib in server.memory.over_time]
    (tmp_path / "soak.png").write_bytes(figure_of(record))
    assert imread(tmp_path / "soak.png").std() > 0


def test_the_page_says_what_came_of_both(record: SoakRecord) -> None:
    camera, server = record.camera, record.server
    assert camera is not None
    assert server is not None
    section = soak_section(record, Path("soak.png"))
    assert f"{camera.frames} verdicts: {camera.verdicts.right} right, 0 mixed, 0 wrong, 0 lost" in section
    assert f"{server.answers.asked}: {server.answers.right} right, 0 mixed, 0 wrong, 0 lost" in section
    assert "](../benchmarks/results/soak.png)" in section
    failed = record.model_copy(update={"server": server.model_copy(update={"exit_code": 3}), "camera": None})
    assert "**Not passed**: server: exit code 3 after SIGTERM." in soak_section(failed, Path("soak.png"))
