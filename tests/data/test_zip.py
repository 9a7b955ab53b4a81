"""Zips read in place: equal to their folder, and damaged or hostile ones refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from capgan_edge.data import load
from capgan_edge.errors import DataError

Pack = Callable[..., Path]
Make = Callable[..., Path]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("prefix", ["", "inner/"])
def test_a_zip_gives_what_its_folder_gives(make_folder: Make, zip_of: Pack, prefix: str, compression: int) -> None:
    root = make_folder(num=3)
    packed = zip_of(root, prefix=prefix, compression=compression)
    before = {file for file in root.parent.rglob("*") if "cache" not in file.parts}
    for split in ("train", "test"):
        from_folder, from_zip = load(root, split), load(packed, split)
        assert from_zip.name == f"set/{split}"
        assert from_zip.class_names == from_folder.class_names
        assert np.array_equal(from_zip.labels_N, from_folder.labels_N)
        assert np.array_equal(from_zip.images_NHWC, from_folder.images_NHWC)
    assert {file for file in root.parent.rglob("*") if "cache" not in file.parts} == before, "nothing is unpacked"


def test_a_zip_member_with_changed_bytes_is_skipped(make_folder: Make, zip_of: Pack) -> None:
    packed = zip_of(make_folder(size_px=16), compression=zipfile.ZIP_STORED)
    content = bytearray(packed.read_bytes())
    content[content.index(b"IDAT") + 20] ^= 0xFF
    packed.write_bytes(content)
    with pytest.raises(DataError, match="Bad CRC-32"):
        load(packed, "test")


def test_a_zip_member_that_claims_to_be_huge_is_not_unpacked(make_folder: Make, zip_of: Pack) -> None:
    packed = zip_of(make_folder())
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/bomb.png", bytes(65 << 20))
    with pytest.raises(DataError, match=r"train/cat/bomb\.png \(larger than 64 MiB\)"):
        load(packed, "train")


def test_an_encrypted_zip_is_refused(make_folder: Make, zip_of: Pack) -> None:
    packed = zip_of(make_folder(), compression=zipfile.ZIP_STORED)
    content = bytearray(packed.read_bytes())
    offset = content.index(b"PK\x01\x02")
    while offset >= 0:
        content[offset + 8] |= 1
        offset = content.find(b"PK\x01\x02", offset + 4)
    packed.write_bytes(content)
    with pytest.raises(DataError, match="without a password"):
        load(packed, "train")


def test_a_zip_in_another_compression_is_refused(make_folder: Make, zip_of: Pack) -> None:
    with pytest.raises(DataError, match="stored or deflated"):
        load(zip_of(make_folder(), compression=zipfile.ZIP_LZMA), "train")


def test_a_zip_with_the_same_name_twice_is_refused(make_folder: Make, zip_of: Pack) -> None:
    packed = zip_of(make_folder())
    with zipfile.ZipFile(packed, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("train/cat/000.png", b"other")
    with pytest.raises(DataError, match=r"train/cat/000\.png twice"):
        load(packed, "train")


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_truncated_zip_is_an_error(make_folder: Make, zip_of: Pack, keep: int) -> None:
    packed = zip_of(make_folder())
    packed.write_bytes(packed.read_bytes()[:keep])
    with pytest.raises(DataError, match="expected a zip of images"):
        load(packed, "train")


def test_a_name_that_climbs_out_of_a_zip_is_no_image(make_folder: Make, zip_of: Pack, tmp_path: Path) -> None:
    packed = zip_of(make_folder())
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("train/cat/../../../escaped.png", b"x")
    assert len(load(packed, "train")) == 4
    assert not list(tmp_path.rglob("escaped.png"))
