"""Verdicts do not depend on how frames are batched, sized or threaded. Shapes: N frames, H height, W width."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import capgan_edge
from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.classifier import Classifier, Verdict
from capgan_edge.runtime.manifest import Manifest
from capgan_edge.runtime.ort import OrtRunner
from capgan_edge.runtime.runner import Outputs


@pytest.fixture(scope="module")
def classifier(shared_bundle: Bundle) -> Iterator[Classifier]:
    with capgan_edge.load(shared_bundle.path, backend="cpu", threads=1) as opened:
        yield opened


def _colour(channel: int, height: int = 8, width: int = 8) -> NDArray[np.uint8]:
    frame_HWC = np.full((height, width, 3), 10, np.uint8)
    frame_HWC[..., channel] = 200
    return frame_HWC


def _assert_same(ours: list[Verdict], theirs: list[Verdict]) -> None:
    assert [(v.index, v.label, v.raw_label) for v in ours] == [(v.index, v.label, v.raw_label) for v in theirs]
    numbers = [(v.score, v.suspicion) for v in ours]
    assert np.allclose(numbers, [(v.score, v.suspicion) for v in theirs], atol=1e-5)


def test_a_verdict_says_class_label_score_suspicion_and_time(classifier: Classifier) -> None:
    (verdict,) = classifier.classify(_colour(1))
    assert (verdict.index, verdict.label) == (1, "yield")
    weights = np.exp(10 * np.array([10, 200, 10]) / 255)
    assert verdict.score == pytest.approx(weights[1] / weights.sum(), abs=1e-5)
    assert verdict.suspicion == pytest.approx(220 / 3 / 255, abs=1e-5)
    assert verdict.latency_ms > 0
    assert verdict.raw_label == "stop"


def test_frames_of_any_sizes_keep_their_order(classifier: Classifier) -> None:
    frames = [_colour(2, 3, 50), _colour(0, 8, 8), _colour(1, 31, 7)]
    assert [verdict.label for verdict in classifier.classify(frames)] == ["go", "stop", "yield"]


def test_no_frames_give_no_verdicts(classifier: Classifier) -> None:
    assert classifier.classify([]) == []
    assert classifier.classify(np.empty((0, 8, 8, 3), np.uint8)) == []
    assert classifier.purify([]).shape == (0, 8, 8, 3)


@settings(max_examples=25, deadline=None)
@given(num=st.integers(1, 20), max_batch=st.integers(1, 20), seed=st.integers(0, 99))
def test_splitting_a_batch_changes_no_verdict(
    num: int, max_batch: int, seed: int, make_model: Callable[..., bytes]
) -> None:
    frames_NHWC = np.random.default_rng(seed).integers(0, 256, (num, 8, 8, 3), np.uint8)
    runner = OrtRunner(make_model(), threads=1)
    whole = Classifier(runner, labels=("a", "b", "c"), size_px=(8, 8), max_batch=num)
    split = Classifier(runner, labels=("a", "b", "c"), size_px=(8, 8), max_batch=max_batch)
    _assert_same(split.classify(frames_NHWC), whole.classify(frames_NHWC))
    assert (split.purify(frames_NHWC) == 255 - frames_NHWC).all()


def test_many_threads_on_one_classifier_get_the_answers_of_one(classifier: Classifier) -> None:
    batches = [np.random.default_rng(seed).integers(0, 256, (6, 9, 9, 3), np.uint8) for seed in range(40)]
    alone = [classifier.classify(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for ours, theirs in zip(pool.map(classifier.classify, batches), alone, strict=True):
            _assert_same(ours, theirs)


class ReusingRunner:
    """A runner like TensorRT's: one buffer, rewritten by every call, and no two calls at once."""

    def __init__(self) -> None:
        self._logits_NK = np.empty((1, 3), np.float32)
        self._purified_NHWC = np.empty((1, 8, 8, 3), np.uint8)
        self._is_busy = threading.Lock()

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        assert self._is_busy.acquire(blocking=False), "two calls at once"
        self._logits_NK[:] = frames_NHWC[0].mean(axis=(0, 1))
        self._purified_NHWC[:] = frames_NHWC
        time.sleep(0.0005)  # lets another thread in, if any may
        self._is_busy.release()
        return Outputs(logits_NK=self._logits_NK, suspicion_N=np.zeros(1, np.float32),
                       purified_NHWC=self._purified_NHWC)  # fmt: skip

    def close(self) -> None:
        self._logits_NK[:] = np.nan

    def __enter__(self) -> ReusingRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def test_a_runner_that_reuses_its_arrays_is_called_in_turn_and_read_before_the_next() -> None:
    classifier = Classifier(ReusingRunner(), labels=("a", "b", "c"), size_px=(8, 8), max_batch=1)
    frames = [_colour(index % 3) for index in range(30)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(classifier.classify, [frames] * 16))
    assert all([verdict.index for verdict in verdicts] == [0, 1, 2] * 10 for verdicts in answers)


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_logits_that_are_not_finite_are_no_verdict(scale: float, make_model: Callable[..., bytes]) -> None:
    classifier = Classifier(OrtRunner(make_model(scale=scale)), labels=("a", "b", "c"), size_px=(8, 8))
    with pytest.raises(ArtifactError, match="NaN or infinity for frame 0"):
        classifier.classify(_colour(0))


