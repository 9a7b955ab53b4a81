"""Preflight: one verdict before a byte is deserialised, with the command that makes an engine that fits."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from engine_on_disk import (
    ADA,
    AMPERE,
    RTX_VERSION,
    TRT_VERSION,
    TURING,
    host_sidecar_of,
    rtx_plan,
    sidecar_of,
    trt_plan,
)
from hypothesis import given
from hypothesis import strategies as st

from capgan_edge.errors import ArtifactError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.plan_header import HEADER_BYTES, read_plan_header
from capgan_edge.runtime.preflight import Host, Verdict, preflight
from capgan_edge.runtime.sidecar import (
    Flavour,
    GpuIdentity,
    json_from_sidecar,
    rebuild_command,
    sidecar_from_json,
)

RTX_HERE: dict[Flavour, str] = {"tensorrt_rtx": RTX_VERSION}
TRT_HERE: dict[Flavour, str] = {"tensorrt": TRT_VERSION}


def judge(
    plan: bytes,
    sidecar: object,
    gpu: GpuIdentity | None = AMPERE,
    versions: Mapping[Flavour, str] | None = RTX_HERE,
) -> Verdict:
    host = Host(gpu=gpu, versions=versions)
    return preflight(plan[:HEADER_BYTES], sidecar, host, sha256=sha256_of_bytes(plan), size_bytes=len(plan),
                     bundle="my bundle")  # fmt: skip


def test_an_engine_for_this_machine_passes_with_nothing_unchecked() -> None:
    plan = rtx_plan("sm_86", "sm_89")
    verdict = judge(plan, sidecar_of(plan, targets=("sm_86", "sm_89")))
    assert (verdict.ok, verdict.unchecked) == (True, ())
    assert verdict.reason == "tensorrt_rtx 1.7.1.116, fp16, batches of 1,1,8, for sm_86, sm_89"
    assert judge(plan, json.loads(json_from_sidecar(sidecar_of(plan, targets=("sm_86", "sm_89"))))).ok


def test_what_is_not_known_is_said_and_not_held_against_it() -> None:
    plan = rtx_plan("sm_86")
    verdict = preflight(plan, sidecar_of(plan), Host())
    assert verdict.ok
    assert [gap.split(":")[0] for gap in verdict.unchecked] == [
        "the plan's hash", "the version of TensorRT here", "the GPU",
    ]  # fmt: skip


class Case(NamedTuple):
    name: str
    verdict: Verdict
    reason: str
    rebuild: str = "--fp16 --batch 1,1,8 --target sm_86"


GOOD = rtx_plan("sm_86")
TOLD = json.loads(json_from_sidecar(sidecar_of(GOOD)))
HOST = trt_plan()
ORIN = GpuIdentity(name="Orin", sm="sm_87")
NEWER: dict[Flavour, str] = {"tensorrt": "10.16.1.2"}
REFUSED = [
    Case("a changed byte", judge(GOOD[:-1] + b"\1", sidecar_of(GOOD)), "expected the plan .* of the sidecar"),
    Case("cut short", judge(GOOD[:-1], sidecar_of(GOOD[:-1])), "of 100 bytes as its header says, got 99: the copy is"),
    Case("a lie about the size", judge(GOOD, sidecar_of(GOOD, size_bytes=7)), "of 7 bytes as in the sidecar, got 100"),
    Case(
        "a lie about targets",
        judge(GOOD, sidecar_of(GOOD, targets=("sm_86", "sm_89")), ADA),
        "the sidecar says sm_86, sm_89, the plan holds code for sm_86",
        "--target sm_86 --target sm_89",
    ),
    Case(
        "a lie about the version",
        judge(GOOD, sidecar_of(GOOD, version="1.8.0.1"), versions={"tensorrt_rtx": "1.8.0.1"}),
        "the sidecar says version 1.8.0.1, the plan was written by 1.7.1.116",
    ),
    Case("a lie about the flavour", judge(HOST, sidecar_of(HOST)), "the plan was written by tensorrt$"),
    Case(
        "another version here",
        judge(GOOD, sidecar_of(GOOD), versions={"tensorrt_rtx": "1.8.0.3"}),
        "expected tensorrt_rtx 1.7.1.116, with which it was built, got 1.8.0.3 on this machine",
    ),
    Case("the other flavour here", judge(GOOD, sidecar_of(GOOD), versions=TRT_HERE), "got tensorrt 10.13.3.9"),
    Case(
        "both flavours here",
        judge(GOOD, sidecar_of(GOOD), ADA, {**RTX_HERE, **TRT_HERE}),
        "RTX 4090 is sm_89",
        "--fp16 --batch 1,1,8 --flavour tensorrt_rtx --target sm_89 --force",
    ),
    Case("no TensorRT here", judge(GOOD, sidecar_of(GOOD), versions={}), "on this machine, got no TensorRT"),
    Case(
        "another GPU than compiled for",
        judge(GOOD, sidecar_of(GOOD), ADA),
        "it was compiled for sm_86, and RTX 4090 is sm_89",
        "capgan-edge build-engine 'my bundle' --fp16 --batch 1,1,8 --target sm_89 --force",
    ),
    Case(
        "a GPU that TensorRT-RTX has no code for",
        judge(GOOD, sidecar_of(GOOD), ORIN),
        "it was compiled for sm_86, and Orin is sm_87",
        "capgan-edge build-engine 'my bundle' --fp16 --batch 1,1,8 --flavour tensorrt --force",
    ),
    Case(
        "another GPU than built on",
        judge(HOST, host_sidecar_of(HOST), ADA, TRT_HERE),
        r"built on RTX 3080 \(sm_86\) and runs on nothing else, and here is RTX 4090",
        "--fp16 --batch 1,1,8 --force",
    ),
    Case(
        "older than hardware compatibility",
        judge(HOST, host_sidecar_of(HOST, flags=("AMPERE_PLUS",)), TURING, TRT_HERE),
        "compiled for sm_80 and newer, and RTX 2080 is sm_75",
        "--hardware-compatible --force",
    ),
    Case("a newer TensorRT", judge(HOST, host_sidecar_of(HOST), AMPERE, NEWER), "it was built, got 10.16", ""),
    Case("another build", judge(HOST, host_sidecar_of(HOST), AMPERE, {"tensorrt": "10.13.3.4"}), "got 10.13.3.4", ""),
    Case("no sidecar", judge(GOOD, None), "expected a sidecar beside the plan", "--fp16 --force"),
    Case("a sidecar of nothing", judge(GOOD, {"flavour": "tensorrt"}), "the sidecar is none: ", "--fp16 --force"),
    Case("a version of 5000 digits", judge(GOOD, {**TOLD, "version": "9" * 5000}), "none: 'version'", ""),
    Case(
        "no version",
        judge(HOST, host_sidecar_of(HOST, version="x", flags=("VERSION_COMPATIBLE",)), AMPERE, TRT_HERE),
        "the sidecar says version x",
        "",
    ),
    Case("a size of 5000 digits", judge(GOOD, {**TOLD, "size_bytes": 10**5000}), "the sidecar is none: 'size_", ""),
    Case("a batch without end", judge(GOOD, {**TOLD, "profile": {"min": 1, "opt": 1, "max": 10**8}}), "file.max", ""),
    Case("a sidecar that is a list", judge(GOOD, [["flavour", 1]]), "the sidecar is none: 'sidecar'", "--fp16 --force"),
    Case("a sidecar that is a number", judge(GOOD, 7), "the sidecar is none: 'sidecar'", "--fp16 --force"),
    Case("no plan at all", judge(b"\x20\0\0\0{json}" + GOOD, sidecar_of(GOOD)), "another tool's own header is none"),
    Case("an empty file", judge(b"", sidecar_of(GOOD)), "got 0 bytes"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_run_here_is_refused_with_the_way_to_one_that_can(case: Case) -> None:
    assert not case.verdict.ok
    assert re.search(case.reason, case.verdict.reason), case.verdict.reason
    assert "\n" not in case.verdict.reason
    assert case.rebuild in case.verdict.rebuild
    assert case.verdict.rebuild.startswith("capgan-edge build-engine 'my bundle' --")
    assert "rm -rf" not in case.verdict.rebuild, "a command that a file brings along is never handed on"


@pytest.mark.parametrize(
    ("built", "here", "is_ok"),
    [
        ("10.13.3.9", "10.13.3.9", True),
        ("10.13.3.9", "10.16.0.1", True),
        ("10.13.3.9", "11.4.1.2", True),
        ("10.13.3.9", "10.9.0.3", False),
        ("11.0.0.1", "10.16.0.1", False),
        ("11.0.0.1", "12.0.0.1", False),
    ],
)
def test_version_compatible_plans_run_in_newer_ones_of_the_same_major_and_10_in_11(
    built: str, here: str, is_ok: bool
) -> None:
    plan = trt_plan(built)
    sidecar = host_sidecar_of(plan, version=built, flags=("STRONGLY_TYPED", "VERSION_COMPATIBLE"))
    assert judge(plan, sidecar, AMPERE, {"tensorrt": here}).ok is is_ok


def test_hardware_compatible_plans_run_on_every_gpu_from_ampere() -> None:
    sidecar = host_sidecar_of(HOST, flags=("STRONGLY_TYPED", "AMPERE_PLUS"))
    assert judge(HOST, sidecar, ADA, TRT_HERE).ok


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(head: bytes) -> None:
    verdict = preflight(head, sidecar_of(GOOD), Host(gpu=AMPERE, versions=RTX_HERE))
    assert not verdict.ok


@given(st.binary(max_size=HEADER_BYTES))
def test_no_tail_of_a_header_makes_it_raise(tail: bytes) -> None:
    for head in (GOOD[:16] + tail, HOST[:8] + tail):
        assert "\n" not in preflight(head, sidecar_of(GOOD), Host()).reason


def test_a_header_of_another_layout_claims_nothing_of_targets() -> None:
    strange = bytearray(GOOD)
    strange[8] = 3
    header = read_plan_header(bytes(strange))
    assert (header.flavour, header.version, header.targets, header.size_bytes) == (
        "tensorrt_rtx", RTX_VERSION, None, None,
    )  # fmt: skip
    assert read_plan_header(HOST[:28]).version == TRT_VERSION
    with pytest.raises(ArtifactError, match="got 27 bytes"):
        read_plan_header(HOST[:27])


def test_a_build_number_beyond_a_byte_is_no_lie() -> None:
    plan = rtx_plan("sm_86", version="1.9.0.44")
    sidecar = sidecar_of(plan, version="1.9.0.300")
    assert judge(plan, sidecar, versions={"tensorrt_rtx": "1.9.0.300"}).ok


def test_a_version_without_its_build_number_is_no_lie() -> None:
    """TensorRT 10.3 of JetPack 6 calls itself 10.3.0, and writes 10.3.0.30 into its plans."""
    plan = trt_plan("10.3.0.30")
    assert judge(plan, host_sidecar_of(plan, version="10.3.0"), AMPERE, {"tensorrt": "10.3.0"}).ok
    for lie in ("10.3.1", "10.3.0.31", "10.3"):
        verdict = judge(plan, host_sidecar_of(plan, version=lie), AMPERE, {"tensorrt": lie})
        assert f"the sidecar says version {lie}, the plan was written by 10.3.0.30" in verdict.reason


def test_a_sidecar_survives_its_json() -> None:
    sidecar = host_sidecar_of(HOST, workspace_gib=2.5, num_layers=12, num_casts=3, num_reformats=0)
    assert sidecar_from_json(json_from_sidecar(sidecar), "x.json") == sidecar


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"profile": {"min": 4, "opt": 1, "max": 8}}, "profile"),
        ({"precision": "fp8"}, "precision"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"targets": ["86"]}, "targets.0"),
        ({"targets": ["sm_86; rm"]}, "targets.0"),
        ({"flags": ["\u001b[31m"]}, "flags.0"),
        ({"surprise": 1}, "surprise"),
        ({"seconds": -1}, "seconds"),
        ({"schema_version": 2}, "schema_version"),
    ],
    ids=str,
)
def test_a_sidecar_with_a_wrong_field_names_it(change: dict[str, Any], place: str) -> None:
    raw = {**json.loads(json_from_sidecar(sidecar_of(GOOD))), **change}
    with pytest.raises(ArtifactError, match=rf"x\.json: expected an engine's sidecar .* wrong '{place}'") as caught:
        sidecar_from_json(json.dumps(raw).encode(), "x.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_sidecar_that_is_no_json_is_one_line(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"x\.json: expected an engine's sidecar"):
        sidecar_from_json(data, "x.json")


def test_the_rebuild_command_repeats_every_option() -> None:
    flags = ("STRONGLY_TYPED", "VERSION_COMPATIBLE", "AMPERE_PLUS")
    sidecar = host_sidecar_of(HOST, workspace_gib=1.5, flags=flags)
    assert rebuild_command(sidecar, bundle="b") == (
        "capgan-edge build-engine b --fp16 --batch 1,1,8 --workspace-gib 1.5 --version-compatible "
        "--hardware-compatible --force"
    )
    portable = sidecar_of(GOOD, targets=("sm_86", "sm_89"), is_portable=True)
    assert rebuild_command(portable) == "capgan-edge build-engine BUNDLE --fp16 --batch 1,1,8 --force"
