"""A benchmark of signs-nano from crafting to its record; interrupted, it goes on; a runner that raises is counted."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capgan_benchmarks.robustness.assembling import clean_cell, flips_of
from capgan_benchmarks.robustness.record import CLEAN, Cell, RobustnessRecord, read_record, unpacked, write_record
from capgan_benchmarks.robustness.report.gallery import gallery
from capgan_benchmarks.robustness.report.inputs import ReportInputs
from capgan_benchmarks.robustness.running import Finished
from capgan_benchmarks.robustness.subject import FP32, Subject
from capgan_benchmarks.robustness.systems import PAIR, VICTIM, Said
from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.runner import Outputs, Runner

RunIt = Callable[..., Finished]
INT8 = "model.int8.onnx"
EPSILON = 16 / 255
N = 8


@pytest.fixture
def finished(run_it: RunIt) -> Finished:
    return run_it(attacks=("pgd-3", "square-10"), epsilons=(4 / 255, EPSILON), batch=N)


def cells(finished: Finished, scenario: str, epsilon: float | None = EPSILON) -> list[Cell]:
    return [each for each in finished.record.cells if (each.scenario, each.epsilon) == (scenario, epsilon)]


def cell(finished: Finished, scenario: str, attack: str) -> Cell:
    (found,) = (each for each in cells(finished, scenario) if each.attack == attack)
    return found


def unlike_times(record: RobustnessRecord) -> RobustnessRecord:
    """Return a record with what differs from run to run taken out."""
    return record.model_copy(update={"date": "2026-01-01", "seconds": 0.0})


def test_every_system_is_scored_on_every_cell(finished: Finished, tmp_path: Path) -> None:
    record = finished.record
    names = [VICTIM, PAIR, FP32, INT8]
    assert [system.name for system in record.systems] == names
    assert [system.precision for system in record.systems] == ["fp32", "fp32", "fp32", "int8"]
    for each in record.cells:
        assert [score.system for score in each.scores] == names
        assert {score.n for score in each.scores} == {each.n} == {N}
    assert record.cells[0].scenario == CLEAN
    write_record(tmp_path / "record.json", record)
    assert read_record(tmp_path / "record.json") == record
    _attacks_bite(finished)
    _frames_stay_within_epsilon(finished)
    _artifact_transfer_is_end_to_end(finished)
    _queries_are_asked_once_for_two_threats(finished)
    _worst_is_the_minimum_over_attacks(finished)
    _flips_are_counted(finished)
    _suspicion_is_measured_where_there_is_one(finished)


def _attacks_bite(finished: Finished) -> None:
    end_to_end, clean = cell(finished, "end-to-end", "PGD-3"), finished.record.cells[0]
    for name in (PAIR, FP32):
        before, after = clean.score_of(name), end_to_end.score_of(name)
        assert before is not None
        assert after is not None
        assert after.num_right < before.num_right
    assert end_to_end.gradients.total == 3 * N
    assert end_to_end.queries.max == 3
    assert end_to_end.zero_gradient_percent is not None
    query = cell(finished, "artifact-query", f"{INT8}: Square-10")
    assert (query.gradients.total, query.zero_gradient_percent) == (0, None)
    assert N <= query.queries.total <= 11 * N
    assert (query.targets, query.settings["artifact"]) == ((INT8,), INT8)
    victim = cell(finished, "white-box-victim", "PGD-3").score_of(VICTIM)
    assert victim is not None
    assert victim.num_right <= N // 2


def _frames_stay_within_epsilon(finished: Finished) -> None:
    for (_, _, epsilon), crafted in finished.crafted.items():
        assert epsilon is not None
        away = np.abs(crafted.frames_NHWC.astype(int) - finished.images.images_NHWC[: len(crafted.labels_N)])
        assert away.max() <= round(255 * epsilon)


def _artifact_transfer_is_end_to_end(finished: Finished) -> None:
    twin = finished.crafted[("end-to-end", "PGD-3", EPSILON)]
    shown = finished.crafted[("artifact-transfer", "PGD-3", EPSILON)]
    assert np.array_equal(twin.frames_NHWC, shown.frames_NHWC)
    assert cell(finished, "artifact-transfer", "PGD-3").targets == (FP32, INT8)


def _queries_are_asked_once_for_two_threats(finished: Finished) -> None:
    """With gradients at hand or not, what asks for outputs alone is the same attack: made once, told by its threat."""
    asked, knowing = (finished.crafted[(name, "Square-10", EPSILON)] for name in ("query", "end-to-end"))
    assert np.array_equal(asked.frames_NHWC, knowing.frames_NHWC)
    assert asked.seconds == knowing.seconds, "the second was made again"
    assert (asked.scenario, asked.knowledge) == ("query", "outputs of f(T(.))")
    assert (knowing.scenario, knowing.knowledge) == ("end-to-end", "f(T(.))")


def _worst_is_the_minimum_over_attacks(finished: Finished) -> None:
    attacked = [each for each in finished.record.cells if each.epsilon is not None and each.epsilon <= EPSILON]
    for worst in finished.record.worst:
        if worst.epsilon != EPSILON:
            continue
        rights = [unpacked(clean) for clean in (finished.record.cells[0].score_of(worst.system),) if clean is not None]
        assert rights
        for each in attacked:
            score = each.score_of(worst.system)
            if each.scenario in worst.scenarios and score is not None:
                rights.append(unpacked(score))
        assert worst.num_right == int(np.all(rights, axis=0).sum())
        assert worst.n == N
    every = [each for each in finished.record.worst if len(each.scenarios) > 1 and each.epsilon == EPSILON]
    assert {each.system for each in every} == {VICTIM, PAIR, FP32, INT8}
    alone = {each.system for each in finished.record.worst if each.scenarios == ("end-to-end",)}
    assert alone == {PAIR}


def _flips_are_counted(finished: Finished) -> None:
    record = finished.record
    twins = {each.attack for each in record.cells if each.scenario == "artifact-transfer"}
    held = [each for each in record.cells if each.scenario != "end-to-end" or each.attack not in twins]
    assert "PGD-3" in twins
    assert [(each.scenario, each.attack, each.epsilon) for each in record.flips] == [
        (each.scenario, each.attack, each.epsilon) for each in held
    ], "the frames of artifact-transfer are told once"
    assert len(held) < len(record.cells)
    for flips, each in zip(record.flips, held, strict=True):
        assert (flips.reference, flips.other) == (FP32, INT8)
        fp32, int8 = (each.score_of(name) for name in (FP32, INT8))
        assert fp32 is not None
        assert int8 is not None
        alone = unpacked(fp32) & ~unpacked(int8)
        assert flips.num_only_reference_right == int(alone.sum())
        assert flips.num_flipped >= flips.num_only_reference_right + flips.num_only_other_right


def _suspicion_is_measured_where_there_is_one(finished: Finished) -> None:
    assert finished.record.cells[0].detections == ()
    for each in finished.record.cells[1:]:
        assert [found.system for found in each.detections] == [PAIR, FP32, INT8]
        assert {(found.num_clean, found.num_attacked) for found in each.detections} == {(N, N)}
        for found in each.detections:
            score = each.score_of(found.system)
            assert score is not None
            assert found.num_fooling == N - score.num_right
            assert found.at_5.unnoticed.num <= found.at_1.unnoticed.num <= found.num_fooling
    assert {check.state for check in finished.record.checks} <= {"passed", "failed", "not run"}
    assert any(check.state != "not run" for check in finished.record.checks)


ASKED = {"scenarios": ("artifact-query",), "attacks": ("square-20",), "epsilons": (4 / 255,)}


def test_a_second_run_crafts_nothing_and_says_the_same(run_it: RunIt, lone_subject: Subject, said: io.StringIO) -> None:
    first = run_it(lone_subject, **ASKED)
    assert "cache" not in said.getvalue()
    second = run_it(lone_subject, **ASKED)
    assert said.getvalue().count("8 of 8 from the cache") == 1
    assert unlike_times(first.record) == unlike_times(second.record)


@pytest.mark.parametrize("change", [{"device": "another CPU"}, {"batch_range": (1, 3)}], ids=str)
def test_answers_of_another_device_are_crafted_anew(
    run_it: RunIt, lone_subject: Subject, said: io.StringIO, change: dict[str, Any]
) -> None:
    run_it(lone_subject, **ASKED)
    moved = {name: replace(artifact, **change) for name, artifact in lone_subject.artifacts.items()}
    run_it(replace(lone_subject, artifacts=moved), **ASKED)
    assert "from the cache" not in said.getvalue()


def test_a_batch_that_broke_on_disk_is_made_again_to_the_same_record(
    run_it: RunIt, said: io.StringIO, tmp_path: Path
) -> None:
    scenario = {"scenarios": ("end-to-end",), "attacks": ("pgd-2",), "epsilons": (EPSILON,), "n": 2, "batch": 1}
    first = run_it(**scenario)
    path = min((tmp_path / "cache").rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:-100])
    second = run_it(**scenario)
    assert said.getvalue().count("made again") == 1
    assert "1 of 2 from the cache" in said.getvalue()
    for one, other in zip(first.record.cells, second.record.cells, strict=True):
        assert one.scores == other.scores


def test_more_images_go_on_from_fewer(run_it: RunIt, lone_subject: Subject, said: io.StringIO) -> None:
    run_it(lone_subject, **ASKED)
    run_it(lone_subject, **ASKED, n=12)
    assert "8 of 12 from the cache" in said.getvalue()


@dataclass
class Failing:
    """A runner that raises at one of its calls: a device that is pulled out, or Ctrl-C."""

    runner: Runner
    at_call: int
    error: BaseException
    num_calls: int = 0

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        self.num_calls += 1
        if self.num_calls == self.at_call:
            raise self.error
        return self.runner(frames_NHWC)

    def close(self) -> None:
        self.runner.close()

    def __enter__(self) -> Failing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def failing(subject: Subject, at_call: int, error: BaseException) -> Subject:
    """Return the subject with an FP32 graph that raises; scores still come from the sound one."""
    artifact = subject.artifacts[FP32]
    broken = replace(artifact, runner=Failing(artifact.runner, at_call, error))
    return replace(subject, artifacts={FP32: broken})


def test_a_runner_that_raises_mid_query_is_counted_and_gone_on_with(
    run_it: RunIt, lone_subject: Subject, tmp_path: Path
) -> None:
    whole = run_it(lone_subject, **ASKED, cache=tmp_path / "undisturbed")
    with pytest.raises(ArtifactError, match=r"after .* answers .*queries lost.*it goes on from there"):
        run_it(failing(lone_subject, 9, RuntimeError("device lost")), **ASKED)
    resumed = run_it(lone_subject, **ASKED)
    (wanted,) = (each for each in whole.record.cells if each.scenario == "artifact-query")
    (found,) = (each for each in resumed.record.cells if each.scenario == "artifact-query")
    assert found.num_lost_queries > 0
    assert wanted.num_lost_queries == 0
    assert (found.scores, found.queries) == (wanted.scores, wanted.queries)


def test_ctrl_c_mid_query_is_gone_on_with_and_the_batches_before_are_kept(
    run_it: RunIt, lone_subject: Subject, said: io.StringIO
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_it(failing(lone_subject, 30, KeyboardInterrupt()), **ASKED)
    resumed = run_it(lone_subject, **ASKED)
    assert f"square-20 4/255 on {FP32}, n=8" in said.getvalue()
    (found,) = (each for each in resumed.record.cells if each.scenario == "artifact-query")
    assert found.num_lost_queries > 0
    assert "4 of 8 from the cache" in said.getvalue()


def test_a_bundle_without_its_pair_is_attacked_by_queries(run_it: RunIt, lone_subject: Subject) -> None:
    finished = run_it(lone_subject, attacks=("square-20",), epsilons=(EPSILON,))
    assert {each.scenario for each in finished.record.cells} == {CLEAN, "artifact-query"}
    assert [system.name for system in finished.record.systems] == [FP32]
    states = {check.name: check.state for check in finished.record.checks}
    assert states["unbounded attack"] == "not run"
    crafted = {key: each.frames_NHWC for key, each in finished.crafted.items()}
    inputs = ReportInputs(labels=lone_subject.labels, images=finished.images, crafted=crafted, source=None,
                          file=lone_subject.artifacts[FP32])  # fmt: skip
    page = gallery(finished.record, inputs)
    assert f"purified images are those of {FP32}" in page
    assert "suspicion 0." in page
    assert re.search(r"[\u2713\u2717] [a-z][a-z0-9 ]* [01]\.\d\d", page), (
        "what the file says of an image, and how surely"
    )
    assert ("what the purifier made" in page) == (lone_subject.artifacts[FP32].outputs_of(
        finished.images.images_NHWC[:1]).purified_NHWC is not None)  # fmt: skip


def test_each_two_artifacts_are_compared_on_the_same_frames_with_fp32_for_reference() -> None:
    said = {name: Said(np.array([0, 1, label]), None) for name, label in ((INT8, 2), ("model.fp16.onnx", 1), (FP32, 1))}
    labels_N = np.array([0, 1, 2])
    flips = flips_of([clean_cell(said, labels_N)], list(said), labels_N)
    assert [(each.reference, each.other, each.num_flipped, each.num_only_other_right) for each in flips] == [
        (FP32, INT8, 1, 1), (FP32, "model.fp16.onnx", 0, 0), (INT8, "model.fp16.onnx", 1, 0)]  # fmt: skip
    without = {name: each for name, each in said.items() if name != FP32}
    (only,) = flips_of([clean_cell(without, labels_N)], list(without), labels_N)
    assert (only.reference, only.other) == (INT8, "model.fp16.onnx")
