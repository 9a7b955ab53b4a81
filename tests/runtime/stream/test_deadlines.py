"""Past the deadline: hold, bypass or stop, each counted and marked; runners wait on purpose, never on time."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import pytest
from cameras import Connections, Gate, Step, around
from footage import coloured

import capgan_edge
from capgan_edge.errors import ArtifactError, CapganError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.stream.event import Event
from capgan_edge.runtime.stream.failure import DeadlineMissedError

AMPLE_MS = 60_000.0


def _frames(events: Generator[Event, None, None], num_frames: int) -> list[Event]:
    frames = list(itertools.islice(_frames_of(events), num_frames))
    events.close()
    return frames


def _frames_of(events: Iterable[Event]) -> Iterator[Event]:
    return (event for event in events if event.kind == "frame")


def _endless(letter: str = "r") -> Iterator[Step]:
    """Yield frames, a short pause before each."""
    for mark in itertools.count():
        yield lambda: time.sleep(0.005)
        yield coloured(letter, mark)


class _Slow:
    """Wait in the calls that are told, each until it is let go, or for a moment."""

    def __init__(self, slow: set[int], gate: Gate | None = None) -> None:
        self._slow, self._gate = slow, gate

    def __call__(self, number: int) -> None:
        if number in self._slow:
            if self._gate is not None:
                self._gate.wait()
            else:
                threading.Event().wait(0.35)


def test_ample_time_changes_nothing(classifier: Classifier) -> None:
    for policy in ("hold", "bypass", "stop"):
        camera = Connections(_endless())
        events = capgan_edge.stream(classifier, camera, deadline_ms=AMPLE_MS, on_deadline_miss=policy)
        frames = _frames(events, 3)
        assert {event.purifier_state for event in frames} == {"active"}
        assert frames[-1].counts.deadline_misses == 0


def test_hold_answers_at_the_deadline_with_the_last_verdict_while_the_engine_hangs(classifier: Classifier) -> None:
    gate = Gate()
    slow, _ = around(classifier, _Slow({2}, gate))  # 0 is the warm-up, 1 the first frame
    is_seen = Gate()
    camera = Connections(itertools.chain([coloured("g"), is_seen.wait], _endless("r")))
    events = capgan_edge.stream(slow, camera, deadline_ms=300, on_deadline_miss="hold")
    frames = _frames_of(events)
    first = next(frames)
    is_seen.open()
    held = [next(frames) for _ in range(3)]
    assert [verdict.label for verdict in first.verdicts] == ["yield"]
    for event in held:
        assert (event.purifier_state, event.is_deadline_missed, event.error) == ("held", True, None)
        assert event.verdicts == first.verdicts
        assert event.latency is not None
        assert event.latency.inference_ms is None
    ages = [event.held_age_ms or 0 for event in held]
    assert ages == sorted(ages)
    assert all(held_age > (event.age_ms or 0) for held_age, event in zip(ages, held, strict=True))
    assert held[-1].counts.held == held[-1].counts.deadline_misses == 3
    gate.open()
    labels = {event.verdicts[0].label for event in itertools.islice(frames, 3)}
    events.close()
    assert "stop" in labels  # the late pass is known now, and the engine runs again


def test_before_the_first_verdict_there_is_nothing_to_hold_and_nothing_is_made_up(classifier: Classifier) -> None:
    gate = Gate()
    slow, _ = around(classifier, _Slow({1}, gate))
    events = capgan_edge.stream(slow, Connections(_endless()), deadline_ms=50)
    (event,) = _frames(events, 1)
    gate.open()
    assert (event.purifier_state, event.verdicts, event.held_age_ms, event.suspicion) == ("held", (), None, None)


def test_a_pass_that_fails_after_its_deadline_is_counted(classifier: Classifier) -> None:
    gate = Gate()

    def before(number: int) -> None:
        if number == 1:
            gate.wait()
            raise CapganError("late and broken")

    broken, _ = around(classifier, before)
    events = capgan_edge.stream(broken, Connections(_endless()), deadline_ms=200)
    frames = _frames_of(events)
    assert next(frames).purifier_state == "held"
    gate.open()
    later = [next(frames) for _ in range(4)]
    events.close()
    assert [event.error for event in later].count("late and broken") == 1
    assert later[-1].counts.errors == 1


def test_bypass_leaves_the_purifier_out_for_some_frames_and_tries_it_again(classifier: Classifier) -> None:
    slow, _ = around(classifier, _Slow({3}))  # 0 and 1 are the warm-up, with and without the purifier
    camera = Connections(_endless("r"))
    events = capgan_edge.stream(slow, camera, deadline_ms=300, on_deadline_miss="bypass", bypass_frames=2)
    frames = _frames(events, 5)
    assert [event.purifier_state for event in frames] == ["active", "active", "bypassed", "bypassed", "active"]
    assert [event.is_deadline_missed for event in frames] == [False, True, False, False, False]
    for event in frames[2:4]:
        (verdict,) = event.verdicts
        assert verdict.label == verdict.raw_label != "stop"  # the tiny victim sees the weakest channel
        assert (verdict.suspicion, verdict.is_alarm, event.suspicion) == (None, None, None)
        assert 0 < verdict.score <= 1
    assert (frames[-1].counts.bypassed, frames[-1].counts.deadline_misses) == (2, 1)
    assert frames[-1].verdicts[0].label == "stop"


def test_bypass_is_refused_at_the_start_where_the_graph_has_no_raw_logits(make_model: Any) -> None:
    runner = OrtRunner(make_model(outputs=("logits", "suspicion")), threads=1)
    camera = Connections(_endless())
    with Classifier(runner, labels=("stop", "yield", "go"), size_px=(8, 8)) as plain:
        with pytest.raises(ArtifactError, match="raw_logits to bypass"):
            capgan_edge.stream(plain, camera, deadline_ms=50, on_deadline_miss="bypass")
        assert camera.num_opened == 0
        assert len(_frames(capgan_edge.stream(plain, camera, deadline_ms=AMPLE_MS), 1)) == 1


def test_stop_gives_the_late_event_and_then_stops_with_an_exit_code_of_its_own(classifier: Classifier) -> None:
    slow, _ = around(classifier, _Slow({2}))
    got: list[Event] = []
    with pytest.raises(DeadlineMissedError, match="within 300 ms") as caught:
        got.extend(capgan_edge.stream(slow, Connections(_endless()), deadline_ms=300, on_deadline_miss="stop"))
    assert caught.value.exit_code == 4
    assert [event.is_deadline_missed for event in got if event.kind == "frame"] == [False, True]
    assert got[-1].verdicts[0].label == "stop"
