"""Crafted batches on disk: read as written, named by all that they depend on, made again where broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from capgan_benchmarks.robustness import store as store_module
from capgan_benchmarks.robustness.store import BatchStore, batch_key
from capgan_benchmarks.threats.crafted import CraftedSet
from capgan_benchmarks.threats.made_by import code_files, made_by, sha256_of_code
from capgan_benchmarks.threats.rounding import RoundingLoss
from capgan_edge.attacks import PGD
from capgan_edge.data.images import ImageSet

KEY = "ab" + 62 * "0"


@pytest.fixture
def crafted() -> CraftedSet:
    rng = np.random.default_rng(0)
    return CraftedSet(
        name="PGD-2", knowledge="f", scenario="transfer", settings={"attack": "PGD-2", "epsilon": 8 / 255},
        x_NCHW=torch.rand(3, 3, 8, 8), frames_NHWC=rng.integers(0, 256, (3, 8, 8, 3), np.uint8),
        labels_N=np.array([0, 1, 2]), queries_N=np.array([2, 2, 2]), gradients_N=np.array([2, 2, 1]),
        l2_N=rng.random(3), rounding=RoundingLoss(judge="f", n=3, num_right_float=1, num_right_rounded=2),
        num_lost_queries=4, seconds=1.5,
    )  # fmt: skip


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, lines: list[str]) -> BatchStore:
    return BatchStore(tmp_path / "cache", lines.append)


def entry(store: BatchStore) -> Path:
    (path,) = store.root.rglob("*.npz")
    return path


def test_a_batch_is_read_as_it_was_written_without_its_floats(store: BatchStore, crafted: CraftedSet) -> None:
    assert store.load(KEY) is None
    store.save(KEY, crafted)
    found = store.load(KEY)
    assert found is not None
    for name in ("frames_NHWC", "labels_N", "queries_N", "gradients_N", "l2_N"):
        assert np.array_equal(getattr(found, name), getattr(crafted, name)), name
    for name in ("name", "knowledge", "scenario", "settings", "rounding", "num_lost_queries", "seconds"):
        assert getattr(found, name) == getattr(crafted, name), name
    assert found.x_NCHW.shape == (0, 3, 8, 8)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    at = data.index(b"labels_N.npy") + 12 + 128
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def emptied(data: bytes) -> bytes:
    return b""


def as_text(data: bytes) -> bytes:
    return b"not a zip"


def slower(data: bytes) -> bytes:
    assert data.count(b'"seconds": 1.5') == 1
    return data.replace(b'"seconds": 1.5', b'"seconds": 9.5')


@pytest.mark.parametrize("damage", [cut, flipped, emptied, as_text, slower], ids=lambda each: each.__name__)
def test_a_broken_entry_is_said_in_one_line_and_made_again(
    store: BatchStore, lines: list[str], crafted: CraftedSet, damage: Callable[[bytes], bytes]
) -> None:
    store.save(KEY, crafted)
    path = entry(store)
    path.write_bytes(damage(path.read_bytes()))
    assert store.load(KEY) is None
    assert len(lines) == 1
    assert "made again" in lines[0]
    assert "\n" not in lines[0]
    store.save(KEY, crafted)
    assert store.load(KEY) is not None


def test_an_entry_under_another_name_is_not_taken(store: BatchStore, lines: list[str], crafted: CraftedSet) -> None:
    store.save(KEY, crafted)
    path = entry(store)
    other = "ab" + 62 * "1"
    path.rename(path.with_name(f"{other}.npz"))
    assert store.load(other) is None
    assert "not what was written under this name" in lines[0]


def test_nothing_is_unpickled(store: BatchStore, lines: list[str], crafted: CraftedSet) -> None:
    store.save(KEY, crafted)
    hostile = np.array([{"an": "object"}], object)
    np.savez(entry(store), **dict.fromkeys(("frames_NHWC", "labels_N", "facts"), hostile))
    assert store.load(KEY) is None
    assert len(lines) == 1


def test_a_folder_that_cannot_be_written_is_said_once_and_done_without(
    tmp_path: Path, lines: list[str], crafted: CraftedSet
) -> None:
    (tmp_path / "file").write_text("in the way")
    store = BatchStore(tmp_path / "file", lines.append)
    store.save(KEY, crafted)
    store.save(KEY, crafted)
    assert store.load(KEY) is None
    assert len(lines) == 1
    assert "--cache" in lines[0]


def test_the_name_depends_on_all_that_the_frames_depend_on(signs: ImageSet) -> None:
    few = replace(signs, images_NHWC=signs.images_NHWC[:4], labels_N=signs.labels_N[:4])
    usual: dict[str, Any] = {"scenario": "bpda", "target_sha256": "a", "attack": PGD(steps=2), "number": 0,
                             "images": few, "extra": None}  # fmt: skip
    relabelled = replace(few, labels_N=few.labels_N[::-1].copy())
    others = [{"scenario": "transfer"}, {"target_sha256": "b"}, {"attack": PGD(steps=3)}, {"number": 1},
              {"attack": PGD(steps=2, seed=1)}, {"attack": PGD(steps=2, epsilon=0.1)}, {"images": relabelled},
              {"extra": {"temperature": 2.0}},
              {"images": replace(few, images_NHWC=255 - few.images_NHWC)}]  # fmt: skip
    keys = {batch_key(**usual), *(batch_key(**{**usual, **other}) for other in others)}
    assert len(keys) == 1 + len(others)
    assert batch_key(**usual) in keys
    renamed = replace(few, name="the same under another name")
    assert batch_key(**{**usual, "images": renamed}) == batch_key(**usual)


def test_the_name_depends_on_the_code_and_the_versions_that_craft() -> None:
    names = {f"{path.parent.name}/{path.name}" for path in code_files()}
    crafting = {"attacks/pgd.py", "threats/crafting.py", "threats/made_by.py", "models/purifier.py",
                "models/blocks.py", "models/victim.py", "models/onnx_ops.py", "capgan_export/fused.py",
                "capgan_export/reference.py"}  # fmt: skip
    assert crafting <= names
    held = made_by()
    assert held["code"] == sha256_of_code(code_files())
    assert {"capgan-edge", "onnx", "onnxruntime", "torch", "numpy"} < set(held)
    assert all(version[0].isdigit() for name, version in held.items() if name != "code")


@pytest.mark.parametrize("tool", ["capgan-edge", "onnx", "code"])
def test_another_version_is_another_name(tool: str, signs: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    usual: dict[str, Any] = {"scenario": "bpda", "target_sha256": "a", "attack": PGD(steps=2), "number": 0,
                             "images": signs}  # fmt: skip
    before = batch_key(**usual)
    monkeypatch.setattr(store_module, "made_by", lambda: {**made_by(), tool: "another"})
    assert batch_key(**usual) != before


def test_code_is_told_apart_by_names_and_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_bytes(b"a = 1\n")
    other.write_bytes(b"b = 1\n")
    before = sha256_of_code([one, other])
    other.write_bytes(b"b = 2\n")
    assert sha256_of_code([one, other]) != before
    one.write_bytes(b"")
    other.write_bytes(b"a = 1\nb = 1\n")
    assert sha256_of_code([one, other]) != before
