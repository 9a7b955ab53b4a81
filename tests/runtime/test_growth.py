"""Adding to a bundle: one writer at a time, all of it or nothing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from capgan_edge.errors import ArtifactError, CapganError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import ArtifactRecord, EngineRecord


def test_a_new_graph_joins_the_old_one(bundle_path: Path) -> None:
    with locked(bundle_path) as bundle:
        graph = bundle.read_artifact("fp32")
        artifacts = {**bundle.manifest.artifacts, "model.fp16.onnx": ArtifactRecord(precision="fp16", opset=20)}
        grow_bundle(bundle, bundle.manifest.model_copy(update={"artifacts": artifacts}), {"model.fp16.onnx": graph})
    assert Bundle.open(bundle_path).precisions == ("fp32", "fp16")
    assert Bundle.open(bundle_path).read_artifact("fp16") == graph


def test_a_second_writer_is_refused_while_the_first_is_at_it(bundle_path: Path) -> None:
    code = f"from capgan_edge.runtime.growth import locked\nwith locked({str(bundle_path)!r}): pass"
    with locked(bundle_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "nobody else is writing" in second.stderr
    assert second.returncode == 1
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_does_not_verify_changes_nothing(bundle_path: Path) -> None:
    before = (bundle_path / "manifest.json").read_bytes()
    engine = EngineRecord(precision="fp16", sidecar="engines/x.json", source_sha256="a" * 64,
                          flavour="tensorrt_rtx", version="1", targets=("sm_86",))  # fmt: skip
    with locked(bundle_path) as bundle, pytest.raises(ArtifactError, match=r"engine's file engines/x\.plan"):
        grow_bundle(bundle, bundle.manifest.model_copy(update={"engines": {"engines/x.plan": engine}}), {})
    assert (bundle_path / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in bundle_path.parent.iterdir()) == ["bundle"]


KILLED_AT_EVERY_STEP = """
import os, signal, sys
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked

path, step = sys.argv[1], 0
killed = True
while killed:
    step += 1
    child = os.fork()
    if child == 0:
        seen = 0

        def die(event, arguments):
            global seen
            if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "ctypes.dlsym"):
                seen += 1
                if seen == step:
                    os.kill(os.getpid(), signal.SIGKILL)

        with locked(path) as bundle:
            sys.addaudithook(die)
            grow_bundle(bundle, bundle.manifest, {"model.fp32.onnx": bundle.read_artifact()})
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    Bundle.open(path)
print(step)
"""


def test_a_writer_killed_at_any_step_leaves_a_whole_bundle(bundle_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(bundle_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3, "there were steps to be killed at"


def grown(path: Path) -> Bundle:
    with locked(path) as bundle:
        artifacts = {**bundle.manifest.artifacts, "model.fp16.onnx": ArtifactRecord(precision="fp16", opset=20)}
        files = {"model.fp16.onnx": b"half", "model.fp32.onnx": b"other", "engines/x.json": b"{}"}
        return grow_bundle(bundle, bundle.manifest.model_copy(update={"artifacts": artifacts}), files)


def test_a_bundle_that_is_a_mount_point_grows(bundle_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_growth import grown; "
    code += f"from pathlib import Path; grown(Path({str(bundle_path)!r}))"
    script = 'mount --bind "$1" "$1" && exec "$2" -c "$3"'
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
        pytest.skip("no user namespaces here")
    command = ["unshare", "-rm", "sh", "-c", script, "-", str(bundle_path), sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Bundle.open(bundle_path).read_artifact("fp16") == b"half"
    assert Bundle.open(bundle_path).read_artifact("fp32") == b"other"


def test_files_of_others_in_the_bundle_stay(bundle_path: Path) -> None:
    (bundle_path / "notes.txt").write_text("mine")
    assert grown(bundle_path).read_artifact("fp32") == b"other"
    assert (bundle_path / "notes.txt").read_text() == "mine"
    names = {path.relative_to(bundle_path).as_posix() for path in bundle_path.rglob("*") if path.is_file()}
    assert names == {"manifest.json", "model.fp32.onnx", "model.fp16.onnx", "engines/x.json", "notes.txt"}


def test_links_planted_in_a_bundle_lead_nothing_out_of_it(bundle_path: Path) -> None:
    outside = bundle_path.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (bundle_path / ".model.fp16.onnx.new").symlink_to(outside / "file")
    assert grown(bundle_path).read_artifact("fp16") == b"half"
    shutil.rmtree(bundle_path / "engines")
    (bundle_path / "engines").symlink_to(outside)
    (outside / "x.json").write_bytes(b"{}")
    with pytest.raises(ArtifactError, match="got a link from"):
        grown(bundle_path)
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"file": "mine", "x.json": "{}"}


def test_a_new_folder_that_is_a_link_outside_is_not_written_to(bundle_path: Path) -> None:
    outside = bundle_path.parent / "outside"
    outside.mkdir()
    (bundle_path / "engines").symlink_to(outside)
    (bundle_path / "notes.txt").write_text("so that it is not replaced as a whole")
    with pytest.raises(ArtifactError, match="got a link from"):
        grown(bundle_path)
    assert list(outside.iterdir()) == []


def test_a_full_disk_leaves_a_bundle_that_must_stay_as_it_was(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle_path / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in bundle_path.rglob("*") if path.is_file()}
    synced: list[int] = []

    def full_at_the_third(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(CapganError, match=r"No space left on device; nothing was changed"):
        grown(bundle_path)
    assert {path: path.read_bytes() for path in bundle_path.rglob("*") if path.is_file()} == before


def test_what_does_not_verify_changes_nothing_in_place_either(bundle_path: Path) -> None:
    (bundle_path / "notes.txt").write_text("mine")
    before = (bundle_path / "manifest.json").read_bytes()
    nameless = {"artifacts": {"model.int8.onnx": ArtifactRecord(precision="int8", opset=20)}}
    for update, files in ((nameless, {}), ({}, {"../evil.sh": b"x"})):
        with locked(bundle_path) as bundle, pytest.raises(ArtifactError, match=r"of the artifact|relative file names"):
            grow_bundle(bundle, bundle.manifest.model_copy(update=update), files)
    assert (bundle_path / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in bundle_path.parent.iterdir()) == ["bundle"]


def test_a_folder_that_may_not_be_written_is_refused_before_any_work(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ArtifactError, match="may not be written; change its permissions"), locked(bundle_path):
        pytest.fail("the work was begun")


def test_a_folder_around_it_that_takes_nothing_new_does_not_matter(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = bundle_path.stat().st_ino
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == bundle_path)
    assert grown(bundle_path).precisions == ("fp32", "fp16")
    assert bundle_path.stat().st_ino == inode
