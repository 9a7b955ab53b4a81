"""The benchmark on a tiny pair: every contestant and peer once, and the command as a user calls it."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest
import torch
from rich.console import Console

from capgan_benchmarks.latency.entering import open_field
from capgan_benchmarks.latency.graph_cost import cost_of_graph
from capgan_benchmarks.latency.peers.catalogue import IN_TORCH, chosen_peers, make_peer
from capgan_benchmarks.latency.printing import print_record
from capgan_benchmarks.latency.record import read_record
from capgan_benchmarks.latency.request import LatencyRequest
from capgan_benchmarks.latency.roof import measure_ceilings, share_of_roof
from capgan_benchmarks.latency.session import measure
from capgan_benchmarks.latency.subject import Subject, subject_from_source
from capgan_benchmarks.latency.victim_graph import deployed, two_halves, victim_alone
from capgan_calibration.qdq import int8_from_fp32
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.cli import GROUP, main
from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.models.cost import cost_of
from capgan_edge.models.presets import preset, purifier_from
from capgan_edge.runtime import engine_opening
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.openvino import is_installed
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.source import Source

PARTS = [EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)]
QUICK = (
    "--min-seconds",
    "0.001",
    "--min-queries",
    "4",
    "--rounds",
    "2",
    "--warm-up",
    "0",
    "--threads",
    "1",
    "--no-roof",
)


def _openvino_runtimes() -> tuple[str, ...]:
    """Return those that run on this very processor: many have no BF16."""
    if not is_installed():
        return ()
    import openvino

    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("openvino", *(("openvino-bf16",) if has_bf16 else ()))


OURS = _openvino_runtimes()


@pytest.fixture(scope="module")
def subject(source: Source) -> Subject:
    return subject_from_source(source)


def test_the_code_of_a_version_compatible_engine_runs_by_leave_alone(
    subject: Subject, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def open_engine(bundle: Bundle, name: str, *, allow_host_code: bool) -> NoReturn:
        asked.append(allow_host_code)
        raise ConfigError("no GPU here")

    monkeypatch.setattr(engine_opening, "open_engine", open_engine)
    held = dataclasses.replace(subject, bundle=tiny_bundle, engines=("engines/fp16.plan",))
    for is_allowed in (False, True):
        field = open_field(held, quick(allow_host_code=is_allowed), 1)
        field.close()
        assert ("engines/fp16.plan", "no GPU here") in [(each.name, each.why) for each in field.not_run]
    assert asked == [False, True]


@pytest.fixture
def noise(subject: Subject) -> Any:
    return np.random.default_rng(0).integers(0, 256, (3, *subject.size_px, 3), np.uint8)


def quick(*against: str, **changes: object) -> LatencyRequest:
    settings: dict[str, object] = {"min_seconds": 0.001, "min_queries": 2, "num_rounds": 2, "warm_up_queries": 0,
                                   "warm_up_seconds": 0.0, "threads": 1, "has_roof": False}  # fmt: skip
    return LatencyRequest(subject="tiny", against=against, **{**settings, **changes})  # type: ignore[arg-type]


def test_the_classifier_alone_gives_what_the_graph_gives_without_purification(subject: Subject, noise: Any) -> None:
    (graph,) = subject.graphs
    whole = OrtRunner(graph.model_bytes)(noise)
    assert whole.raw_logits_NK is not None
    assert np.abs(whole.raw_logits_NK - whole.logits_NK).max() > 1e-3
    without = deployed(graph.model_bytes)
    for model_bytes in (graph.model_bytes, without):
        alone = OrtRunner(victim_alone(model_bytes))(noise)
        assert np.allclose(alone.logits_NK, whole.raw_logits_NK, atol=1e-5)
    assert np.allclose(OrtRunner(without)(noise).logits_NK, whole.logits_NK, atol=1e-5)
    assert len(victim_alone(without)) < len(without) < len(graph.model_bytes)


def test_a_graph_whose_classifier_cannot_be_told_apart_is_refused(subject: Subject) -> None:
    model = onnx.load_from_string(deployed(subject.graphs[0].model_bytes))
    for node in model.graph.node:
        node.name = node.name.replace("victim", "other")
    for cut in (victim_alone, two_halves):
        with pytest.raises(ArtifactError, match="export the bundle again with --with-raw-logits"):
            cut(model.SerializeToString())


def test_multiply_accumulates_are_those_that_torch_counts(subject: Subject, source: Source) -> None:
    height, width = subject.size_px
    counted = [cost_of(module, height_px=height, width_px=width).macs for module in
               (source.victim.torch_module(), source.purifier)]  # fmt: skip
    model_bytes = subject.graphs[0].model_bytes
    victim = cost_of_graph(victim_alone(model_bytes), batch=1, precision="fp32")
    pair = cost_of_graph(deployed(model_bytes), batch=1, precision="fp32")
    assert victim.float_macs == counted[0]
    assert pair.float_macs == pytest.approx(sum(counted), rel=0.01)
    assert pair.int8_macs == 0
    many = cost_of_graph(deployed(model_bytes), batch=5, precision="bf16")
    assert many.float_macs == 5 * pair.float_macs
    assert pair.moved_bytes / 2 < many.moved_bytes < 5 * pair.moved_bytes / 2, "half the bytes; weights once"


def test_int8_is_counted_as_such_where_the_engine_multiplies_so(subject: Subject, noise: Any) -> None:
    fp32 = subject.graphs[0].model_bytes
    int8 = deployed(int8_from_fp32(fp32, measure_ranges(fp32, noise, RangeConfig())).model_bytes)
    whole = cost_of_graph(deployed(fp32), batch=2, precision="fp32")
    held = cost_of_graph(int8, batch=2, precision="int8")
    assert 0 < held.int8_macs < whole.float_macs
    assert held.int8_macs + held.float_macs == whole.float_macs
    assert held.moved_bytes < whole.moved_bytes
    assert cost_of_graph(int8, batch=2, precision="int8", has_int8_kernels=False) == whole


def test_ceilings_are_measured_and_a_share_is_of_the_one_that_binds(subject: Subject) -> None:
    ceilings = measure_ceilings(1, side=64, copied_bytes=1 << 16, repeats=2)
    assert [each.kind for each in ceilings] == ["fp32", "bf16", "int8", "copy"]
    cost = cost_of_graph(deployed(subject.graphs[0].model_bytes), batch=1, precision="fp32")
    known = [each.model_copy(update={"value": 1e9}) for each in ceilings]
    share = share_of_roof("x", cost, batch=1, precision="fp32", engine_ms=1.0, ceilings=known)
    assert share is not None
    assert share.roof_ms == pytest.approx(1000 * max(cost.float_macs, cost.moved_bytes) / 1e9)
    assert share.percent == pytest.approx(100 * share.roof_ms)
    assert share_of_roof("x", cost, batch=1, precision="fp16", engine_ms=1.0, ceilings=known) is None


def test_victim_and_purified_are_always_both_there_in_every_runtime(subject: Subject) -> None:
    record = measure(subject, quick("ort-two-sessions", "torch-eager", "hgd", "ape-gan", *OURS, batches=(1, 2)),
                     Console(file=io.StringIO()))  # fmt: skip
    runtimes = {"ort", *OURS}
    for batch in (1, 2):
        rows = [row for row in record.rows if row.batch == batch]
        for role in ("victim", "purified"):
            assert {row.runtime for row in rows if row.role == role} == runtimes
        assert {row.name for row in rows if row.role == "peer"} == {"ort-two-sessions", "torch-eager", "hgd", "ape-gan"}
        assert sum(row.role == "classify" for row in rows) == 1
        prices = [each for each in record.ratios if (each.kind, each.batch) == ("price", batch)]
        assert {each.name for each in prices} == {f"purified, model.fp32.onnx, {runtime}" for runtime in runtimes}
    assert record.not_run == ()
    notes = {row.name: row.note for row in record.rows}
    for name, shape in (("hgd", "hgd-paper"), ("ape-gan", "ape-gan")):
        assert f"the preset {shape}, its architecture with random weights" in str(notes[name])
    stream = io.StringIO()
    print_record(record, Console(file=stream, width=200), earlier=record)
    said = stream.getvalue()
    assert "the price of the defence: purified, model.fp32.onnx, ort takes " in said
    assert "batch 2, torch-eager: p50 " in said


@pytest.mark.skipif(OURS != ("openvino",), reason="needs openvino, and a processor that does not compute in BF16")
def test_an_arithmetic_that_the_processor_lacks_is_told_and_an_error_where_it_was_named(subject: Subject) -> None:
    two = dataclasses.replace(
        subject, graphs=(subject.graphs[0], dataclasses.replace(subject.graphs[0], name="b.onnx"))
    )
    record = measure(two, quick("openvino-bf16"), Console(file=io.StringIO()))
    assert {each.name for each in record.not_run} == {"model.fp32.onnx, openvino-bf16", "b.onnx, openvino-bf16"}
    assert all("expected a processor that computes in bfloat16" in each.why for each in record.not_run)
    with pytest.raises(ConfigError, match="expected a processor that computes in bfloat16"):
        measure(subject, quick("openvino-bf16"), Console(file=io.StringIO()))


@pytest.mark.parametrize("name", ["torch-eager", "ort-two-sessions"])
def test_a_peer_of_the_same_pair_gives_the_same_logits(name: str, subject: Subject, source: Source, noise: Any) -> None:
    peer = make_peer(name, graph=subject.graphs[0], source=source, threads=1)
    wanted = OrtRunner(subject.graphs[0].model_bytes)(noise).logits_NK
    assert np.allclose(peer.call(noise), wanted, atol=1e-4)
    assert peer.engine.total_s > 0


@pytest.mark.parametrize(("name", "shape"), [("hgd", "hgd-paper"), ("ape-gan", "ape-gan")])
def test_another_purifier_is_the_network_that_its_preset_trains(
    name: str, shape: str, subject: Subject, source: Source, noise: Any
) -> None:
    state = torch.random.get_rng_state()
    peer = make_peer(name, graph=subject.graphs[0], source=source, threads=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(0)
    purifier, victim = purifier_from(preset(shape)).eval(), source.victim.torch_module().eval()
    x_NCHW = torch.from_numpy(noise).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        logits_NK, bare_NK = victim(purifier(x_NCHW)), victim(x_NCHW)
    torch.testing.assert_close(torch.from_numpy(peer.call(noise)), logits_NK, rtol=1e-4, atol=1e-4)
    assert torch.allclose(logits_NK, bare_NK, atol=1e-3) == (name == "hgd"), "HGD's residual starts at zero"


def test_the_bare_classifier_in_torch_is_what_the_fused_graph_says_of_it(
    subject: Subject, source: Source, noise: Any
) -> None:
    peer = make_peer("torch-eager-victim", graph=subject.graphs[0], source=source, threads=1)
    wanted = OrtRunner(subject.graphs[0].model_bytes)(noise).raw_logits_NK
    assert np.allclose(peer.call(noise), wanted, atol=1e-4)


def test_a_peer_that_cannot_answer_is_told_before_anybody_is_timed(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr("torch.nn.functional.conv2d", broken)
    monkeypatch.setattr("torch.nn.Conv2d.forward", broken)
    with pytest.raises(
        CapganError, match="expected torch-eager to classify a frame, but: RuntimeError: no compiler at"
    ):
        measure(subject, quick("torch-eager"), Console(file=io.StringIO()))


@pytest.mark.slow
def test_torch_compile_gives_the_same_logits(subject: Subject, source: Source, noise: Any) -> None:
    peer = make_peer("torch-compile", graph=subject.graphs[0], source=source, threads=1)
    wanted = OrtRunner(subject.graphs[0].model_bytes)(noise).logits_NK
    assert np.allclose(peer.call(noise), wanted, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in IN_TORCH if name.startswith("art-")])
def test_art_s_preprocessors_stand_before_the_same_classifier(
    name: str, subject: Subject, source: Source, noise: Any
) -> None:
    pytest.importorskip("art", reason="needs ART: pip install adversarial-robustness-toolbox")
    peer = make_peer(name, graph=subject.graphs[0], source=source, threads=1)
    logits_NK = peer.call(noise)
    assert logits_NK.shape == (3, len(subject.labels))
    assert ("random weights" in str(peer.note)) == (name == "art-thermometer")


def test_a_peer_that_is_not_installed_says_how_to_get_it(
    subject: Subject, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "art", None)
    monkeypatch.setitem(sys.modules, "art.defences", None)
    monkeypatch.setitem(sys.modules, "art.defences.preprocessor", None)
    with pytest.raises(ConfigError, match=r"art-jpeg needs .*; pip install adversarial-robustness-toolbox"):
        make_peer("art-jpeg", graph=subject.graphs[0], source=source, threads=1)
    with pytest.raises(CapganError, match="pip install"):
        measure(subject, quick("art-jpeg"), Console(file=io.StringIO()))


def test_peers_that_need_the_modules_say_so_where_there_are_none(subject: Subject) -> None:
    with pytest.raises(ConfigError, match=r"hgd needs the modules .* with --source"):
        make_peer("hgd", graph=subject.graphs[0], source=None, threads=1)
    peers, runtimes = chosen_peers(["all"])
    assert set(IN_TORCH) < set(peers)
    assert "openvino-bf16" in runtimes
    with pytest.raises(ConfigError, match=r"--against takes torch-eager, .* got 'tflite'"):
        chosen_peers(["ort", "tflite"])


def test_the_command_measures_a_bundle_and_refuses_another_protocol(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["benchmark", "latency", str(tiny_bundle.path), *QUICK]
    assert (
        main(
            [*command, "--out", str(tmp_path / "out"), "--frame", "64x48", "--against", "ort-two-sessions", "--json"],
            PARTS,
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    (path,) = (tmp_path / "out").iterdir()
    record = read_record(path)
    assert said == json.loads(path.read_text())
    assert path.name.startswith("latency-tiny-single-stream-1_"), "one for each of several batch sizes of a day"
    assert record.protocol.camera_frame == (48, 64)
    assert all(row.end_to_end.n >= 4 for row in record.rows)
    assert str(tiny_bundle.path) not in path.read_text()
    assert str(tmp_path) not in path.read_text()
    shipped = next(row for row in record.rows if row.role == "purified")
    assert shipped.note is None, "this bundle has no more outputs than those"
    assert main([*command, "--frame", "64x48", "--compare", str(path)], PARTS) == 0
    assert "now (" in capsys.readouterr().out
    assert main([*command, "--batch", "2", "--compare", str(path)], PARTS) == 1
    assert "expected two records of one protocol, got one with batches [1] for [2]" in capsys.readouterr().err
    assert main([*command, "--artifact", "model.int8.onnx"], PARTS) == 1
    assert "expected artifacts among model.fp32.onnx" in capsys.readouterr().err
    assert main([*command, "--against", "torch-eager"], PARTS) == 1
    assert "torch-eager needs the modules" in capsys.readouterr().err
