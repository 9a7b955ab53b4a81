"""The manifest refuses what it does not know, in one line, and survives a round trip."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.manifest import Manifest, json_from_manifest, manifest_from_json


def test_a_manifest_survives_the_round_trip_through_json(make_manifest: Callable[..., Manifest]) -> None:
    manifest = make_manifest()
    assert manifest_from_json(json_from_manifest(manifest), "here") == manifest


def test_a_newer_schema_names_its_version_and_the_remedy(make_manifest: Callable[..., Manifest]) -> None:
    raw = json.loads(json_from_manifest(make_manifest())) | {"schema_version": 3, "novelty": {}}
    with pytest.raises(ArtifactError, match=r"older, got 3, .*upgrade") as caught:
        manifest_from_json(json.dumps(raw).encode(), "bundle/manifest.json")
    assert "\n" not in str(caught.value)


class Case(NamedTuple):
    name: str
    change: Callable[[dict[str, Any]], Any]
    message: str


CASES = [
    Case("a field unknown", lambda raw: raw.update(extra=1), "'extra'"),
    Case("a field missing", lambda raw: raw.pop("labels"), "'labels'"),
    Case("a string for a number", lambda raw: raw["input"].update(height="8"), r"'input\.height'"),
    Case("another layout", lambda raw: raw["input"].update(layout="NCHW"), r"'input\.layout'"),
    Case("labels that control the terminal", lambda raw: raw.update(labels=["a", "\x1b[2J", "c"]), r"'labels\.1'"),
    Case("a hash too short", lambda raw: raw["purifier"].update(sha256="ab"), r"'purifier\.sha256'"),
    Case("no artifact", lambda raw: raw.update(artifacts={}), "'artifacts'"),
    Case("a precision unknown", lambda raw: raw["artifacts"]["model.fp32.onnx"].update(precision="fp8"), "precision"),
    Case("fewer labels than logits", lambda raw: raw.update(labels=["a", "b"]), r"expected logits \[N, 2\]"),
    Case("an output missing", lambda raw: raw["outputs"].pop(1), "logits and suspicion"),
    Case("an output twice", lambda raw: raw["outputs"].append(raw["outputs"][0]), "every output once"),
    Case("a date that is none", lambda raw: raw.update(created="yesterday"), "'created'"),
    Case("a share above one", lambda raw: raw["parity"][0].update(top1_agreement=1.5), "top1_agreement"),
    Case("a truth that is a number", lambda raw: raw["parity"][0].update(passed=1), "passed"),
    Case("schema version zero", lambda raw: raw.update(schema_version=0), "'schema_version'"),
    Case("schema version true", lambda raw: raw.update(schema_version="1"), "'schema_version'"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_manifest_that_is_wrong_is_refused_in_one_line(case: Case, make_manifest: Callable[..., Manifest]) -> None:
    raw = json.loads(json_from_manifest(make_manifest()))
    case.change(raw)
    with pytest.raises(ArtifactError, match=case.message) as caught:
        manifest_from_json(json.dumps(raw).encode(), "bundle/manifest.json")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("bundle/manifest.json: ")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000], ids=repr)
def test_bytes_that_are_no_manifest_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"export") as caught:
        manifest_from_json(data, "here")
    assert "\n" not in str(caught.value)


def test_a_setting_that_json_cannot_hold_is_refused(make_manifest: Callable[..., Manifest]) -> None:
    figure = make_manifest().figures[0].model_copy(update={"settings": {"eps": float("nan")}})
    with pytest.raises(ArtifactError, match="finite"):
        json_from_manifest(make_manifest(figures=[figure]))
