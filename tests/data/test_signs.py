"""Procedural road signs: repeatable, balanced, distinct, and at any size."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from capgan_edge.data import ImageSet
from capgan_edge.data.signs import (
    DAILY,
    SIGN_CLASSES,
    STUDIO,
    Variation,
    contact_sheet,
    draw_face,
    draw_sign,
    load_signs,
)

GOLDEN_PATH = Path(__file__).parents[1] / "golden" / "signs.json"


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return load_signs("train", n=800)


@pytest.fixture(scope="module")
def unseen() -> ImageSet:
    return load_signs("test", n=200)


def test_a_split_names_itself_and_its_images_are_uint8_rgb(train: ImageSet) -> None:
    assert train.name == "signs-32/train"
    assert train.images_NHWC.shape == (800, 32, 32, 3)
    assert train.images_NHWC.dtype == np.uint8
    assert train.class_names == SIGN_CLASSES


def test_there_are_twenty_classes_with_distinct_names() -> None:
    assert len(SIGN_CLASSES) == len(set(SIGN_CLASSES)) == 20


def test_classes_are_balanced(train: ImageSet) -> None:
    assert set(np.bincount(train.labels_N, minlength=len(SIGN_CLASSES))) == {800 // len(SIGN_CLASSES)}


def test_no_class_is_ahead_of_another_by_more_than_one() -> None:
    counts = np.bincount(load_signs("test", n=31, size_px=16).labels_N, minlength=len(SIGN_CLASSES))
    assert counts.max() - counts.min() == 1


def test_the_same_seed_gives_the_same_images(unseen: ImageSet) -> None:
    assert np.array_equal(load_signs("test", n=200).images_NHWC, unseen.images_NHWC)


def test_a_smaller_n_is_the_start_of_a_larger_one(train: ImageSet) -> None:
    assert np.array_equal(load_signs("train", n=27).images_NHWC, train.images_NHWC[:27])


def test_another_seed_gives_other_images(unseen: ImageSet) -> None:
    other = load_signs("test", n=40, seed=1)
    assert not _digests(other.images_NHWC) & _digests(unseen.images_NHWC)


def test_train_and_test_share_no_image(train: ImageSet, unseen: ImageSet) -> None:
    assert len(_digests(train.images_NHWC)) == len(train)
    assert not _digests(train.images_NHWC) & _digests(unseen.images_NHWC)


def test_the_global_random_state_is_left_alone() -> None:
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    load_signs("test", n=20, size_px=16)
    assert np.random.random() == expected


def test_the_images_are_those_that_the_packaged_weights_were_trained_on() -> None:
    golden = json.loads(GOLDEN_PATH.read_text())
    images_NHWC = load_signs("train", n=len(golden["means"]), seed=golden["seed"]).images_NHWC
    error = np.abs(_coarse(images_NHWC) - np.array(golden["means"]))
    assert error.max() <= golden["tolerance"]


@settings(max_examples=25, deadline=None)
@given(
    size_px=st.integers(16, 160),
    seed=st.integers(0, 2**70),
    class_index=st.integers(0, len(SIGN_CLASSES) - 1),
)
def test_any_size_and_seed_give_a_picture_with_contrast(size_px: int, seed: int, class_index: int) -> None:
    image_HWC = draw_sign(class_index, size_px=size_px, rng=np.random.default_rng(seed))
    assert image_HWC.shape == (size_px, size_px, 3)
    assert image_HWC.dtype == np.uint8
    assert image_HWC.std() > 4
    assert np.array_equal(image_HWC, draw_sign(class_index, size_px=size_px, rng=np.random.default_rng(seed)))


def test_the_largest_size_is_drawn() -> None:
    assert draw_sign(0, size_px=512, rng=np.random.default_rng(0)).shape == (512, 512, 3)


@pytest.mark.parametrize("class_index", [0, 5, 10, 15])
def test_a_larger_picture_shows_the_same_scene(class_index: int) -> None:
    quiet = Variation(noise=0)
    small, large = (
        draw_sign(class_index, size_px=px, rng=np.random.default_rng(class_index), variation=quiet).astype(np.float64)
        for px in (32, 128)
    )
    reduced = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(reduced - small).mean() < 5


def test_a_linear_probe_learns_much_but_not_all(train: ImageSet, unseen: ImageSet) -> None:
    """Chance is 5 %; a linear model that reached 95 % would mean that there is nothing left to learn."""
    accuracy = _ridge_accuracy(train, unseen)
    assert 0.3 < accuracy < 0.95


def test_the_faces_of_all_classes_differ() -> None:
    faces = np.stack([draw_face(index, size_px=64) for index in range(len(SIGN_CLASSES))]).astype(np.float64)
    distance = np.abs(faces[:, None] - faces[None]).mean((2, 3, 4))
    assert (distance + 255 * np.eye(len(SIGN_CLASSES))).min() > 1.5


def test_a_face_is_transparent_around_the_sign_and_opaque_inside() -> None:
    face_HW4 = draw_face(SIGN_CLASSES.index("no entry"), size_px=64)
    assert face_HW4.shape == (64, 64, 4)
    assert face_HW4[0, 0, 3] == 0
    assert face_HW4[32, 32].tolist() == [246, 246, 242, 255]


def test_left_and_right_are_mirror_images() -> None:
    left, right = (
        draw_face(SIGN_CLASSES.index(f"curve {side}"), size_px=128).astype(int) for side in ("left", "right")
    )
    assert np.abs(left[:, ::-1] - right).mean() < 1
    assert np.abs(left - right).mean() > 5


def test_a_given_backdrop_is_what_stands_around_the_sign() -> None:
    backdrop_HWC = np.full((64, 64, 3), (10, 200, 90), np.uint8)
    small = Variation(fill=(0.4, 0.4), light=0, noise=0, obstacle_share=0)
    image_HWC = draw_sign(1, size_px=64, rng=np.random.default_rng(3), variation=small, backdrop_HWC=backdrop_HWC)
    assert np.abs(image_HWC[:4].astype(int) - (10, 200, 90)).max() <= 1
    assert np.abs(image_HWC[24:40, 24:40].astype(int) - (10, 200, 90)).max() > 80


def test_a_backdrop_moves_nothing_of_the_sign() -> None:
    kwargs: dict[str, Any] = {"size_px": 64, "variation": STUDIO}
    drawn = draw_sign(3, rng=np.random.default_rng(5), **kwargs)
    given_ = draw_sign(3, rng=np.random.default_rng(5), backdrop_HWC=np.zeros((64, 64, 3), np.uint8), **kwargs)
    assert np.array_equal(drawn[28:36, 28:36], given_[28:36, 28:36])
    assert not np.array_equal(drawn, given_)


def test_the_studio_shows_the_clean_face() -> None:
    studio = Variation(fill=(1.0, 1.0), tilt=0, wear=0, shadow_share=0, obstacle_share=0, light=0, blur=0, noise=0)
    image_HWC = draw_sign(
        SIGN_CLASSES.index("priority road"), size_px=64, rng=np.random.default_rng(0), variation=studio
    )
    assert np.abs(image_HWC[32, 32].astype(int) - (252, 190, 12)).max() <= 1


def test_variations_differ_from_the_studio() -> None:
    daily, studio = (draw_sign(0, size_px=32, rng=np.random.default_rng(0), variation=v) for v in (DAILY, STUDIO))
    assert not np.array_equal(daily, studio)


def test_a_contact_sheet_is_a_png_of_all_images(unseen: ImageSet) -> None:
    sheet = Image.open(io.BytesIO(contact_sheet(unseen.images_NHWC[:7], columns=4, scale=2)))
    assert sheet.format == "PNG"
    assert sheet.size == (4 * 66 + 2, 2 * 66 + 2)
    assert np.array_equal(np.asarray(sheet)[2:66:2, 2:66:2], unseen.images_NHWC[0])


def _digests(images_NHWC: NDArray[np.uint8]) -> set[bytes]:
    return {image_HWC.tobytes() for image_HWC in images_NHWC}


def _coarse(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean colours of 4 x 4 tiles, [N, 4, 4, 3]."""
    n, height, width, _ = images_NHWC.shape
    means: NDArray[np.float64] = images_NHWC.reshape(n, 4, height // 4, 4, width // 4, 3).mean((2, 4))
    return means


def _ridge_accuracy(train: ImageSet, unseen: ImageSet) -> float:
    def features(data: ImageSet) -> NDArray[np.float64]:
        pixels = data.images_NHWC.reshape(len(data), 16, 2, 16, 2, 3).mean((2, 4)).reshape(len(data), -1)
        normal: NDArray[np.float64] = (pixels - pixels.mean(1, keepdims=True)) / (pixels.std(1, keepdims=True) + 1)
        return normal

    train_ND, unseen_ND = features(train), features(unseen)
    targets_NK = np.eye(len(SIGN_CLASSES))[train.labels_N]
    gram = train_ND @ train_ND.T
    weights_NK = np.linalg.solve(gram + 0.05 * np.trace(gram) / len(train) * np.eye(len(train)), targets_NK)
    predicted_N = (unseen_ND @ train_ND.T @ weights_NK).argmax(1)
    return float((predicted_N == unseen.labels_N).mean())