def test_purifying_without_that_output_says_so(
    tmp_path: Path, make_model: Callable[..., bytes], make_manifest: Callable[..., Manifest]
) -> None:
    outputs = [output for output in make_manifest().outputs if output.name in ("logits", "suspicion")]
    model = make_model(outputs=("logits", "suspicion"))
    write_bundle(tmp_path / "bundle", make_manifest(outputs=outputs), {"model.fp32.onnx": model})
    with capgan_edge.load(tmp_path / "bundle", backend="cpu") as classifier:
        assert classifier.classify(_colour(0))[0].raw_label is None
        with pytest.raises(ArtifactError, match="exported without it"):
            classifier.purify(_colour(0))


def test_purified_frames_come_in_the_size_of_the_graph(classifier: Classifier) -> None:
    assert (classifier.purify(_colour(0, 16, 16)) == 255 - _colour(0)).all()


def test_verdicts_and_purified_frames_come_from_one_pass(
    classifier: Classifier, make_model: Callable[..., bytes]
) -> None:
    frames = [_colour(index % 3, 9 + index, 9) for index in range(5)]
    verdicts, purified_NHWC = classifier.classify_with_purified(frames)
    _assert_same(verdicts, classifier.classify(frames))
    assert (purified_NHWC == classifier.purify(frames)).all()
    assert classifier.classify_with_purified([])[1].shape == (0, 8, 8, 3)
    plain = Classifier(OrtRunner(make_model(outputs=("logits", "suspicion"))), labels=("a", "b", "c"), size_px=(8, 8))
    with pytest.raises(ArtifactError, match=r"output purified, got one exported without it.*--with-purified"):
        plain.classify_with_purified(frames)


def test_purified_frames_of_a_runner_that_reuses_its_arrays_are_kept() -> None:
    classifier = Classifier(ReusingRunner(), labels=("a", "b", "c"), size_px=(8, 8), max_batch=1)
    frames = [_colour(index % 3) for index in range(6)]
    assert (classifier.classify_with_purified(frames)[1] == np.stack(frames)).all()


def test_a_raw_verdict_is_of_the_frame_as_it_came(classifier: Classifier) -> None:
    frames = [_colour(1, 20, 30), _colour(0)]
    first, second = classifier.classify_raw(frames)
    assert [first.label, second.label] == [verdict.raw_label for verdict in classifier.classify(frames)]
    assert (first.index, first.label) == (0, "stop"), "the tiny classifier alone sees the weakest channel"
    weights = np.exp(-10 * np.array([10, 200, 10]) / 255)
    assert first.score == pytest.approx(weights[0] / weights.sum(), abs=1e-5)
    assert first.latency_ms > 0
    assert classifier.classify_raw([]) == []


def test_raw_verdicts_do_not_depend_on_how_a_batch_is_split(make_model: Callable[..., bytes]) -> None:
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), np.uint8)
    runner = OrtRunner(make_model(), threads=1)
    whole, split = (Classifier(runner, labels=("a", "b", "c"), size_px=(8, 8), max_batch=size) for size in (7, 3))
    ours, theirs = split.classify_raw(frames_NHWC), whole.classify_raw(frames_NHWC)
    assert [raw.index for raw in ours] == [raw.index for raw in theirs]
    assert np.allclose([raw.score for raw in ours], [raw.score for raw in theirs])


