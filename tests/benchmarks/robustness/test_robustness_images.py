"""Which images are attacked: the same first ones for any n, and none that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from capgan_benchmarks.robustness.image_source import ImageSource, identity_of
from capgan_benchmarks.robustness.subject import Subject
from capgan_edge.errors import ConfigError, DataError

LABELS, NUM_EACH = ("go", "stop"), 15


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 15 test images of 16 px, each of a grey of its own."""
    path = tmp_path_factory.mktemp("data") / "lamps"
    for label, name in enumerate(LABELS):
        (path / "test" / name).mkdir(parents=True)
        for index in range(NUM_EACH):
            grey = 100 * label + index
            Image.new("RGB", (16, 16), (grey, grey, grey)).save(path / "test" / name / f"{index:02}.png")
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "decoded"))


def source(folder: Path | str, *, labels: tuple[str, ...] = LABELS, size_px: tuple[int, int] = (16, 16),
           is_own: bool = False) -> ImageSource:  # fmt: skip
    return ImageSource(subject="lamps", source=folder, is_own=is_own, labels=labels, size_px=size_px)


def test_fewer_images_are_the_first_of_more_and_of_both_classes(folder: Path) -> None:
    few, num_available = source(folder).load(8, 1)
    every, _ = source(folder).load(None, 1)
    assert num_available == len(every) == 2 * NUM_EACH
    assert np.array_equal(every.images_NHWC[:8], few.images_NHWC)
    assert set(few.labels_N.tolist()) == {0, 1}
    assert (every.labels_N == (every.images_NHWC[:, 0, 0, 0] >= 100)).all()


def test_another_seed_chooses_other_images_and_the_record_tells(folder: Path) -> None:
    hashes = []
    for seed in (0, 1):
        images, num_available = source(folder).load(8, seed)
        identity = identity_of(images, num_available=num_available, seed=seed)
        assert (identity.name, identity.n, identity.num_available) == ("lamps/test", 8, 30)
        hashes.append(identity.sha256)
    assert hashes[0] != hashes[1]


def test_n_larger_than_the_data_is_refused_unless_it_is_the_tiers(folder: Path) -> None:
    with pytest.raises(DataError, match="at most 30 images, all that lamps/test has, got n = 31"):
        source(folder).load(31, 0)
    assert len(source(folder).load(200, 0, takes_fewer=True)[0]) == 30


def test_images_of_another_size_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected frames of 32x32 px.*got lamps/test of 16x16"):
        source(folder, size_px=(32, 32)).load(4, 0)


@pytest.mark.parametrize("labels", [("go", "halt", "stop"), ("stop", "go")], ids=["more classes", "another order"])
def test_data_whose_labels_mean_others_is_refused(folder: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=f"lamps's {len(labels)} classes .*got lamps/test with 2"):
        source(folder, labels=labels).load(4, 0)


def test_a_subjects_own_data_that_has_changed_says_how_to_name_another(folder: Path) -> None:
    with pytest.raises(DataError, match=r"lamps's own data: .*--data"):
        source(folder, labels=("go", "halt", "stop"), is_own=True).load(4, 0)


def test_signs_are_drawn_as_many_as_are_asked_for(subject: Subject) -> None:
    images = subject.images(5, 7)
    assert len(images) == 5
    assert np.array_equal(images.images_NHWC, subject.images(50, 0).images_NHWC[:5])
    with pytest.raises(DataError, match="at most 2000 images"):
        subject.images(2001, 0)
