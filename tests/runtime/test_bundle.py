"""A bundle opens only when it is whole, unchanged and contained; it is written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.manifest import ArtifactRecord, Manifest

MODEL = "model.fp32.onnx"


def _edit(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = root / "manifest.json"
    raw = json.loads(path.read_bytes())
    change(raw)
    path.write_text(json.dumps(raw))


def _rename_in_manifest(root: Path, name: str) -> None:
    _edit(root, lambda raw: raw["files"].update({name: raw["files"][MODEL]}))


def _flip_a_byte(root: Path) -> None:
    data = bytearray((root / MODEL).read_bytes())
    data[len(data) // 2] ^= 1
    (root / MODEL).write_bytes(data)


def _link_outside(root: Path) -> None:
    outside = root.parent / "elsewhere.onnx"
    (root / MODEL).rename(outside)
    (root / MODEL).symlink_to(outside)


def _link_folder_outside(root: Path) -> None:
    outside = root.parent / "elsewhere"
    outside.mkdir()
    (outside / "a.onnx").write_bytes((root / MODEL).read_bytes())
    (root / "engines").symlink_to(outside)
    _rename_in_manifest(root, "engines/a.onnx")


def _link_manifest_outside(root: Path) -> None:
    (root / "manifest.json").rename(root.parent / "m.json")
    (root / "manifest.json").symlink_to(root.parent / "m.json")


def _replace_by_fifo(root: Path) -> None:
    (root / MODEL).unlink()
    os.mkfifo(root / MODEL)


class Case(NamedTuple):
    name: str
    damage: Callable[[Path], Any]
    message: str


CASES = [
    Case("a changed byte", _flip_a_byte, "expected sha256"),
    Case("a truncated file", lambda root: os.truncate(root / MODEL, 20), "bytes, got 20"),
    Case("a missing file", lambda root: (root / MODEL).unlink(), "expected the file model.fp32.onnx, got none"),
    Case("a pipe for a file", _replace_by_fifo, "got none"),
    Case("no manifest", lambda root: (root / "manifest.json").unlink(), "expected manifest.json, got none"),
    Case("a path up and out", lambda root: _rename_in_manifest(root, "../bundle/model.fp32.onnx"), "relative file"),
    Case("an absolute path", lambda root: _rename_in_manifest(root, str(root / MODEL)), "relative file names"),
    Case("a roundabout path", lambda root: _rename_in_manifest(root, "./model.fp32.onnx"), "relative file names"),
    Case("an empty path", lambda root: _rename_in_manifest(root, "."), "relative file names"),
    Case("a link to a file outside", _link_outside, "got a link from"),
    Case("a link to a folder outside", _link_folder_outside, "got a link from"),
    Case("a manifest that is a link outside", _link_manifest_outside, "got a link from"),
    Case("an unlisted graph", lambda root: (root / "extra.ONNX").write_bytes(b"x"), "got 'extra.ONNX'"),
    Case("an unlisted engine", lambda root: (root / "a.plan").write_bytes(b"x"), "got 'a.plan'"),
    Case("an artifact without a hash", lambda root: _edit(root, lambda raw: raw["files"].clear()), "got none"),
    Case(
        "a newer schema", lambda root: _edit(root, lambda raw: raw.update(schema_version=9)), "got 9, written by a new"
    ),
    Case("a manifest that names itself", lambda root: _rename_in_manifest(root, "manifest.json"), "manifest.json"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_damaged_bundle_is_refused_in_one_line(case: Case, bundle_path: Path) -> None:
    case.damage(bundle_path)
    with pytest.raises(ArtifactError, match=case.message) as caught:
        Bundle.open(bundle_path)
    assert "\n" not in str(caught.value)
    assert str(bundle_path) in str(caught.value)


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="got a file"):
        Bundle.open(tmp_path / "file")
    with pytest.raises(ArtifactError, match="got nothing"):
        Bundle.open(tmp_path / "none")


def test_files_that_are_no_artifacts_are_left_alone(bundle_path: Path) -> None:
    (bundle_path / "notes.txt").write_text("deployed on the north gate")
    assert Bundle.open(bundle_path).precisions == ("fp32",)


def test_a_bundle_may_be_reached_through_a_link_and_hold_links_within(bundle_path: Path) -> None:
    (bundle_path / MODEL).rename(bundle_path / "real.bin")
    (bundle_path / MODEL).symlink_to("real.bin")
    (bundle_path.parent / "current").symlink_to(bundle_path)
    assert Bundle.open(bundle_path.parent / "current").read_artifact()


def test_a_file_changed_after_opening_is_not_handed_out(bundle_path: Path) -> None:
    bundle = Bundle.open(bundle_path)
    _flip_a_byte(bundle_path)
    with pytest.raises(ArtifactError, match="changed since the bundle was opened"):
        bundle.read_artifact("fp32")


def test_a_precision_that_is_not_there_lists_those_that_are(shared_bundle: Bundle) -> None:
    with pytest.raises(ArtifactError, match="in int8, this bundle has fp32"):
        shared_bundle.artifact("int8")
    with pytest.raises(ConfigError, match="fp32, fp16, int8, got 'bf16'"):
        shared_bundle.artifact("bf16")


def test_auto_is_fp32_and_the_first_there_is_where_it_is_missing(
    tmp_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    records = {f"m.{p}.onnx": ArtifactRecord(precision=p, opset=20) for p in ("int8", "fp32", "fp16")}
    both = write_bundle(tmp_path / "a", make_manifest(artifacts=records), dict.fromkeys(records, b"x"))
    assert both.artifact().name == "m.fp32.onnx"
    assert both.precisions == ("fp32", "fp16", "int8")
    del records["m.fp32.onnx"]
    assert write_bundle(
        tmp_path / "b", make_manifest(artifacts=records), dict.fromkeys(records, b"x")
    ).artifact().name == ("m.fp16.onnx")


def test_writing_fills_in_sizes_and_hashes(tmp_path: Path, make_manifest: Callable[..., Manifest]) -> None:
    content = {MODEL: b"graph", "engines/a.json": b"{}"}
    written = write_bundle(tmp_path / "deep" / "bundle", make_manifest(), content)
    record = written.manifest.files[MODEL]
    assert (record.sha256, record.size_bytes) == (sha256_of_bytes(b"graph"), 5)
    assert {name: written.read_file(name) for name in content} == content
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bundle"]


def test_a_bundle_is_replaced_only_when_asked(bundle_path: Path, make_manifest: Callable[..., Manifest]) -> None:
    with pytest.raises(ArtifactError, match="pass --force"):
        write_bundle(bundle_path, make_manifest(), {MODEL: b"new"})
    assert Bundle.open(bundle_path).read_artifact() != b"new"
    assert write_bundle(bundle_path, make_manifest(), {MODEL: b"new"}, overwrite=True).read_artifact() == b"new"
    assert [path.name for path in bundle_path.parent.iterdir()] == ["bundle"]


def test_a_damaged_or_newer_bundle_may_be_replaced(bundle_path: Path, make_manifest: Callable[..., Manifest]) -> None:
    _flip_a_byte(bundle_path)
    _edit(bundle_path, lambda raw: raw.update(schema_version=9))
    assert write_bundle(bundle_path, make_manifest(), {MODEL: b"new"}, overwrite=True).read_artifact() == b"new"


def test_an_empty_directory_is_filled(tmp_path: Path, make_manifest: Callable[..., Manifest]) -> None:
    (tmp_path / "empty").mkdir()
    assert write_bundle(tmp_path / "empty", make_manifest(), {MODEL: b"x"}).read_artifact() == b"x"


def test_a_directory_that_holds_anything_else_is_never_replaced(
    tmp_path: Path, bundle_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    (bundle_path / "notes.txt").write_text("mine")
    for target, came in ((home, "without a bundle's"), (bundle_path, "notes.txt"), (home / "thesis.txt", "a file")):
        with pytest.raises(ArtifactError, match=came):
            write_bundle(target, make_manifest(), {MODEL: b"x"}, overwrite=True)
    assert (home / "thesis.txt").read_text() == "years of work"
    assert (bundle_path / "notes.txt").read_text() == "mine"


def test_names_that_leave_the_bundle_are_not_written(tmp_path: Path, make_manifest: Callable[..., Manifest]) -> None:
    with pytest.raises(ArtifactError, match="relative file names"):
        write_bundle(tmp_path / "bundle", make_manifest(), {MODEL: b"x", "../evil.sh": b"x"})
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_without_the_bytes_it_promises_writes_nothing(
    tmp_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    with pytest.raises(ArtifactError, match="of the artifact"):
        write_bundle(tmp_path / "bundle", make_manifest(), {"other.txt": b"x"})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_everything_as_it_was(
    bundle_path: Path, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in bundle_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for target, overwrite in ((bundle_path, True), (bundle_path.parent / "new", False)):
        with pytest.raises(CapganError, match=r"No space left on device; nothing was changed") as caught:
            write_bundle(target, make_manifest(), {MODEL: b"new"}, overwrite=overwrite)
        assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in bundle_path.iterdir()} == before
    assert [path.name for path in bundle_path.parent.iterdir()] == ["bundle"]


def test_a_swap_that_fails_leaves_the_old_bundle(
    bundle_path: Path, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Bundle.open(bundle_path).manifest

    def fail(fresh: Path, target: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("capgan_edge.runtime.bundle.swap_in", fail)
    with pytest.raises(CapganError, match="Input/output error"):
        write_bundle(bundle_path, make_manifest(), {MODEL: b"new"}, overwrite=True)
    assert Bundle.open(bundle_path).manifest == before
    assert [path.name for path in bundle_path.parent.iterdir()] == ["bundle"]


def test_a_file_that_may_not_be_read_is_one_line(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == MODEL:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ArtifactError, match="Permission denied; check"):
        Bundle.open(bundle_path)
