"""`inspect ENGINE`, and the GPU of this machine as the driver tells it, by a double of the driver's library."""

from __future__ import annotations

import json
import re
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import Any

import pytest
from engine_on_disk import ADA, AMPERE, RTX_VERSION, rtx_plan, sidecar_of, write_engine

from capgan_edge.cli import GROUP, main
from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import CardCheck, RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.engine_inspection import examine_engine
from capgan_edge.runtime.engine_opening import open_engine
from capgan_edge.runtime.gpu import first_gpu, installed_versions
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.preflight import Host
from capgan_edge.runtime.sidecar import EngineSidecar, Profile, engine_record, json_from_sidecar, rebuild_command

RUNTIME = [EntryPoint("runtime", "capgan_edge.runtime.command:app", GROUP)]
PLAN = rtx_plan("sm_86")
HOST = Host(gpu=AMPERE, versions={"tensorrt_rtx": RTX_VERSION})


def test_an_engine_is_held_against_its_sidecar_and_the_machine(tmp_path: Path) -> None:
    path = write_engine(tmp_path / "e.plan", PLAN, sidecar_of(PLAN))
    facts = examine_engine(path, HOST)
    assert facts.verdict.ok
    assert facts.sidecar is not None
    assert facts.header is not None
    assert facts.header.targets == ("sm_86",)
    assert "sm_89" in examine_engine(path, Host(gpu=ADA, versions=HOST.versions)).verdict.reason
    path.write_bytes(PLAN[:-1] + b"\1")
    assert "one of the two changed" in examine_engine(path, HOST).verdict.reason


def test_a_broken_sidecar_is_a_verdict_too(tmp_path: Path) -> None:
    path = write_engine(tmp_path / "e.plan", PLAN, None)
    assert "expected a sidecar beside the plan" in examine_engine(path, HOST).verdict.reason
    (tmp_path / "e.json").write_text("{")
    verdict = examine_engine(path, HOST).verdict
    assert not verdict.ok
    assert "e.json: expected an engine's sidecar" in verdict.reason


def test_the_rebuild_command_names_the_bundle_that_the_engine_is_in(bundle_path: Path) -> None:
    path = write_engine(bundle_path / "engines" / "e.plan", PLAN, sidecar_of(PLAN))
    assert f"build-engine {bundle_path} --fp16" in examine_engine(path, HOST).verdict.rebuild


def _bundled(bundle_path: Path, sidecar: EngineSidecar) -> Path:
    """Put the plan into the bundle, named by its manifest as this sidecar says; return where it is."""
    with locked(bundle_path) as bundle:
        engines = {"engines/e-b8.plan": engine_record(sidecar, "engines/e-b8.json")}
        files = {"engines/e-b8.plan": PLAN, "engines/e-b8.json": json_from_sidecar(sidecar)}
        grow_bundle(bundle, bundle.manifest.model_copy(update={"engines": engines}), files)
    return bundle_path / "engines" / "e-b8.plan"


@pytest.mark.parametrize(
    "lie",
    [
        {"precision": "int8"},
        {"source": "model.int8.onnx"},
        {"source_sha256": "c" * 64},
        {"profile": Profile(min=1, opt=1, max=64)},
        {"is_portable": True},
    ],
    ids=str,
)
def test_in_a_bundle_an_edited_sidecar_is_found_and_not_believed(lie: dict[str, Any], bundle_path: Path) -> None:
    source_sha256 = Bundle.open(bundle_path).manifest.files["model.fp32.onnx"].sha256
    truth = sidecar_of(PLAN, source_sha256=source_sha256)
    path = _bundled(bundle_path, truth)
    assert examine_engine(path, HOST).verdict.ok
    write_engine(path, PLAN, truth.model_copy(update=lie))
    verdict = examine_engine(path, HOST).verdict
    assert not verdict.ok
    assert "expected the sidecar" in verdict.reason
    assert "that manifest.json names" in verdict.reason
    assert verdict.rebuild == f"capgan-edge build-engine {bundle_path} --fp16 --batch 1,1,8 --target sm_86 --force"


def test_a_manifest_that_says_otherwise_than_the_sidecar_is_found(bundle_path: Path) -> None:
    source_sha256 = Bundle.open(bundle_path).manifest.files["model.fp32.onnx"].sha256
    path = _bundled(bundle_path, sidecar_of(PLAN, source_sha256=source_sha256))
    told = json.loads((bundle_path / "manifest.json").read_bytes())
    told["engines"]["engines/e-b8.plan"]["precision"] = "fp32"
    (bundle_path / "manifest.json").write_text(json.dumps(told))
    assert "a sidecar that says what manifest.json says" in examine_engine(path, HOST).verdict.reason


def test_an_engine_that_the_manifest_does_not_name_or_of_a_damaged_bundle_is_refused(bundle_path: Path) -> None:
    path = write_engine(bundle_path / "engines" / "e.plan", PLAN, sidecar_of(PLAN))
    assert "only artifacts that the manifest names, got 'engines/e.plan'" in examine_engine(path, HOST).verdict.reason
    path.unlink()
    path.with_suffix(".json").unlink()
    path = _bundled(bundle_path, sidecar_of(PLAN))
    (bundle_path / "model.fp32.onnx").write_bytes(b"")
    assert "model.fp32.onnx: expected" in examine_engine(path, HOST).verdict.reason


