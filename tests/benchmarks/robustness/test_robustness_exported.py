"""Attacked sets on disk: the round trip, and everything that is not the set of these images."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capgan_benchmarks.robustness.exported import SetFacts, read_manifest, read_set, write_set
from capgan_benchmarks.robustness.image_source import identity_of
from capgan_benchmarks.threats.crafted import CraftedSet
from capgan_benchmarks.threats.crafting import images_as_floats
from capgan_benchmarks.threats.rounding import RoundingLoss
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CapganError, DataError

N, LEVELS = 6, 8


def make_images(seed: int = 0, *, n: int = N, size_px: int = 8) -> ImageSet:
    random = np.random.default_rng(seed)
    return ImageSet(name="dots/test", images_NHWC=random.integers(0, 256, (n, size_px, size_px, 3), np.uint8),
                    labels_N=random.integers(0, 3, n), class_names=("a", "b", "c"))  # fmt: skip


def make_crafted(images: ImageSet, levels: int = LEVELS) -> CraftedSet:
    moves = np.random.default_rng(1).integers(-levels, levels, images.images_NHWC.shape, endpoint=True)
    frames_NHWC = (images.images_NHWC + moves).clip(0, 255).astype(np.uint8)
    n = len(images)
    return CraftedSet(
        name="PGD-7", knowledge="f(T(.))", scenario="end-to-end",
        settings={"attack": "PGD-7", "epsilon": LEVELS / 255, "steps": 7, "step_size": None, "seed": 3},
        x_NCHW=images_as_floats(frames_NHWC) + 1e-4, frames_NHWC=frames_NHWC, labels_N=images.labels_N,
        queries_N=np.arange(n), gradients_N=np.full(n, 7), l2_N=np.linspace(0.1, 0.2, n),
        rounding=RoundingLoss(judge="f(T(.))", n=n, num_right_float=1, num_right_rounded=2), num_lost_queries=4,
        seconds=1.5,
    )  # fmt: skip


def facts_of(images: ImageSet, epsilon: float | None = LEVELS / 255) -> SetFacts:
    return SetFacts(subject="signs-nano", systems={"purified (torch)": "ab" * 32}, epsilon=epsilon, seed=3, batch=64,
                    data=identity_of(images, num_available=100, seed=3))  # fmt: skip


@pytest.fixture
def images() -> ImageSet:
    return make_images()


@pytest.fixture
def path(tmp_path: Path, images: ImageSet) -> Path:
    write_set(tmp_path / "set.npz", make_crafted(images), images, facts_of(images))
    return tmp_path / "set.npz"


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Write the file anew with its arrays and its manifest as `change` leaves them."""
    with np.load(path, allow_pickle=False) as held:
        arrays = dict(held)
    manifest = json.loads(arrays.pop("manifest").tobytes())
    change(arrays, manifest)
    np.savez(path, manifest=np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays)


def test_a_set_comes_back_as_it_was_with_its_frames_for_float_images(path: Path, images: ImageSet) -> None:
    wanted, found = make_crafted(images), read_set(path, images).crafted
    for name in ("frames_NHWC", "labels_N", "queries_N", "gradients_N", "l2_N"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name))
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    for name in ("name", "knowledge", "scenario", "settings", "rounding", "num_lost_queries", "seconds"):
        assert getattr(found, name) == getattr(wanted, name)
    assert np.array_equal(found.x_NCHW.numpy(), images_as_floats(wanted.frames_NHWC).numpy())


def test_how_many_fool_and_how_far_away_comes_back_and_an_older_set_does_not_know_it(
    path: Path, images: ImageSet
) -> None:
    write_set(path, replace(make_crafted(images), num_fooled=4, sum_l2_fooled=0.5), images, facts_of(images))
    held = read_set(path, images).crafted
    assert (held.num_fooled, held.sum_l2_fooled) == (4, 0.5)

    def as_before(arrays: dict[str, Any], manifest: dict[str, Any]) -> None:
        del manifest["num_fooled"], manifest["sum_l2_fooled"]

    rewritten(path, as_before)
    assert read_set(path, images).crafted.num_fooled is None


