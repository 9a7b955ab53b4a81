"""The whole way on tiny weights: real attacks, the real exporter, ONNX Runtime; every figure recomputed or checked."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from tiny_signs import Run

import capgan_edge
from capgan_benchmarks.demo.branches import DEPLOYED, VICTIM_ALONE, branch_of, caller_of
from capgan_benchmarks.demo.config import (
    END_TO_END_NAME,
    EPSILON,
    EXPECTATIONS,
    FGSM_NAME,
    PGD_NAME,
    DemoConfig,
    Expectation,
)
from capgan_edge import zoo
from capgan_edge.cli import GROUP, main
from capgan_edge.data.signs import load_signs
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.manifest import Figure
from capgan_edge.runtime.ort import OrtRunner

PART = EntryPoint("benchmarks", "capgan_benchmarks.command:app", GROUP)


def test_the_folder_holds_a_bundle_that_opens_and_two_reports(finished: Run) -> None:
    assert {path.name for path in finished.out.iterdir()} == {"bundle", "report.html", "report.json", "signs.png"}
    assert [path.name for path in finished.out.parent.iterdir()] == ["demo"]
    bundle = Bundle.open(finished.out / "bundle")
    assert {output.name for output in bundle.manifest.outputs} == {"logits", "suspicion", "purified", "raw_logits"}


def test_the_record_holds_every_figure_with_its_conditions(finished: Run) -> None:
    record = json.loads((finished.out / "report.json").read_text())
    figures = {raw["name"]: Figure.model_validate(raw) for raw in record["figures"]}
    assert len(figures) == len(record["figures"])
    names = {f"{who}, {kind}" for who in ("victim", "purified") for kind in ("clean", FGSM_NAME, PGD_NAME)}
    for name in (*names, f"purified, {END_TO_END_NAME}"):
        figure = figures[name]
        low, high = figure.interval_95 or pytest.fail(f"{name} has no interval")
        assert low <= figure.value <= high
        assert figure.n == (20 if "end-to-end" in name else 60)
        assert (figure.seed, figure.unit, figure.data) == (3, "%", "signs-16/test")
        assert "CPU" in figure.device
        assert figure.settings["artifact_sha256"] == record["bundle"]["sha256"]
    assert figures[f"victim, {PGD_NAME}"].settings["gradient_of"] == "the bare victim"
    assert figures[f"purified, {END_TO_END_NAME}"].settings["gradient_of"] == "purifier and victim"
    assert f"victim, {END_TO_END_NAME}" not in figures
    assert record["verification"]["passed"]


def test_the_clean_figures_are_those_of_the_bundle_on_the_signs_of_the_seed(finished: Run) -> None:
    images = load_signs("test", size_px=16, n=60, seed=3)
    with capgan_edge.load(finished.out / "bundle", threads=1) as classifier:
        verdicts = classifier.classify(images.images_NHWC)
    purified = np.array([verdict.index for verdict in verdicts])
    raw = np.array([verdict.raw_index for verdict in verdicts])
    named = finished.findings.named
    assert named["purified, clean"].value == pytest.approx(100 * (purified == images.labels_N).mean())
    assert named["victim, clean"].value == pytest.approx(100 * (raw == images.labels_N).mean())


def test_the_attacks_fool_the_victim_within_their_budget(finished: Run) -> None:
    named, scored = finished.findings.named, finished.findings.scored
    assert named["victim, clean"].value > 50
    assert named[f"victim, {PGD_NAME}"].value < named["victim, clean"].value - 20
    for kind in (FGSM_NAME, PGD_NAME):
        moved = np.abs(scored[kind].frames_NHWC.astype(int) - scored["clean"].frames_NHWC)
        assert 0 < moved.max() <= round(EPSILON * 255)


def test_rows_and_story_are_what_the_bundle_says(finished: Run) -> None:
    findings = finished.findings
    attacked, labels = findings.scored[PGD_NAME], findings.manifest.labels
    assert findings.grid
    for row in (findings.hero, *findings.grid, *findings.failures):
        assert row.purified.label == labels[int(attacked.purified_N[row.index])]
        assert row.victim_attacked.label == labels[int(attacked.victim_N[row.index])]
        assert row.is_fooled
    assert findings.story in finished.said
    assert f"'{findings.hero.purified.label}' ({findings.hero.purified.score:.2f})" in findings.story


def test_the_terminal_tells_expectations_end_to_end_and_where_the_report_is(finished: Run) -> None:
    said = finished.said
    verdicts = [is_met for _, _, is_met in finished.findings.expected]
    assert said.count("not met") == verdicts.count(False)
    assert "end-to-end PGD-20 (the attacker knows the purifier): " in said
    assert f"report: {finished.out / 'report.html'}" in said


def test_expectations_are_the_issues_and_are_inclusive() -> None:
    held = {(each.figure, each.sense, each.bound) for each in EXPECTATIONS}
    assert held == {("victim, clean", ">=", 97), ("victim, PGD-20", "<=", 20), ("purified, PGD-20", ">=", 80),
                    ("purified, clean", ">=", 93)}  # fmt: skip
    least = Expectation(figure="any", sense=">=", bound=80)
    assert least.is_met(80)
    assert not least.is_met(79.9)
    assert not Expectation(figure="any", sense="<=", bound=20).is_met(20.1)


def test_a_branch_gives_what_the_whole_graph_gives(finished: Run) -> None:
    model_bytes = Bundle.open(finished.out / "bundle").read_artifact("fp32")
    frames_NHWC = np.ascontiguousarray(finished.findings.scored[PGD_NAME].frames_NHWC[:5])
    with OrtRunner(model_bytes, threads=1) as runner:
        whole = runner(frames_NHWC)
    assert whole.raw_logits_NK is not None
    (raw_NK,) = caller_of(branch_of(model_bytes, VICTIM_ALONE), frames_NHWC, threads=1)()
    logits_NK, suspicion_N = caller_of(branch_of(model_bytes, DEPLOYED), frames_NHWC, threads=1)()
    np.testing.assert_allclose(raw_NK, whole.raw_logits_NK, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(logits_NK, whole.logits_NK, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(suspicion_N, whole.suspicion_N, atol=1e-5)
    assert len(branch_of(model_bytes, VICTIM_ALONE)) < len(branch_of(model_bytes, DEPLOYED))
    with pytest.raises(ArtifactError, match="expected a graph with the outputs heat"):
        branch_of(model_bytes, ("heat",))


@pytest.mark.parametrize(("settings", "said"), [({"n": 39}, "n >= 40"), ({"seed": -1}, "seed >= 0")])
def test_settings_out_of_range_are_refused(settings: dict[str, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DemoConfig(**settings)  # type: ignore[arg-type]


def test_a_folder_in_use_is_refused_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["demo", "--out", str(tmp_path), "--json"], [PART]) == 1
    printed = capsys.readouterr()
    assert "holds mine.txt" in json.loads(printed.out)["error"]
    assert "drawing" not in printed.err


@pytest.mark.slow
@pytest.mark.skipif(zoo.DEFAULT not in zoo.names(), reason="needs the packaged weights signs-nano")
def test_the_command_on_packaged_weights_prints_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    arguments = ["demo", "--out", str(out), "--n", "40", "--threads", "1", "--json"]
    assert main(arguments, [PART]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((out / "report.json").read_text())
    assert "report: " in printed.err
