"""A torch.export file gives the same logits for any batch, and nothing in it can run code."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from brought import classifier, images, pt2_bytes
from torch import nn

from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.models.victims import load_victim


@pytest.fixture(scope="module")
def pt2() -> bytes:
    return pt2_bytes(classifier())


def changed(data: bytes, change: Callable[[str, bytes], bytes | None], extra: dict[str, bytes] | None = None) -> bytes:
    """Return the archive with each member as `change` makes it (None drops it), and with more members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
        for name, content in (extra or {}).items():
            new.writestr(name, content)
    return out.getvalue()


def test_a_torch_export_file_gives_the_same_logits_for_any_batch(pt2: bytes, tmp_path: Path) -> None:
    (tmp_path / "v.pt2").write_bytes(pt2)
    victim = load_victim(tmp_path / "v.pt2")
    wanted = classifier()
    for n in (1, 2, 7):
        torch.testing.assert_close(victim.torch_module()(images(n)), wanted(images(n)))
    assert victim.size_px == (32, 32)
    victim.torch_module().train().eval()  # a parent's mode must pass over it


def test_a_fixed_batch_says_how_to_export(tmp_path: Path) -> None:
    (tmp_path / "v.pt2").write_bytes(pt2_bytes(classifier(), is_dynamic=False))
    with pytest.raises(CheckpointError, match=r"fixed batch of 2.*dynamic_shapes"):
        load_victim(tmp_path / "v.pt2")


class Touch:
    """Unpickles to a call: makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], object], tuple[Path]]:
        return (Path.touch, (self.path,))


def test_nothing_in_a_torch_export_file_is_unpickled(pt2: bytes, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    payload = io.BytesIO()
    torch.save(Touch(trap), payload)
    data = changed(pt2, lambda name, old: payload.getvalue() if "sample_inputs" in name else old)
    (tmp_path / "v.pt2").write_bytes(data)
    victim = load_victim(tmp_path / "v.pt2")
    torch.testing.assert_close(victim.torch_module()(images()), classifier()(images()))
    assert not trap.exists()


def test_pickled_weights_and_compiled_code_are_refused(pt2: bytes, tmp_path: Path) -> None:
    trap = tmp_path / "ran"

    def as_pickle(name: str, old: bytes) -> bytes:
        return (
            old.replace(b'"use_pickle": false', b'"use_pickle": true') if name.endswith("weights_config.json") else old
        )

    cases = {
        "pickled weights": changed(pt2, as_pickle),
        "may be a pickle or compiled code": changed(
            pt2, lambda _, old: old, {"m/data/constants/opaque_obj_0": pickle.dumps(Touch(trap))}
        ),
        "data/weights/model.pt": changed(
            pt2, lambda _, old: old, {"m/data/weights/model.pt": pickle.dumps(Touch(trap))}
        ),
    }
    for says, data in cases.items():
        (tmp_path / "v.pt2").write_bytes(data)
        with pytest.raises(CheckpointError, match=says):
            load_victim(tmp_path / "v.pt2")
    assert not trap.exists()


EVIL = "__import__('pathlib').Path('ran').touch()"


@pytest.mark.parametrize(
    "edit",
    [
        ("Symbol('", EVIL + " or Symbol('"),
        ('"torch.ops.aten.relu.default"', '"torch.ops.aten.from_file.default"'),
        ('"torch.ops.aten.relu.default"', '"torch.hub.load"'),
        ('"name": "relu"', '"name": "relu=1;' + EVIL.replace("'", "") + '#"'),
    ],
    ids=["eval of a size", "an operator that opens files", "a function that is no operator", "a name that is code"],
)
def test_code_in_the_graph_of_a_torch_export_file_is_refused(
    edit: tuple[str, str], pt2: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def change(name: str, old: bytes) -> bytes:
        return old.decode().replace(*edit).encode() if name.endswith("models/model.json") else old

    assert changed(pt2, change) != changed(pt2, lambda _, old: old)
    (tmp_path / "v.pt2").write_bytes(changed(pt2, change))
    with pytest.raises(CheckpointError, match=r"expected a torch\.export file"):
        load_victim(tmp_path / "v.pt2")
    assert not (tmp_path / "ran").exists()


def test_guards_of_a_torch_export_file_never_become_code(
    pt2: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def change(name: str, old: bytes) -> bytes:
        return json.dumps(json.loads(old) | {"guards_code": [EVIL]}).encode() if name.endswith("model.json") else old

    (tmp_path / "v.pt2").write_bytes(changed(pt2, change))
    load_victim(tmp_path / "v.pt2").torch_module()(images())
    assert not (tmp_path / "ran").exists()


def test_a_victim_in_training_mode_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.pt2").write_bytes(
        pt2_bytes(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), classifier()))
    )
    with pytest.raises(ConfigError, match="same logits for an image alone and in a batch"):
        load_victim(tmp_path / "v.pt2")


def signature_edited(edit: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    """Return a change of the graph's JSON, given as a change of its module."""

    def change(name: str, old: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return old
        program = json.loads(old)
        edit(program["graph_module"])
        return json.dumps(program).encode()

    return change


def root_signature(module: dict[str, Any]) -> dict[str, Any]:
    signature: dict[str, Any] = module["module_call_graph"][0]["signature"]
    return signature


def in_spec_that_is_no_json(module: dict[str, Any]) -> None:
    root_signature(module)["in_spec"] = "[1, {"


def two_user_inputs(module: dict[str, Any]) -> None:
    specs = module["signature"]["input_specs"]
    specs.append(next(spec for spec in specs if "user_input" in spec))


def empty_children_spec(module: dict[str, Any]) -> None:
    version, takes = json.loads(root_signature(module)["in_spec"])
    root_signature(module)["in_spec"] = json.dumps([version, takes | {"children_spec": []}])


@pytest.mark.parametrize(
    "edit", [in_spec_that_is_no_json, two_user_inputs, empty_children_spec], ids=lambda edit: edit.__name__
)
def test_a_malformed_signature_is_one_line(edit: Callable[[dict[str, Any]], None], pt2: bytes, tmp_path: Path) -> None:
    (tmp_path / "v.pt2").write_bytes(changed(pt2, signature_edited(edit)))
    with pytest.raises(CheckpointError, match=r"expected a torch\.export file") as caught:
        load_victim(tmp_path / "v.pt2")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA], ids=["corrupt deflate", "lzma"])
def test_a_member_that_does_not_unpack_is_one_line(method: int, pt2: bytes, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pt2)) as old, zipfile.ZipFile(packed, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        model = next(info for info in new.infolist() if info.filename.endswith("models/model.json"))
    data = bytearray(packed.getvalue())
    start = model.header_offset + 30 + len(model.filename)
    data[start : start + 64] = b"\xff" * 64  # a block of a kind that deflate does not have
    (tmp_path / "v.pt2").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"expected a torch\.export file") as caught:
        load_victim(tmp_path / "v.pt2")
    assert "\n" not in str(caught.value)