def test_the_manifest_says_what_by_whom_and_of_what(path: Path, images: ImageSet) -> None:
    manifest = read_manifest(path)
    assert (manifest.subject, manifest.scenario, manifest.attack, manifest.n) == (
        "signs-nano",
        "end-to-end",
        "PGD-7",
        N,
    )
    assert manifest.epsilon == LEVELS / 255
    assert manifest.systems == {"purified (torch)": "ab" * 32}
    assert manifest.data == identity_of(images, num_available=100, seed=3)
    assert {"capgan-edge", "torch", "numpy"} <= set(manifest.tools)
    assert str(path.parent) not in manifest.model_dump_json()


def test_of_more_images_the_first_are_meant(path: Path, images: ImageSet) -> None:
    more = replace(images, images_NHWC=np.concatenate([images.images_NHWC, make_images(5).images_NHWC]),
                   labels_N=np.concatenate([images.labels_N, make_images(5).labels_N]))  # fmt: skip
    assert len(read_set(path, more).crafted.labels_N) == N


class Foreign(NamedTuple):
    name: str
    images: Callable[[ImageSet], ImageSet]
    message: str


FOREIGN = [
    Foreign("other images", lambda held: make_images(9), r"6 of 6 have another image, the first at index 0"),
    Foreign("another order", lambda held: replace(held, images_NHWC=held.images_NHWC[[0, 1, 3, 2, 4, 5]]),
            r"2 of 6 have another image, the first at index 2; it was crafted from dots/test, n = 6, seed 3: take"),
    Foreign("a label", lambda held: replace(held, labels_N=(held.labels_N + np.eye(N, dtype=int)[4]) % 3),
            r"1 of 6 have another label, the first at index 4"),
    Foreign("another size", lambda held: make_images(size_px=12), r"frames of \[12, 12, 3\].* got \[8, 8, 3\]"),
    Foreign("fewer", lambda held: make_images(n=4), r"at most the 4 images at hand, got one of 6 .*--n 6"),
]  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN, ids=lambda case: case.name)
def test_other_images_than_it_was_crafted_from_are_refused(case: Foreign, path: Path, images: ImageSet) -> None:
    with pytest.raises(DataError, match=case.message):
        read_set(path, case.images(images))


def flip_a_bit(arrays: dict[str, Any], manifest: dict[str, Any]) -> None:
    arrays["frames_NHWC"][0, 0, 0, 0] ^= 1


def shorten(arrays: dict[str, Any], manifest: dict[str, Any]) -> None:
    arrays["queries_N"] = arrays["queries_N"][:2]


def as_floats(arrays: dict[str, Any], manifest: dict[str, Any]) -> None:
    arrays["frames_NHWC"] = arrays["frames_NHWC"] / 255


def unpickle(arrays: dict[str, Any], manifest: dict[str, Any]) -> None:
    arrays["l2_N"] = np.array([{}] * N, object)


DAMAGED: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], None], str]] = {
    "a bit": (flip_a_bit, "frames_NHWC is not what its manifest describes"),
    "too short an array": (shorten, "queries_N is not what"),
    "floats": (as_floats, r"frames_NHWC is float64 \[6, 8, 8, 3\]"),
    "a pickle": (unpickle, "allow_pickle=False"),
    "an array is missing": (lambda arrays, manifest: arrays.pop("labels_N"), "labels_N"),
    "another schema": (lambda arrays, manifest: manifest.update(schema_version=2), "schema 1, but: 'schema_version'"),
    "another kind": (lambda arrays, manifest: manifest.update(kind="robustness"), "kind"),
    "an epsilon of 8": (lambda arrays, manifest: manifest.update(epsilon=8), "epsilon"),
    "a field too many": (lambda arrays, manifest: manifest.update(extra=1), "extra"),
    "no hash of an array": (lambda arrays, manifest: manifest["arrays"].pop("l2_N"), "l2_N is not what"),
}


