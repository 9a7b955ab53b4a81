"""Square against the runner itself: what it is asked, how often, and how an interrupted attack goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capgan_benchmarks.threats import artifact_query
from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.artifact_query import ArtifactQuery
from capgan_benchmarks.threats.crafting import rows_of
from capgan_benchmarks.threats.transcript import Transcript
from capgan_edge.attacks import PGD, Square
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ArtifactError, ConfigError, DataError
from capgan_edge.runtime.runner import Outputs, Runner

ATTACK = Square(epsilon=8 / 255, queries=12, seed=3)
NUM_AFTERWARDS = 3
"""How often the artifact sees each image beside the attack's queries: for its success, before and after rounding."""


class Watched:
    """A runner that remembers what it was asked, and may raise at one of its calls."""

    def __init__(self, runner: Runner, *, failing_call: int | None = None, error: BaseException | None = None) -> None:
        self.asked: list[NDArray[np.uint8]] = []
        self._runner, self._failing_call, self._error = runner, failing_call, error

    def __call__(self, frames_NHWC: NDArray[np.uint8]) -> Outputs:
        self.asked.append(frames_NHWC.copy())
        if len(self.asked) == self._failing_call:
            raise self._error or RuntimeError("the cable\nwas pulled")
        return self._runner(frames_NHWC)

    @property
    def num_frames(self) -> int:
        return sum(map(len, self.asked))

    def close(self) -> None:
        self._runner.close()

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Watch = Callable[..., tuple[Artifact, Watched]]


@pytest.fixture
def watch(int8_artifact: Artifact) -> Watch:
    def watched(batch_range: tuple[int, int] = (1, 4), **failing: object) -> tuple[Artifact, Watched]:
        runner = Watched(int8_artifact.runner, **failing)
        return replace(int8_artifact, runner=runner, batch_range=batch_range), runner

    return watched


@pytest.fixture(scope="module")
def images(sign_images: ImageSet) -> ImageSet:
    return rows_of(sign_images, slice(7))


@pytest.mark.parametrize(("epsilon", "levels"), [(8 / 255, 8), (0.03, 7)], ids=["whole levels", "a fraction"])
def test_every_query_is_an_8_bit_frame_within_epsilon(
    epsilon: float, levels: int, watch: Watch, images: ImageSet
) -> None:
    artifact, runner = watch()
    crafted = ArtifactQuery(artifact=artifact).craft(replace(ATTACK, epsilon=epsilon), images)
    asked_MHWC = np.concatenate(runner.asked)
    assert asked_MHWC.dtype == np.uint8
    distance_MN = np.stack(
        [np.abs(asked_MHWC.astype(int) - each).max(axis=(1, 2, 3)) for each in images.images_NHWC.astype(int)], axis=1
    )
    assert distance_MN.min(axis=1).max() == levels
    assert np.abs(crafted.frames_NHWC.astype(int) - images.images_NHWC).max() <= levels
    assert (crafted.x_NCHW.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8).tolist() == (
        crafted.frames_NHWC.tolist()
    )
    assert crafted.rounding.points == 0, "there was nothing left to round"


def test_every_query_is_counted_and_none_is_asked_for_nothing(watch: Watch, images: ImageSet) -> None:
    artifact, runner = watch()
    crafted = ArtifactQuery(artifact=artifact).craft(ATTACK, images)
    assert runner.num_frames == crafted.queries_N.sum() + NUM_AFTERWARDS * len(images)
    assert crafted.queries_N.max() == 1 + ATTACK.queries
    assert crafted.gradients_N.tolist() == [0] * len(images)
    assert crafted.num_lost_queries == 0


def test_batches_are_those_that_the_profile_takes_and_filling_up_changes_nothing(
    watch: Watch, images: ImageSet
) -> None:
    images = rows_of(images, slice(6))  # four, and two that have to be filled up
    narrow, runner = watch(batch_range=(3, 4))
    wide, _ = watch(batch_range=(1, 64))
    crafted, wanted = (ArtifactQuery(artifact=each).craft(ATTACK, images) for each in (narrow, wide))
    assert {len(batch_NHWC) for batch_NHWC in runner.asked} == {3, 4}
    assert (crafted.frames_NHWC == wanted.frames_NHWC).all()
    assert crafted.queries_N.tolist() == wanted.queries_N.tolist()
    assert (narrow.labels_of(images.images_NHWC) == wide.labels_of(images.images_NHWC)).all()
    assert narrow.labels_of(images.images_NHWC[:0]).shape == (0,)


def test_queries_fool_the_artifact(int8_artifact: Artifact, sign_images: ImageSet) -> None:
    images, scenario = rows_of(sign_images, slice(10)), ArtifactQuery(artifact=int8_artifact)
    crafted = scenario.craft(Square(epsilon=24 / 255, queries=40), images)
    num_right = [int((scenario.labels_of(frames) == images.labels_N).sum())
                 for frames in (images.images_NHWC, crafted.frames_NHWC)]  # fmt: skip
    assert num_right[1] < num_right[0]
    assert num_right[1] == crafted.rounding.num_right_rounded


