"""Everyone has a turn in every round on the same frames; warm-up and settling are not counted."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from capgan_benchmarks.latency.assembling import ratios_of, row_of
from capgan_benchmarks.latency.contestant import Contestant, Stopwatch
from capgan_benchmarks.latency.frames import as_camera_frames, batches_of, draw_frames
from capgan_benchmarks.latency.protocol import FramesIdentity, Protocol
from capgan_benchmarks.latency.rounds import Timed, time_in_rounds

FRAMES = [np.full((2, 4, 4, 3), index, np.uint8) for index in range(3)]


def protocol(**changes: Any) -> Protocol:
    values: dict[str, Any] = {
        "scenario": "single-stream", "batches": (2,), "threads": 1, "is_mlperf": False, "min_seconds": 1e-6,
        "min_queries": 7, "num_rounds": 3, "warm_up_seconds": 0.0, "warm_up_queries": 2, "num_settling": 1,
        "frames": FramesIdentity(data="signs/test", height_px=4, width_px=4, sha256="0" * 64),
    }  # fmt: skip
    return Protocol(**{**values, **changes})


def contestant(name: str, log: list[str], *, role: Any = "peer", precision: str = "fp32", artifact: str | None = None,
               runtime: str = "ort") -> Contestant:  # fmt: skip
    def call(frames_NHWC: Any) -> None:
        log.append(f"{name}{frames_NHWC[0, 0, 0, 0]}")

    return Contestant(name=name, role=role, runtime=runtime, provider="double", precision=precision, call=call,
                      engine=Stopwatch(), artifact=artifact)  # fmt: skip


def test_turns_alternate_and_only_counted_queries_are_kept() -> None:
    log: list[str] = []
    both = [contestant(name, log) for name in "ab"]
    turns = []
    held = time_in_rounds(both, {each.name: FRAMES for each in both}, protocol(), lambda: turns.append(len(log)))
    assert [len(turn) for turn in held["a"].end_to_end_ms] == [3, 3, 3]
    assert len(turns) == 6
    assert log[:4] == ["a0", "a1", "b0", "b1"], "warm-up"
    turn_of = {name: [f"{name}0", *(f"{name}{index}" for index in range(3))] for name in "ab"}
    assert log[4:] == [each for name in "abbaab" for each in turn_of[name]]


def test_turns_last_as_long_as_asked_for() -> None:
    slow = Contestant(name="slow", role="peer", runtime="x", provider="x", precision="fp32", engine=Stopwatch(),
                      call=lambda frames: time.sleep(0.002))  # fmt: skip
    held = time_in_rounds([slow], {"slow": FRAMES}, protocol(min_seconds=0.06, min_queries=3))["slow"]
    assert all(sum(turn) >= 15 for turn in held.end_to_end_ms), "a third of 60 ms, less what the loop itself takes"


def test_what_is_not_the_engine_s_is_the_host_s() -> None:
    engine = Stopwatch()

    def call(frames_NHWC: Any) -> None:
        with engine:
            time.sleep(0.004)
        time.sleep(0.002)

    split = Contestant(name="split", role="peer", runtime="x", provider="x", precision="fp32", call=call, engine=engine)
    timed = time_in_rounds([split], {"split": FRAMES}, protocol())["split"]
    row = row_of(split, timed, batch=2, scenario="single-stream")
    assert row.round_p50_ms == tuple(timed.medians_ms())
    assert row.engine.min_ms >= 4
    assert row.host.min_ms >= 2
    assert row.end_to_end.min_ms >= 6
    for whole, part, rest in zip(timed.end_to_end_ms[0], timed.engine_ms[0], timed.host_ms[0], strict=True):
        assert whole == part + rest or abs(whole - part - rest) < 1e-9


def test_ratios_are_of_medians_with_their_spread_over_rounds() -> None:
    victim = contestant("v", [], role="victim", artifact="m")
    pure = contestant("p", [], role="purified", artifact="m")
    int8 = contestant("q", [], role="purified", precision="int8", artifact="m8")
    peer = contestant("x", [])
    timed = {"v": Timed([[2.0, 2.0], [4.0, 4.0]]), "p": Timed([[4.0, 4.0], [4.0, 4.0]]),
             "q": Timed([[1.0, 1.0], [1.0, 1.0]]), "x": Timed([[8.0, 8.0], [12.0, 12.0]])}  # fmt: skip
    held = {
        (each.kind, each.name, each.reference): each for each in ratios_of([victim, pure, int8, peer], timed, batch=1)
    }
    assert set(held) == {("price", "p", "v"), ("price", "q", "v"), ("against", "q", "p"), ("against", "x", "p")}
    price = held["price", "p", "v"]
    assert (price.value, price.low, price.high, price.num_rounds) == (4 / 3, 1.0, 2.0, 2)
    assert (held["against", "x", "p"].low, held["against", "x", "p"].high) == (2.0, 3.0)


def test_bf16_is_priced_against_the_fp32_classifier_of_the_same_engine() -> None:
    several = [contestant("v", [], role="victim", artifact="m", runtime="openvino"),
               contestant("vb", [], role="victim", artifact="m", runtime="openvino-bf16", precision="bf16"),
               contestant("pb", [], role="purified", artifact="m", runtime="openvino-bf16", precision="bf16"),
               contestant("o", [], role="victim", artifact="m", runtime="ort")]  # fmt: skip
    timed = {each.name: Timed([[1.0], [1.0]]) for each in several}
    assert {each.reference for each in ratios_of(several, timed, batch=1)} == {"v", "vb"}


def test_frames_are_the_same_for_the_same_size_and_a_camera_s_are_of_its_size() -> None:
    frames_NHWC, identity = draw_frames((16, 16), 3)
    assert identity == draw_frames((16, 16), 3)[1]
    held = batches_of(frames_NHWC, 3)
    assert all(each.shape == (3, 16, 16, 3) for each in held)
    assert len({each.tobytes() for each in held}) == len(held)
    camera = as_camera_frames(held, (30, 50))
    assert [[frame.shape for frame in each] for each in camera] == [[(30, 50, 3)] * 3] * len(held)
    assert all(frame.flags.c_contiguous for each in camera for frame in each)
    assert len({id(frame) for each in camera for frame in each}) == len(held), "each is held once"
    assert as_camera_frames(held, None) is held