@pytest.mark.parametrize(("change", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_set_is_refused_in_a_line(
    change: Callable[[dict[str, Any], dict[str, Any]], None], message: str, path: Path, images: ImageSet
) -> None:
    rewritten(path, change)
    with pytest.raises(DataError, match=message) as raised:
        read_set(path, images)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("export it again")


def test_what_is_no_set_is_refused(tmp_path: Path, images: ImageSet) -> None:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    contents = {"text.npz": b"hello", "array.npz": file.getvalue(), "empty.npz": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("manifest.npy", b"x")
    for name in (*contents, "other.npz", "missing.npz"):
        with pytest.raises(DataError, match=r"expected an attacked set \(\.npz\)"):
            read_set(tmp_path / name, images)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_byte_changed_anywhere_is_noticed_or_changes_nothing(
    place: float, value: int, path: Path, images: ImageSet
) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] = value
    changed = path.with_name("changed.npz")
    changed.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy and zipfile warn of some odd headers before they raise
        try:
            found = read_set(changed, images).crafted
        except DataError:
            return
    wanted = make_crafted(images)
    assert np.array_equal(found.frames_NHWC, wanted.frames_NHWC)
    assert np.array_equal(found.l2_N, wanted.l2_N)


def test_a_frame_outside_of_epsilon_is_refused_and_without_a_bound_any_frame_may_be(
    tmp_path: Path, images: ImageSet
) -> None:
    far, path = make_crafted(images, levels=9), tmp_path / "far.npz"
    write_set(path, far, images, facts_of(images))
    with pytest.raises(DataError, match=r"8 levels of 255, of their originals, got one 9 levels away"):
        read_set(path, images)
    unbounded = replace(far, settings={"attack": "CWL2-9"})
    write_set(path, unbounded, images, facts_of(images, epsilon=None))
    found = read_set(path, images)
    assert np.array_equal(found.crafted.frames_NHWC, far.frames_NHWC)
    assert found.manifest.epsilon is None


class Contradiction(NamedTuple):
    name: str
    changes: dict[str, Any]
    settings: dict[str, Any]
    message: str


CONTRADICTIONS = [
    Contradiction(
        "a wider manifest", {"epsilon": 1.0}, {}, r"settings of epsilon 1\.0, as the manifest has it, got 0\.03"
    ),
    Contradiction("a narrower label", {}, {"epsilon": 4 / 255}, "settings of epsilon 0.03.*, got 0.015"),
    Contradiction("an epsilon in words", {}, {"epsilon": "many"}, "as the manifest has it, got 'many'"),
    Contradiction("an epsilon of nothing", {}, {"epsilon": None}, "as the manifest has it, got None"),
    Contradiction("no threat model", {"scenario": "foo"}, {}, "threat model among transfer, .*, got 'foo'"),
    Contradiction("of clean images", {"scenario": "clean"}, {}, "threat model among transfer, .*, got 'clean'"),
    Contradiction("no number", {}, {"kappa": float("nan")}, "JSON compliant"),
]


@pytest.mark.parametrize("case", CONTRADICTIONS, ids=lambda case: case.name)
def test_a_set_that_contradicts_itself_is_refused(case: Contradiction, path: Path, images: ImageSet) -> None:
    def change(arrays: dict[str, Any], manifest: dict[str, Any]) -> None:
        manifest |= case.changes
        manifest["settings"] |= case.settings

    rewritten(path, change)
    with pytest.raises(DataError, match=case.message) as raised:
        read_set(path, images)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("name", "value"), [("queries_N", -1), ("gradients_N", 1 << 50), ("l2_N", np.nan)])
def test_counts_and_distances_that_are_none_are_refused(
    name: str, value: float, tmp_path: Path, images: ImageSet
) -> None:
    crafted, path = make_crafted(images), tmp_path / "odd.npz"
    array_N = getattr(crafted, name).copy()
    array_N[2] = value
    write_set(path, replace(crafted, **{name: array_N}), images, facts_of(images))
    with pytest.raises(DataError, match=f"of 0 or more, got others in {name}"):
        read_set(path, images)


def test_a_set_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, images: ImageSet) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CapganError, match="expected to write"):
        write_set(tmp_path / "file" / "set.npz", make_crafted(images), images, facts_of(images))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
