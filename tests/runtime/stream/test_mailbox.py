"""The mailbox of one: the newest wins, what is dropped is counted, and nothing is lost or made up."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from capgan_edge.runtime.stream.mailbox import Mailbox


@given(st.lists(st.sampled_from(["put", "take"]), max_size=60))
def test_a_take_gets_the_newest_and_every_item_is_taken_dropped_or_there(actions: list[str]) -> None:
    mailbox: Mailbox[int] = Mailbox()
    newest: int | None = None
    num_put = num_taken = 0
    for action in actions:
        if action == "put":
            newest = num_put
            mailbox.put(num_put)
            num_put += 1
        else:
            assert mailbox.take(0) == newest
            num_taken += newest is not None
            newest = None
    assert num_put == num_taken + mailbox.dropped + (newest is not None)


def test_between_threads_items_come_in_order_and_the_counts_add_up() -> None:
    mailbox: Mailbox[int] = Mailbox()
    num_items = 5000

    def put_all() -> None:
        for number in range(num_items):
            mailbox.put(number)

    thread = threading.Thread(target=put_all)
    thread.start()
    taken: list[int] = []
    while not taken or taken[-1] != num_items - 1:
        item = mailbox.take(1)
        if item is not None:
            taken.append(item)
    thread.join()
    assert taken == sorted(set(taken))
    assert len(taken) + mailbox.dropped == num_items


def test_handing_over_drops_nothing() -> None:
    mailbox: Mailbox[int] = Mailbox()

    def hand_over_all() -> None:
        for number in range(500):
            mailbox.hand_over(number)

    thread = threading.Thread(target=hand_over_all)
    thread.start()
    taken = [mailbox.take(5) for _ in range(500)]
    thread.join()
    assert taken == list(range(500))
    assert mailbox.dropped == 0


def test_closing_wakes_whoever_waits_and_lets_nothing_in() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)
    blocked = threading.Thread(target=mailbox.hand_over, args=(2,))
    blocked.start()
    mailbox.close()
    blocked.join(5)
    assert not blocked.is_alive()
    mailbox.put(3)
    assert mailbox.take(60) is None