def test_a_raw_verdict_needs_raw_logits_that_are_numbers(make_model: Callable[..., bytes]) -> None:
    plain = Classifier(OrtRunner(make_model(outputs=("logits", "suspicion"))), labels=("a", "b", "c"), size_px=(8, 8))
    with pytest.raises(ArtifactError, match=r"output raw_logits.*exported without it; .*--with-raw-logits"):
        plain.classify_raw(_colour(0))
    broken = Classifier(OrtRunner(make_model(scale=np.nan)), labels=("a", "b", "c"), size_px=(8, 8))
    with pytest.raises(ArtifactError, match="expected finite raw logits, got NaN or infinity for frame 0"):
        broken.classify_raw(_colour(0))


def test_a_closed_classifier_refuses_frames(shared_bundle: Bundle) -> None:
    with capgan_edge.load(shared_bundle.path) as classifier:
        pass
    with pytest.raises(CapganError, match="closed"):
        classifier.classify(_colour(0))


def test_a_classifier_describes_itself(classifier: Classifier, shared_bundle: Bundle) -> None:
    said = classifier.describe()
    assert said["precision"] == "fp32"
    assert sorted(said["outputs"]) == ["logits", "purified", "raw_logits", "suspicion"]
    assert said["providers"] == ["CPUExecutionProvider"]
    assert said["backend_reason"] == classifier.backend_reason == "cpu: asked for"
    assert said["sha256"] == shared_bundle.manifest.files["model.fp32.onnx"].sha256
    assert said["labels"] == ["stop", "yield", "go"]


@pytest.mark.parametrize(("threshold", "is_alarm"), [(None, None), (0.2, True), (0.9, False)])
def test_a_frame_raises_an_alarm_above_the_threshold_and_none_without_one(
    threshold: float | None, is_alarm: bool | None, make_model: Callable[..., bytes]
) -> None:
    classifier = Classifier(OrtRunner(make_model()), labels=("a", "b", "c"), size_px=(8, 8), threshold=threshold)
    (verdict,) = classifier.classify(_colour(0))
    assert verdict.is_alarm is is_alarm
    assert classifier.describe()["suspicion_threshold"] == threshold


def test_a_suspicion_at_the_threshold_itself_is_no_alarm(make_model: Callable[..., bytes]) -> None:
    runner = OrtRunner(make_model())
    suspicion = float(runner(_colour(0)[None]).suspicion_N[0])
    classifier = Classifier(runner, labels=("a", "b", "c"), size_px=(8, 8), threshold=suspicion)
    assert classifier.classify(_colour(0))[0].is_alarm is False


def test_bad_options_are_refused_in_one_line(shared_bundle: Bundle, make_model: Callable[..., bytes]) -> None:
    with pytest.raises(ConfigError, match="auto, tensorrt, cuda, openvino, cpu, got 'npu'"):
        capgan_edge.load(shared_bundle.path, backend="npu")
    with pytest.raises(ArtifactError, match="this bundle has fp32"):
        capgan_edge.load(shared_bundle.path, precision="fp16")
    with pytest.raises(ConfigError, match="max_batch"):
        Classifier(OrtRunner(make_model()), labels=("a", "b", "c"), size_px=(8, 8), max_batch=0)
    for threshold in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="threshold is a suspicion in"):
            Classifier(OrtRunner(make_model()), labels=("a", "b", "c"), size_px=(8, 8), threshold=threshold)


@pytest.mark.parametrize("options", [{"size_px": 9}, {"num_classes": 4}, {"outputs": ("logits", "suspicion")}], ids=str)
def test_a_graph_that_contradicts_its_manifest_is_refused(
    options: dict[str, int], tmp_path: Path, make_model: Callable[..., bytes], make_manifest: Callable[..., Manifest]
) -> None:
    write_bundle(tmp_path / "bundle", make_manifest(), {"model.fp32.onnx": make_model(**options)})
    with pytest.raises(ArtifactError, match="as in the manifest, got"):
        capgan_edge.load(tmp_path / "bundle", backend="cpu")