def test_a_stale_engine_has_one_verdict_and_the_command_that_replaces_it(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = sidecar_of(PLAN, profile=Profile(min=1, opt=2, max=8), workspace_gib=2.0)
    path = _bundled(bundle_path, stale)
    rebuild = rebuild_command(stale, bundle=str(bundle_path))
    assert "--batch 1,2,8 --target sm_86 --workspace-gib 2" in rebuild
    verdict = examine_engine(path, Host(gpu=ADA, versions=HOST.versions)).verdict
    assert (verdict.ok, verdict.rebuild) == (False, rebuild)
    assert "replaced since" in verdict.reason
    with pytest.raises(ArtifactError, match=f"replaced since .*; build it again: {re.escape(rebuild)}$"):
        open_engine(Bundle.open(bundle_path), "engines/e-b8.plan")
    monkeypatch.chdir(path.parent)
    assert str(bundle_path) in examine_engine(Path(path.name), HOST).verdict.rebuild, "named from within, too"


@pytest.mark.parametrize("is_json", [False, True])
def test_inspect_says_that_it_cannot_run_and_what_to_do(
    is_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = rtx_plan("sm_86", version="1.2.3.4")
    path = write_engine(tmp_path / "e.plan", other, sidecar_of(other, version="1.2.3.4"))
    assert main(["inspect", str(path), *(["--json"] if is_json else [])], RUNTIME) == 1
    out, err = capsys.readouterr()
    assert err == ""
    command = "capgan-edge build-engine BUNDLE --fp16 --batch 1,1,8 --target "
    if is_json:
        said = json.loads(out)
        assert said["verdict"]["ok"] is False
        assert said["verdict"]["rebuild"].startswith(command)
        assert said["sidecar"]["version"] == "1.2.3.4"
    else:
        assert "CANNOT run here: expected tensorrt_rtx 1.2.3.4" in out
        assert f"one that can: {command}" in out
        assert "180 as parsed" in out


def test_inspect_of_no_engine_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "e.plan")], RUNTIME) == 1
    assert capsys.readouterr().err.startswith("error: expected an engine (a .plan file) at ")


def test_inspect_of_a_bundle_lists_engines_cards_and_thresholds(
    bundle_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    digest = Bundle.open(bundle_path).manifest.files["model.fp32.onnx"].sha256
    ours, stale = sidecar_of(PLAN, source_sha256=digest), sidecar_of(PLAN)
    with locked(bundle_path) as bundle:
        engines = {f"engines/{n}.plan": engine_record(s, f"engines/{n}.json") for n, s in (("a", ours), ("b", stale))}
        manifest = bundle.manifest.model_copy(
            update={"engines": engines, "cards": (_card(digest),), "thresholds": (_threshold("c" * 64),)}
        )
        files = {f"engines/{n}.plan": PLAN for n in "ab"}
        sidecars = {"engines/a.json": json_from_sidecar(ours), "engines/b.json": json_from_sidecar(stale)}
        grow_bundle(bundle, manifest, {**files, **sidecars})
    assert main(["inspect", str(bundle_path)], RUNTIME) == 0
    rows = capsys.readouterr().out.splitlines()
    (a,) = (row for row in rows if "engines/a.plan" in row and "sm_86" in row)
    (b,) = (row for row in rows if "engines/b.plan" in row and "sm_86" in row)
    assert "model.fp32.onnx" in a
    assert "OLDER than those here: build it again" in b
    (card,) = (row for row in rows if "1 of 2 passed" in row)
    assert ["yes" in card, "NO" in card] == [True, True], "bound to these bytes, and not passed"
    (threshold,) = (row for row in rows if "0.7500" in row)
    assert ["1.00 %" in threshold, "1.50 %" in threshold, "NO" in threshold] == [True, True, True]


def _card(digest: str) -> RobustnessCard:
    checks = tuple(
        CardCheck(name=name, kind="numeric", value=0.5, comparison="at least", limit=limit, unit="cosine", n=4,
                  passed=limit < 0.5)
        for name, limit in (("cosine", 0.4), ("cosine of suspicion", 0.9))
    )  # fmt: skip
    return RobustnessCard(artifact="model.fp32.onnx", artifact_sha256=digest, against="model.fp32.onnx",
                          against_sha256=digest, created="2025-06-01", data="signs/test", seed=0, device="cpu",
                          settings={}, checks=checks, passed=False)  # fmt: skip


def _threshold(digest: str) -> SuspicionThreshold:
    return SuspicionThreshold(artifact="model.fp32.onnx", artifact_sha256=digest, threshold=0.75, n=10, seed=0,
                              false_alarm_rate=0.01, measured_rate=0.015, data="signs/test")  # fmt: skip


class Driver:
    """libcuda of a machine with one GPU, as far as it is asked; `fails` is the call that reports an error."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: 100 if name == self.fails else self._answer(name, *arguments)

    def _answer(self, name: str, *arguments: Any) -> int:
        if name == "cuDeviceGetName":
            arguments[0].value = b"Orin"[: arguments[1] - 1]
        elif name == "cuDeviceGetAttribute":
            arguments[0]._obj.value = {75: 8, 76: 7}[arguments[1]]
        else:
            assert name in ("cuInit", "cuDeviceGet")
        return 0


def test_the_gpu_is_what_the_driver_says() -> None:
    gpu = first_gpu(lambda name: Driver())
    assert gpu is not None
    assert (gpu.name, gpu.sm) == ("Orin", "sm_87")


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute"])
def test_a_driver_that_reports_an_error_shows_no_gpu(call: str) -> None:
    assert first_gpu(lambda name: Driver(fails=call)) is None


def test_no_driver_is_no_gpu() -> None:
    def load(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    assert first_gpu(load) is None


def test_versions_are_those_of_the_packages_installed() -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx: pip install 'capgan-edge[rtx]'")
    assert installed_versions()["tensorrt_rtx"] == version("tensorrt-rtx")
