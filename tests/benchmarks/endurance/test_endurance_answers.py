"""What counts as right, mixed, wrong, refused and lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from capgan_benchmarks.endurance.answers import KnownAnswers, Tally, distinct, tally_of
from capgan_benchmarks.endurance.client import infer_body, read_answer
from capgan_benchmarks.endurance.over_time import over_time

KNOWN = KnownAnswers(np.array([[0.0, 1.0], [5.0, 1.0], [0.0, 9.0]]), tolerance=0.1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([5.0, 1.0], "right"),
        ([5.05, 0.95], "right"),
        ([0.0, 1.0], "mixed"),
        ([0.05, 9.05], "mixed"),
        ([5.0, 1.2], "wrong"),
        ([2.0, 2.0], "wrong"),
        ([5.0, float("nan")], "wrong"),
        ([5.0], "wrong"),
        ([5.0, 1.0, 0.0], "wrong"),
    ],
)
def test_an_answer_to_question_1(answer: list[float], kind: str) -> None:
    assert KNOWN.kind_of(1, np.array(answer)) == kind


def test_a_tally_counts_each_once_and_is_clean_only_of_what_must_not_be() -> None:
    tally = tally_of(["right", "right", "refused", "mixed"])
    assert (tally, tally.asked) == (Tally(right=2, mixed=1, refused=1), 4)
    assert not tally.is_clean
    assert tally_of(["right", "refused"]).is_clean
    for kind in ("mixed", "wrong", "lost"):
        assert not tally_of([kind]).is_clean


def test_questions_whose_answers_could_be_taken_for_one_another_are_left_out() -> None:
    answers = np.array([[0.0, 0.0], [0.15, 0.1], [0.3, 0.0], [0.3, 5.0]])
    assert distinct(answers, 0.1) == [0, 2, 3]


def test_a_binary_answer_is_read_and_what_is_none_is_an_error() -> None:
    frames = np.zeros((1, 2, 2, 3), np.uint8)
    body, num_json = infer_body(frames, "7")
    assert json.loads(body[:num_json])["id"] == "7"
    assert body[num_json:] == frames.tobytes()
    head = json.dumps({"id": "7", "outputs": [{"name": "logits", "shape": [1, 2]}]}).encode()
    data = head + np.array([1.5, -2.0], "<f4").tobytes()
    asked_as, logits_NK = read_answer(data, str(len(head)))
    assert (asked_as, logits_NK.tolist()) == ("7", [[1.5, -2.0]])
    with pytest.raises(ValueError, match="reshape"):
        read_answer(data[:-4], str(len(head)))


def test_every_duration_is_in_the_stretch_of_its_time() -> None:
    held = over_time([(0.5, 10.0), (0.6, 30.0), (59.9, 5.0), (60.0, 7.0)], 60.0)
    assert [(each.at_s, each.n) for each in held.stretches] == [(0.5, 2), (59.5, 2)]
    assert held.whole is not None
    assert (held.whole.n, held.whole.max_ms, held.whole.p99_ms) == (4, 30.0, None)
    assert over_time([], 60.0).whole is None
