"""Ids stay with what they are around, and a track's last verdicts vote."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.tracker import Tracker
from capgan_edge.runtime.stream.vote import Votes

_boxes = st.builds(
    lambda left, top, width, height: Box(left, top, left + width, top + height),
    st.integers(0, 40), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30),
)  # fmt: skip


def _moved(box: Box, x_px: int) -> Box:
    return Box(box.left + x_px, box.top, box.right + x_px, box.bottom)


def test_two_boxes_that_move_keep_their_ids_whatever_their_order() -> None:
    tracker = Tracker()
    near, far = Box(0, 0, 40, 40), Box(100, 0, 120, 20)
    assert tracker.update([near, far]) == [0, 1]
    for step in range(1, 12):
        assert tracker.update([_moved(far, -2 * step), _moved(near, 4 * step)]) == [1, 0]


def test_a_track_outlives_a_few_frames_without_its_box_and_no_more() -> None:
    box = Box(0, 0, 20, 20)
    for num_missed, expected in ((10, 0), (11, 1)):
        tracker = Tracker()
        tracker.update([box])
        for _ in range(num_missed):
            tracker.update([])
        assert tracker.update([box]) == [expected]


def test_the_better_overlap_wins_a_track() -> None:
    tracker = Tracker()
    tracker.update([Box(0, 0, 20, 20)])
    assert tracker.update([Box(8, 0, 28, 20), Box(1, 0, 21, 20)]) == [1, 0]


def test_equal_boxes_keep_their_ids_in_order() -> None:
    tracker = Tracker()
    box = Box(0, 0, 10, 10)
    assert [tracker.update([box] * 4) for _ in range(5)] == [[0, 1, 2, 3]] * 5


def test_what_is_forgotten_never_returns() -> None:
    tracker = Tracker()
    box = Box(0, 0, 20, 20)
    assert tracker.update([box]) == [0]
    tracker.forget()
    assert tracker.live_ids == frozenset()
    assert tracker.update([box]) == [1]


@given(st.lists(_boxes, min_size=1, max_size=6), st.lists(_boxes, min_size=1, max_size=6))
def test_a_box_takes_a_track_where_and_only_where_one_that_is_free_overlaps_it_enough(
    before: list[Box], after: list[Box]
) -> None:
    tracker = Tracker()
    known = dict(zip(tracker.update(before), before, strict=True))
    ids = tracker.update(after)
    for track_id, box in zip(ids, after, strict=True):
        if track_id in known:
            assert box.overlap(known[track_id]) >= 0.3
        else:
            free = [other for other_id, other in known.items() if other_id not in ids]
            assert all(box.overlap(other) < 0.3 for other in free)


@given(st.lists(st.lists(_boxes, max_size=5), max_size=12))
def test_boxes_of_a_frame_never_share_an_id_and_an_id_that_is_gone_never_returns(frames: list[list[Box]]) -> None:
    tracker = Tracker()
    gone: set[int] = set()
    known: set[int] = set()
    for boxes in frames:
        ids = tracker.update(boxes)
        assert len(set(ids)) == len(boxes)
        assert not gone & set(ids)
        known |= set(ids)
        gone = known - tracker.live_ids


def test_a_single_wrong_verdict_does_not_turn_the_vote() -> None:
    votes = Votes(5)
    for _ in range(4):
        assert votes.cast(0, 7, 0.9).index == 7
    tally = votes.cast(0, 3, 1.0)
    assert (tally.index, tally.share) == (7, 0.8)


def test_only_the_last_k_verdicts_vote() -> None:
    votes = Votes(3)
    for index in (1, 1, 1, 2, 2):
        tally = votes.cast(0, index, 0.5)
    assert (tally.index, tally.share) == (2, 2 / 3)


def test_of_equal_sums_the_latest_wins_and_tracks_do_not_mix() -> None:
    votes = Votes(4)
    votes.cast(0, 1, 0.5)
    assert votes.cast(0, 2, 0.5).index == 2
    assert votes.cast(1, 9, 0.1).share == 1.0
    votes.keep_only([1])
    assert votes.cast(0, 4, 0.1).share == 1.0


@given(st.integers(1, 6), st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 1)), min_size=1, max_size=20))
def test_the_winner_has_the_largest_sum_of_the_last_k(k: int, cast: list[tuple[int, float]]) -> None:
    votes = Votes(k)
    for index, score in cast:
        tally = votes.cast(0, index, score)
    last = cast[-k:]
    sums = {index: sum(score for voted, score in reversed(last) if voted == index) for index, _ in last}
    assert sums[tally.index] == max(sums.values())
    assert tally.share == sum(voted == tally.index for voted, _ in last) / len(last)