@pytest.mark.parametrize("kept", ["in memory", "on disk"])
def test_an_interrupted_attack_goes_on_where_it_was(kept: str, watch: Watch, images: ImageSet, tmp_path: Path) -> None:
    whole, calm = watch()
    wanted = ArtifactQuery(artifact=whole).craft(ATTACK, images, number=1)
    artifact, runner = watch(failing_call=6)
    folder = tmp_path if kept == "on disk" else None
    scenario = ArtifactQuery(artifact=artifact, folder=folder)
    with pytest.raises(ArtifactError, match=r"model\.int8\.onnx: .* after \d+ answers .*the cable was pulled; .*again"):
        scenario.craft(ATTACK, images, number=1)
    num_lost = len(runner.asked[-1])
    if folder is not None:
        assert len(list(folder.iterdir())) == 1
        scenario = ArtifactQuery(artifact=artifact, folder=folder)  # another process
    crafted = scenario.craft(ATTACK, images, number=1)
    assert (crafted.frames_NHWC == wanted.frames_NHWC).all()
    assert crafted.queries_N.tolist() == wanted.queries_N.tolist()
    assert crafted.num_lost_queries == num_lost
    assert runner.num_frames == calm.num_frames + num_lost, "no answer was asked for twice"
    assert not list(tmp_path.iterdir())


def test_what_is_kept_is_of_one_attack_and_batch_alone(watch: Watch, images: ImageSet) -> None:
    artifact, runner = watch(failing_call=2)
    scenario = ArtifactQuery(artifact=artifact)
    with pytest.raises(ArtifactError):
        scenario.craft(ATTACK, images)
    num_before = runner.num_frames
    crafted = scenario.craft(replace(ATTACK, seed=4), images)
    assert crafted.num_lost_queries == 0
    assert runner.num_frames - num_before == crafted.queries_N.sum() + NUM_AFTERWARDS * len(images)
    assert scenario.craft(ATTACK, images).num_lost_queries > 0


@pytest.mark.parametrize("change", [{"device": "another CPU"}, {"batch_range": (1, 3)}, {"sha256": "0" * 64}], ids=str)
def test_what_another_file_or_device_answered_is_not_taken(
    change: dict[str, Any], watch: Watch, images: ImageSet, tmp_path: Path
) -> None:
    artifact, _ = watch(failing_call=6)
    with pytest.raises(ArtifactError):
        ArtifactQuery(artifact=artifact, folder=tmp_path).craft(ATTACK, images)
    healed, _ = watch()
    moved = ArtifactQuery(artifact=replace(healed, **change), folder=tmp_path)
    assert moved.craft(ATTACK, images).num_lost_queries == 0
    assert ArtifactQuery(artifact=healed, folder=tmp_path).craft(ATTACK, images).num_lost_queries > 0


def test_what_other_code_asked_is_not_gone_on_with(
    watch: Watch, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, _ = watch(failing_call=6)
    with pytest.raises(ArtifactError):
        ArtifactQuery(artifact=artifact, folder=tmp_path).craft(ATTACK, images)
    monkeypatch.setattr(artifact_query, "made_by", lambda: {"code": "another"})
    assert ArtifactQuery(artifact=artifact, folder=tmp_path).craft(ATTACK, images).num_lost_queries == 0


def test_an_interrupt_by_hand_keeps_the_answers_too(watch: Watch, images: ImageSet) -> None:
    artifact, runner = watch(failing_call=5, error=KeyboardInterrupt())
    scenario = ArtifactQuery(artifact=artifact)
    with pytest.raises(KeyboardInterrupt):
        scenario.craft(ATTACK, images)
    crafted = scenario.craft(ATTACK, images)
    assert runner.num_frames == crafted.queries_N.sum() + NUM_AFTERWARDS * len(images) + crafted.num_lost_queries


def test_a_transcript_of_other_frames_or_a_broken_one_is_refused(
    watch: Watch, images: ImageSet, tmp_path: Path
) -> None:
    artifact, _ = watch(failing_call=4)
    scenario = ArtifactQuery(artifact=artifact, folder=tmp_path)
    with pytest.raises(ArtifactError):
        scenario.craft(ATTACK, images)
    (path,) = tmp_path.iterdir()
    other = Transcript.load(path)
    other.rewind()
    with pytest.raises(ArtifactError, match=f"got other frames.*remove {path} and start"):
        other.ask(artifact, images.images_NHWC[3:5])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ArtifactError, match="remove it and start"):
        ArtifactQuery(artifact=artifact, folder=tmp_path).craft(ATTACK, images)


def test_what_is_no_8_bit_attack_is_refused_by_name(int8_artifact: Artifact, images: ImageSet, tmp_path: Path) -> None:
    scenario = ArtifactQuery(artifact=int8_artifact, folder=tmp_path)
    with pytest.raises(ConfigError, match="got PGD; run that one in artifact-transfer or artifact-fake-quant"):
        scenario.craft(PGD(steps=1), images)
    with pytest.raises(ConfigError, match="at least one 8-bit level"):
        scenario.craft(Square(epsilon=0.9 / 255), images)
    names = tuple(f"class {k}" for k in range(99))
    strange = ImageSet(name="strange", images_NHWC=images.images_NHWC[:2], labels_N=np.array([3, 98]),
                       class_names=names)  # fmt: skip
    with pytest.raises(DataError, match="labels below"):
        scenario.craft(ATTACK, strange)


def test_logits_that_are_not_finite_are_an_error_and_no_success(int8_artifact: Artifact, images: ImageSet) -> None:
    def broken(frames_NHWC: NDArray[np.uint8]) -> Outputs:
        held = int8_artifact.runner(frames_NHWC)
        return replace(held, logits_NK=np.full_like(held.logits_NK, np.nan))

    with pytest.raises(ArtifactError, match="finite logits"):
        ArtifactQuery(artifact=replace(int8_artifact, runner=broken)).craft(ATTACK, images)
