"""Calibration sets: of the mixture asked for, the same for the same seed, and refused where nothing can be learnt."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from capgan_calibration.attacker import AttackConfig, Attacker, check_same_pair
from capgan_calibration.frames import make_calibration_set, sha256_of_frames
from capgan_calibration.images import Images
from capgan_calibration.mixture import ADVERSARIAL, END_TO_END, PURIFIED, mixture_from_text
from capgan_edge.data.signs import load_signs
from capgan_edge.errors import ConfigError, DataError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.source import Source

CLEAN = mixture_from_text("clean")
LEVELS = 8
"""Epsilon 8/255."""


@pytest.fixture(scope="module")
def signs_images() -> Images:
    drawn = load_signs("test", size_px=32, n=43)
    return Images(name="signs", frames_NHWC=drawn.images_NHWC, labels_N=drawn.labels_N)


def images_of(frames_NHWC: NDArray[np.uint8]) -> Images:
    return Images(name="camera", frames_NHWC=frames_NHWC, labels_N=None)


def random_frames(n: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)


def test_a_mixture_has_exactly_its_counts_and_every_image_once(attacker: Attacker, signs_images: Images) -> None:
    held = make_calibration_set(signs_images, mixture_from_text("clean:2,adversarial:1"), attacker, seed=1)
    sources = signs_images.frames_NHWC.astype(int)
    farthest = np.array(
        [[np.abs(frame - source).max() for source in sources] for frame in held.frames_NHWC.astype(int)]
    )
    assert sorted(farthest.argmin(axis=1)) == list(range(43)), "each image once"
    changes = farthest.min(axis=1)
    assert (changes == 0).sum() == 29
    assert ((changes > 0) & (changes <= LEVELS)).sum() == 14
    assert held.mixture == {"clean": 29 / 43, "adversarial": 14 / 43}
    assert held.attack["attack"] == "pgd"
    assert held.attack["label"] == "true"


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(attacker: Attacker, signs_images: Images) -> None:
    few, mixture = signs_images.part(0, 12), mixture_from_text("clean,adversarial-end-to-end")
    first, again, other = (make_calibration_set(few, mixture, attacker, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.frames_NHWC, again.frames_NHWC)
    assert first.sha256 == again.sha256 == sha256_of_frames(first.frames_NHWC)
    assert first.sha256 != other.sha256


def test_attacks_lower_the_accuracy_of_what_they_attack(
    signs_source: Source, signs_images: Images, signs_bundle: Bundle
) -> None:
    def accuracy(frames_NHWC: NDArray[np.uint8], *, is_raw: bool) -> float:
        outputs = runner(frames_NHWC)
        logits_NK = outputs.raw_logits_NK if is_raw else outputs.logits_NK
        assert logits_NK is not None
        return float((logits_NK.argmax(1) == signs_images.labels_N).mean())

    clean, attacker = signs_images.frames_NHWC, Attacker(signs_source, AttackConfig(steps=7))
    crafted = {k: attacker.craft(k, clean, signs_images.labels_N) for k in (ADVERSARIAL, END_TO_END, PURIFIED)}
    with OrtRunner(signs_bundle.read_artifact()) as runner:
        attacked = accuracy(crafted[ADVERSARIAL], is_raw=True)
        assert attacked < accuracy(clean, is_raw=True) - 0.2
        assert accuracy(crafted[PURIFIED], is_raw=True) > attacked + 0.1
        assert accuracy(crafted[END_TO_END], is_raw=False) < accuracy(crafted[ADVERSARIAL], is_raw=False) - 0.2


def test_without_labels_the_attack_is_away_from_the_victims_own(attacker: Attacker, signs_images: Images) -> None:
    unlabelled = dataclasses.replace(signs_images.part(0, 8), labels_N=None)
    held = make_calibration_set(unlabelled, mixture_from_text("adversarial"), attacker, seed=0)
    assert held.attack["label"] == "the victim's own"
    assert (held.frames_NHWC != unlabelled.frames_NHWC).any()


def test_one_image_copies_of_one_and_black_images_are_refused() -> None:
    one = random_frames(1)
    with pytest.raises(DataError, match="got 1 image;"):
        make_calibration_set(images_of(one), CLEAN, None, seed=0)
    with pytest.raises(DataError, match="got 5 copies of one image"):
        make_calibration_set(images_of(np.repeat(one, 5, axis=0)), CLEAN, None, seed=0)
    with pytest.raises(DataError, match="got 4 copies of one image"):
        make_calibration_set(images_of(np.zeros((4, 4, 4, 3), np.uint8)), CLEAN, None, seed=0)
    shades = np.repeat(np.arange(4, dtype=np.uint8), 48).reshape(4, 4, 4, 3)
    with pytest.raises(DataError, match=r"got 4 of one colour each \(values 0 to 3\)"):
        make_calibration_set(images_of(shades), CLEAN, None, seed=0)


def test_few_images_and_dark_ones_warn() -> None:
    frames_NHWC = random_frames(256)
    assert make_calibration_set(images_of(frames_NHWC), CLEAN, None, seed=0).warnings == ()
    (few,) = make_calibration_set(images_of(frames_NHWC[:255]), CLEAN, None, seed=0).warnings
    assert few.startswith("only 255 images")
    frames_NHWC[:3] //= 255
    (dull,) = make_calibration_set(images_of(frames_NHWC), CLEAN, None, seed=0).warnings
    assert dull.startswith("3 of 256 images span fewer than 16")


def test_another_pair_than_the_bundles_is_refused(attacker: Attacker, signs_bundle: Bundle) -> None:
    check_same_pair(attacker.source, signs_bundle.manifest)
    identity = signs_bundle.manifest.victim.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ConfigError, match=r"whose victim has the weights 000000000000\.\.\."):
        check_same_pair(attacker.source, signs_bundle.manifest.model_copy(update={"victim": identity}))
    held = signs_bundle.manifest.purifier
    other = held.model_copy(update={"config": {**held.config, "padding": "other", "of a later version": 1}})
    with pytest.raises(ConfigError, match=r"of the same weights \(padding is \w+, not other\)"):
        check_same_pair(attacker.source, signs_bundle.manifest.model_copy(update={"purifier": other}))


@pytest.mark.parametrize("settings", [{"epsilon": 1.1}, {"epsilon": -0.1}, {"steps": 0}, {"name": "cw"}])
def test_an_attack_out_of_range_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        AttackConfig(**settings)  # type: ignore[arg-type]
