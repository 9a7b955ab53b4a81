"""Real builds by TensorRT-RTX, which needs no GPU: three precisions for two GPUs, and all graphs that it refuses."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from quantised import graph_of, node, tiny

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.fields import Precision
from capgan_edge.runtime.plan_header import HEADER_BYTES, read_plan_header
from capgan_edge.runtime.sidecar import Profile
from capgan_export.engine.adding import add_engine
from capgan_export.engine.build import BuiltEngine, plan_from_onnx
from capgan_export.engine.compilation import compile_network
from capgan_export.engine.config import EngineConfig
from capgan_export.engine.door import Door
from capgan_export.engine.network import network_from_onnx
from capgan_export.engine.progress import BuildProgress

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def build(model_bytes: bytes, door: Door, precision: Precision = "fp32", **options: Any) -> BuiltEngine:
    config = EngineConfig(precision=precision, **{"targets": ("sm_86",), **options})
    return plan_from_onnx(model_bytes, config, source="the graph", door=door)


@pytest.mark.parametrize("target", ["sm_86", "sm_89"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_builds_for_every_target(
    precision: Precision, target: str, full_bundle: Bundle, door: Door
) -> None:
    graph = full_bundle.read_artifact(precision)
    built = build(graph, door, precision, targets=(target,), profile=Profile(min=1, opt=2, max=4))
    held = built.sidecar
    header = read_plan_header(built.plan[:HEADER_BYTES])
    assert (header.flavour, header.version, header.targets) == ("tensorrt_rtx", door.version, (target,))
    assert header.size_bytes == len(built.plan) == held.size_bytes
    assert (held.sha256, held.source_sha256) == (sha256_of_bytes(built.plan), sha256_of_bytes(graph))
    assert (held.precision, held.targets, str(held.profile)) == (precision, (target,), "1,2,4")
    assert held.num_network_layers > 100
    assert held.flags == ("STRONGLY_TYPED",)
    assert held.rebuild == f"capgan-edge build-engine BUNDLE --{precision} --batch 1,2,4 --target {target} --force"


def test_an_fp16_plan_is_smaller_than_one_in_fp32(full_bundle: Bundle, door: Door) -> None:
    fp32, fp16 = (len(build(full_bundle.read_artifact(name), door, name).plan) for name in PRECISIONS[:2])
    assert fp16 < 0.7 * fp32, "an FP16 engine that holds FP32 weights is none"


def test_without_a_target_the_plan_says_what_it_is_for(door: Door) -> None:
    built = build(tiny(), door, targets=())
    assert built.sidecar.is_portable
    assert {"sm_86", "sm_89", "sm_120"} <= set(built.sidecar.targets)
    assert "--target" not in built.sidecar.rebuild


@pytest.mark.parametrize("target", ["sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121"])
def test_the_header_names_the_very_target_that_was_asked_for(target: str, door: Door) -> None:
    plan = build(tiny(), door, targets=(target,)).plan
    assert read_plan_header(plan).targets == (target,)
    assert build(tiny(), door, targets=("sm_89", "sm_86")).sidecar.targets == ("sm_86", "sm_89")


class Lie(NamedTuple):
    name: str
    precision: Precision
    held: Precision
    message: str


LIES = [
    Lie("fp32 as fp16", "fp16", "fp32", "expected a graph of FP16 tensors and no Q/DQ .* got one of FP32 alone"),
    Lie("fp32 as int8", "int8", "fp32", "expected a graph of Q/DQ .* got one of FP32 alone"),
    Lie("fp16 as fp32", "fp32", "fp16", "expected a graph of FP32 alone .* got one of HALF"),
    Lie("fp16 as int8", "int8", "fp16", "expected a graph of Q/DQ .* got one of HALF"),
    Lie("int8 as fp32", "fp32", "int8", "expected a graph of FP32 alone .* Q/DQ"),
    Lie("int8 as fp16", "fp16", "int8", "expected a graph of FP16 tensors and no Q/DQ .* Q/DQ"),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_no_graph_is_compiled_under_the_name_of_another_precision(lie: Lie, full_bundle: Bundle, door: Door) -> None:
    with pytest.raises(ArtifactError, match=lie.message):
        build(full_bundle.read_artifact(lie.held), door, lie.precision)


ONE = numpy_helper.from_array(np.float32(1), "one")


class Bad(NamedTuple):
    name: str
    graph: bytes
    messages: tuple[str, ...]


BAD = [
    Bad("junk", b"junk", ("got 1 parser error: the file: MODEL_DESERIALIZE_FAILED", "corrupt, cut short")),
    Bad("an empty file", b"", ("got one without a node",)),
    Bad("cut short", tiny()[:-200], ("parser error",)),
    Bad(
        "foreign: another input",
        graph_of(
            node("Relu", "pixels", "logits"),
            node("Relu", "pixels", "suspicion"),
            inputs={"pixels": (TensorProto.FLOAT, ["N", 3])},
        ),
        ("expected one input, frames uint8",),
    ),
    Bad(
        "uint8 into a Transpose",
        graph_of(node("Transpose", "frames", "t", perm=[0, 3, 1, 2]), node("Cast", "t", "logits", to=1)),
        ("Transpose node the_Transpose", "uint8 only into a Cast"),
    ),
    Bad(
        "operators that it lacks, all named",
        graph_of(
            node("Cast", "frames", "x", to=1),
            node("Det", "x", "suspicion"),
            node("Nothing", "x", "logits", domain="of.nobody"),
        ),
        ("got 2 parser errors", "Det node the_Det: UNSUPPORTED_NODE", "Nothing node the_Nothing", "has no Det"),
    ),
    Bad(
        "two types in one sum",
        graph_of(
            node("Cast", "frames", "x", to=10), node("Add", "x one", "y"), node("Cast", "y", "logits", to=1),
            constants=[ONE],
        ),
        ("Add node the_Add", "Half and Float", "strong typing casts nothing"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_graph_that_it_does_not_take_is_refused_with_node_and_hint(
    case: Bad, door: Door, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArtifactError) as caught:
        build(case.graph, door)
    message = str(caught.value)
    assert message.startswith("the graph: expected ")
    for said in case.messages:
        assert said in message
    assert "\n" not in message
    assert "cudaError" not in message, "that this machine has no driver is not what is wrong"
    assert capfd.readouterr() == ("", ""), "TensorRT's own words go into the error, not to the terminal"


def test_a_build_that_fails_says_what_tensorrt_said(full_bundle: Bundle, door: Door) -> None:
    fp32 = full_bundle.read_artifact("fp32")
    with pytest.raises(ArtifactError, match=r"for sm_75, but it says: .*Turing .*; Turing takes no FP32"):
        build(fp32, door, targets=("sm_75",))
    with pytest.raises(ArtifactError, match=r"no FP32 matrix product: leave sm_75 out") as caught:
        build(full_bundle.read_artifact("fp16"), door, precision="fp16", targets=("sm_75",))
    assert "--fp16" not in str(caught.value), "it is what was asked for"
    with pytest.raises(ArtifactError, match=r"workspace limit.*; give it more memory \(--workspace-gib"):
        build(fp32, door, workspace_gib=1e-6)


def test_progress_rises_to_the_whole(full_bundle: Bundle, door: Door) -> None:
    told: list[tuple[str, float]] = []
    config = EngineConfig(precision="fp32", targets=("sm_86",))
    plan_from_onnx(full_bundle.read_artifact("fp32"), config, source="g", door=door,
                   progress=lambda phase, share: told.append((phase, share)))  # fmt: skip
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert shares[0] == 0
    assert len({phase for phase, _ in told}) > 2


def test_a_cancelled_build_gives_no_plan(full_bundle: Bundle, door: Door) -> None:
    steps = BuildProgress()
    steps.is_cancelled = True
    door.log.clear()
    network = network_from_onnx(door, full_bundle.read_artifact("fp32"), "g")
    plan, _ = compile_network(door, network, EngineConfig(precision="fp32", targets=("sm_86",)), steps)
    assert plan is None
    assert any("cancel" in said.lower() for said in door.log.errors)


def test_ctrl_c_ends_the_build_and_leaves_nothing(full_bundle: Bundle, door: Door) -> None:
    before = sorted(path for path in full_bundle.path.parent.rglob("*"))
    pressed: list[int] = []
    ended: list[int] = []

    def press(phase: str, share: float) -> None:
        if not pressed:
            pressed.append(1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)  # the build goes on while Ctrl-C is dealt with
            os.kill(os.getpid(), signal.SIGINT)  # by one who is impatient
            time.sleep(0.5)
            ended.append(1)

    config = EngineConfig(precision="fp32", targets=("sm_86",))
    with pytest.raises(KeyboardInterrupt):
        add_engine(full_bundle.path, config, door=door, progress=press)
    assert ended, "it was waited for"
    assert sorted(path for path in full_bundle.path.parent.rglob("*")) == before
    assert Bundle.open(full_bundle.path).manifest.engines == {}
    assert "capgan-build-engine" not in {thread.name for thread in threading.enumerate()}


def test_a_timing_cache_is_read_and_written_where_the_flavour_has_one(tmp_path: Path, door: Door) -> None:
    whole = Door("tensorrt", "10.16.0", door.trt, door.log)  # the same bindings, by the name of the sibling
    path = tmp_path / "timings"
    config = EngineConfig(precision="fp32", targets=("sm_86",), timing_cache=path)
    with pytest.warns(DeprecationWarning, match="Timing cache operations are no-ops"):
        plan_from_onnx(tiny(), config, source="g", door=whole)
    assert path.is_file()


def test_a_timing_cache_is_never_written_into_the_bundle(copy_of: Callable[[], Path], door: Door) -> None:
    whole = Door("tensorrt", "10.16.0", door.trt, door.log)
    bundle = copy_of()
    graph = bundle / "model.fp32.onnx"
    before = graph.read_bytes()
    for path in (graph, bundle / "engines" / ".." / "timings"):
        with pytest.raises(ConfigError, match="expected a timing cache outside the bundle"):
            add_engine(bundle, EngineConfig(precision="fp32", timing_cache=path), door=whole)
    assert graph.read_bytes() == before
    assert not (bundle / "timings").exists()
