"""The TensorRT runner gives what the engine computes, launches graphs where it may, and gives everything back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from gpu_double import DataType, NumpyDevice, TrtDouble
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError, CapganError, InputError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.runner import Runner
from capgan_edge.runtime.trt import CallCounts, TrtRunner
from capgan_edge.runtime.trt_engine import TrtEngine


def make_runner(device: NumpyDevice, **settings: Any) -> TrtRunner:
    return TrtRunner(TrtEngine(b"plan", TrtDouble(device, **settings)), device)


def make_frames(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), np.uint8)


def assert_right(runner: Runner, frames_NHWC: NDArray[np.uint8]) -> None:
    outputs = runner(frames_NHWC)
    mean_NK = frames_NHWC.mean(axis=(1, 2)) / 255
    assert np.allclose(outputs.logits_NK, 10 * mean_NK, atol=1e-4)
    assert np.allclose(outputs.suspicion_N, mean_NK.mean(axis=1), atol=1e-5)
    assert outputs.purified_NHWC is not None
    assert (outputs.purified_NHWC == 255 - frames_NHWC).all()
    assert outputs.raw_logits_NK is None


def test_every_batch_of_the_profile_gives_what_the_engine_computes() -> None:
    with make_runner(NumpyDevice()) as runner:
        assert (runner.min_batch, runner.max_batch) == (1, 4)
        for seed, n in enumerate([1, 4, 2, 2, 2, 3, 1, 1]):
            assert_right(runner, make_frames(n, seed))


def test_what_a_call_returned_outlives_the_next_call_and_the_runner() -> None:
    runner = make_runner(NumpyDevice())
    kept = [runner(make_frames(2, seed)) for seed in range(3)]
    runner.close()
    for seed, outputs in enumerate(kept):
        assert outputs.purified_NHWC is not None
        assert (outputs.purified_NHWC == 255 - make_frames(2, seed)).all()


def test_fewer_frames_than_the_profile_takes_are_filled_up_and_only_theirs_returned() -> None:
    with make_runner(NumpyDevice(), profile=(3, 4)) as runner:
        assert_right(runner, make_frames(4))
        assert_right(runner, make_frames(1, seed=1))


def test_a_batch_size_that_comes_again_is_captured_once_and_launched_as_a_graph() -> None:
    device = NumpyDevice()
    with make_runner(device) as runner:
        for seed in range(5):
            assert_right(runner, make_frames(2, seed))
        assert (runner.counts.plain, runner.counts.graph, runner.counts.refused) == (1, 4, 0)
        assert device.captures == 1


def test_a_new_batch_size_drops_the_graph_of_the_old_one() -> None:
    device = NumpyDevice()
    with make_runner(device) as runner:
        for n in (2, 2, 3, 3, 2, 2):
            assert_right(runner, make_frames(n, seed=n))
            assert len([kind for kind, _ in device.live if kind == "graph"]) <= 1
        assert (runner.counts.plain, runner.counts.graph) == (3, 3)
        assert device.captures == 3


def test_a_refused_capture_is_counted_once_a_size_and_the_calls_stay_right() -> None:
    device = NumpyDevice(refuses_capture=True)
    with make_runner(device) as runner:
        for n in (2, 2, 2, 1, 1, 1, 2, 2):
            assert_right(runner, make_frames(n, seed=n))
        assert (runner.counts.plain, runner.counts.graph, runner.counts.refused) == (8, 0, 2)
        assert runner.counts.refusal == "the double does not capture"
        assert device.captures == 2


def test_an_engine_that_cannot_be_captured_yet_is_asked_again() -> None:
    device = NumpyDevice()
    with make_runner(device, calls_until_capturable=2) as runner:
        for seed in range(5):
            assert_right(runner, make_frames(1, seed))
        assert (runner.counts.plain, runner.counts.graph, runner.counts.refused) == (3, 2, 0)
        assert runner.counts.not_ready == 2


def test_an_engine_that_never_can_be_captured_is_counted_at_every_call_that_might_have_been() -> None:
    with make_runner(NumpyDevice(), calls_until_capturable=100) as runner:
        for seed in range(5):
            assert_right(runner, make_frames(1, seed))
        assert runner.counts == CallCounts(plain=5, not_ready=4)


def test_close_gives_everything_back_and_twice_is_once() -> None:
    device = NumpyDevice()
    runner = make_runner(device)
    for _ in range(3):
        runner(make_frames(2))
    assert {kind for kind, _ in device.live} == {"memory", "pinned", "stream", "graph", "context"}
    runner.close()
    runner.close()
    assert device.live == set()
    assert device.depth == 0
    with pytest.raises(CapganError, match="expected an open runner"):
        runner(make_frames(1))


class Broken(NamedTuple):
    name: str
    memory_bytes: int
    tensors: dict[str, Any]
    message: str


BROKEN = [
    Broken("out of memory", 1_000, {}, "expected the GPU to allocate"),
    Broken("another input size", 1 << 20, {"purified": ((-1, 9, 9, 3), DataType.UINT8)}, "expected outputs among"),
    Broken(
        "half logits", 1 << 20, {"logits": ((-1, 3), DataType.HALF)}, "expected outputs among .*logits DataType.HALF"
    ),
    Broken("a fixed batch", 1 << 20, {"frames": ((4, 8, 8, 3), DataType.UINT8)}, "with N free"),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_runner_that_cannot_be_made_leaves_nothing_behind(case: Broken) -> None:
    device = NumpyDevice(memory_bytes=case.memory_bytes)
    with pytest.raises(CapganError, match=case.message):
        make_runner(device, tensors=case.tensors)
    assert device.live == set()


def test_frames_that_the_engine_does_not_take_are_refused() -> None:
    with make_runner(NumpyDevice()) as runner:
        for frames in (np.zeros((1, 9, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.float32), np.zeros(3, np.uint8)):
            with pytest.raises(InputError, match=r"takes uint8 frames \[N, 8, 8, 3\], got"):
                runner(frames)  # type: ignore[arg-type]
        for n in (0, 5):
            with pytest.raises(InputError, match=f"built for 1 to 4 frames at once, got {n}"):
                runner(make_frames(n))


def test_a_failed_call_says_what_tensorrt_said_and_the_next_one_works() -> None:
    device = NumpyDevice()
    trt = TrtDouble(device)
    with TrtRunner(TrtEngine(b"plan", trt), device) as runner:
        for n in (1, 2, 2, 2):  # plain, plain, captured, launched: the last does not ask TensorRT
            assert_right(runner, make_frames(n))
        trt.fails = True
        with pytest.raises(ArtifactError, match="to run 3 frames, but: the double was told to fail; build"):
            runner(make_frames(3))
        trt.fails = False
        assert_right(runner, make_frames(3, seed=5))
        assert_right(runner, make_frames(3, seed=6))
    assert device.live == set()


def test_a_graph_that_failed_once_is_not_launched_again() -> None:
    device = NumpyDevice()
    with make_runner(device) as runner:
        for n in (2, 2):
            assert_right(runner, make_frames(n))
        device.fails_launch = True
        with pytest.raises(CapganError, match="launch a captured graph"):
            runner(make_frames(2))
        device.fails_launch = False
        assert not [kind for kind, _ in device.live if kind == "graph"]
        assert_right(runner, make_frames(2, seed=3))
        assert (runner.counts.plain, runner.counts.graph) == (2, 1)


def test_a_classifier_on_an_engine_splits_what_exceeds_the_profile() -> None:
    runner = make_runner(NumpyDevice())
    frames = np.zeros((9, 20, 30, 3), np.uint8)
    frames[:, :, :, 1] = 200
    with Classifier(runner, labels=("stop", "yield", "go"), size_px=(8, 8), max_batch=runner.max_batch) as classifier:
        assert [verdict.label for verdict in classifier.classify(frames)] == ["yield"] * 9
    assert runner.counts.plain + runner.counts.graph == 3
