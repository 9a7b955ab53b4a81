"""`capgan-edge benchmark robustness`: exit codes, the gate against a baseline, JSON alone on stdout, and refusals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from xml.etree import ElementTree

import pytest
from PIL import Image

from capgan_benchmarks.robustness import subject
from capgan_benchmarks.robustness.record import Check, RobustnessRecord, read_record
from capgan_edge.cli import GROUP, main
from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle

BENCHMARK = EntryPoint("benchmark", "capgan_benchmarks.benchmark_command:app", GROUP)
ATTACK = EntryPoint("attack", "capgan_benchmarks.robustness.attack_command:app", GROUP)
N = 8
QUICK = ["--data", "signs", "--attacks", "square-10", "--epsilons", "255", "--n", str(N), "--batch", "4"]
TIMEOUT_S = 300
"""For a process on a machine that is busy with other things; far above what it takes."""


def benchmark(*arguments: str | Path) -> int:
    return main(["benchmark", "robustness", *map(str, arguments)], parts=[BENCHMARK])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPGAN_EDGE_CACHE", str(tmp_path / "decoded"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crafted")


@pytest.fixture(scope="module")
def out(lone: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished benchmark."""
    path = tmp_path_factory.mktemp("done") / "out"
    assert benchmark(lone, *QUICK, "--cache", cache, "--out", path) == 0
    return path


@pytest.mark.parametrize("options", [[], ["--allow-host-code"]], ids=["without leave", "with leave"])
def test_the_code_of_a_version_compatible_engine_runs_by_leave_alone(
    options: list[str], lone: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def open_artifact(bundle: Bundle, name: str, runtime: str, *, allow_host_code: bool) -> NoReturn:
        asked.append(allow_host_code)
        raise ArtifactError("no GPU here")

    monkeypatch.setattr(subject, "open_artifact", open_artifact)
    named = ["--artifact", "model.fp32.onnx", *options]
    assert benchmark(lone, *QUICK, "--cache", cache, *named) == 1
    crafted = ["--scenario", "artifact-query", "--attack", "square-10", "--data", "signs", "-o", str(cache / "set.npz")]
    assert main(["attack", str(lone), *crafted, *named], parts=[ATTACK]) == 1
    assert asked == [bool(options)] * 2


def edited(out: Path, path: Path, **changes: Any) -> Path:
    """Write the record of `out` with some top fields changed, and every image right on the attacked cell."""
    record = json.loads((out / "record.json").read_text())
    score = record["cells"][1]["scores"][0]
    assert score["n"] == N
    assert score["num_right"] <= 2, "the attack must have fooled enough for a drop to show"
    score |= {"num_right": N, "percent": 100.0, "interval_95": [60.0, 100.0], "right": "/w=="}
    path.write_text(json.dumps(record | changes))
    return path


def test_a_folder_has_the_record_and_a_report_and_the_tables_are_printed(
    lone: Path, cache: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_record(out / "record.json")
    assert (record.data.n, record.tier) == (N, "quick")
    assert "<html" in (out / "report.html").read_text()
    assert benchmark(lone, *QUICK, "--cache", cache, "--out", out) == 0  # an earlier benchmark's folder is replaced
    printed = capsys.readouterr().out
    for wanted in ("artifact-query", "model.fp32.onnx", "255/255", "worst case", "self-checks", "not tested", "n=8"):
        assert wanted in printed, wanted


def test_json_is_the_record_and_nothing_else(
    lone: Path, cache: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(lone, *QUICK, "--cache", cache, "--json") == 0
    record = RobustnessRecord.model_validate_json(capsys.readouterr().out)
    assert record.cells[1].scores == read_record(out / "record.json").cells[1].scores


def test_against_itself_nothing_dropped(lone: Path, cache: Path, out: Path, tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    held = ["--baseline", out / "record.json", "--max-drop", "0", "--junit", junit]
    assert benchmark(lone, *QUICK, "--cache", cache, *held) == 0
    assert ElementTree.parse(junit).getroot().findall(".//failure") == []


def test_a_significant_drop_exits_1_and_is_in_the_junit_file(
    lone: Path, cache: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "junit.xml"
    baseline = edited(out, tmp_path / "better.json")
    assert benchmark(lone, *QUICK, "--cache", cache, "--baseline", baseline, "--junit", junit) == 1
    assert "dropped by more than 1 points" in capsys.readouterr().err
    assert len(ElementTree.parse(junit).getroot().findall(".//failure")) == 1


def test_a_junit_file_that_cannot_be_written_is_refused_before_anything_is_attacked(
    lone: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    held = ["--baseline", out / "record.json", "--cache", tmp_path / "cache"]
    for junit in (tmp_path / "file" / "junit.xml", tmp_path, Path("/proc/junit.xml")):
        assert benchmark(lone, *QUICK, *held, "--junit", junit) == 2
        _is_one_line(capsys.readouterr().err, "expected a (file|folder) to write|expected to write")
    assert not (tmp_path / "cache").exists()


def test_a_self_check_that_fails_anew_exits_1(
    lone: Path,
    cache: Path,
    out: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = Check(name="zero gradients", state="failed", expected="gradients", came="none")
    monkeypatch.setattr("capgan_benchmarks.robustness.masking.self_checks", lambda *held, **options: (failed,))
    junit = tmp_path / "junit.xml"
    held = ["--baseline", out / "record.json", "--junit", junit]
    assert benchmark(lone, *QUICK, "--cache", cache, *held) == 1
    said = capsys.readouterr().err
    assert "zero gradients (self-checks): failed now, not run in the baseline" in said
    assert "not held: 1 failed in a self-check that did not fail against" in said
    assert len(ElementTree.parse(junit).getroot().findall(".//failure")) == 1


def test_a_baseline_that_the_run_would_replace_is_refused_and_left(
    lone: Path, cache: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (out / "record.json").read_bytes()
    assert benchmark(lone, *QUICK, "--cache", cache, "--baseline", out / "record.json", "--out", out) == 2
    assert "baseline that this run does not replace" in capsys.readouterr().err
    assert (out / "record.json").read_bytes() == before


def test_with_a_baseline_every_other_failure_exits_2_too(lone: Path, cache: Path, out: Path) -> None:
    options = [*QUICK, "--cache", cache, "--data", "nowhere"]
    assert benchmark(lone, *options) == 1
    assert benchmark(lone, *options, "--baseline", out / "record.json") == 2


@pytest.mark.parametrize("wrong", [["--max-drop", "101"], ["--epsilons", "256"], ["--tier", "huge"]], ids=" ".join)
def test_with_a_baseline_a_wrong_option_is_no_drop_either(tmp_path: Path, wrong: list[str]) -> None:
    assert benchmark("bundle", *wrong) == 1
    assert benchmark("bundle", *wrong, "--baseline", tmp_path / "record.json") == 2


class Mismatch(NamedTuple):
    name: str
    options: list[str]
    message: str


MISMATCHES = [
    Mismatch("n", ["--n", "7"], "expected data n 8 as in the baseline, got 7"),
    Mismatch("seed", ["--seed", "1"], "expected data seed 0 as in the baseline, got 1"),
    Mismatch("batch", ["--batch", "8"], "expected batch 4 as in the baseline, got 8"),
    Mismatch("tier", ["--tier", "paper"], "expected tier quick as in the baseline, got paper"),
    Mismatch("attack", ["--attacks", "square-9"], "attack of this run in the baseline, which lacks .*Square-9 "),
    Mismatch("epsilon", ["--epsilons", "255,8"], "attack of this run in the baseline, which lacks .*at 8/255"),
]


@pytest.mark.parametrize("case", MISMATCHES, ids=lambda case: case.name)
def test_a_baseline_of_something_else_exits_2_with_the_difference_and_attacks_nothing(
    lone: Path, cache: Path, out: Path, capsys: pytest.CaptureFixture[str], case: Mismatch
) -> None:
    before = sorted(cache.rglob("*.npz"))
    assert benchmark(lone, *QUICK, "--cache", cache, "--baseline", out / "record.json", *case.options) == 2
    _is_one_line(capsys.readouterr().err, case.message)
    assert sorted(cache.rglob("*.npz")) == before


@pytest.mark.parametrize("text", [None, "{}", "not JSON"], ids=["missing", "empty", "broken"])
def test_a_baseline_that_is_none_exits_2(
    lone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "baseline.json"
    if text is not None:
        path.write_text(text)
    assert benchmark(lone, *QUICK, "--baseline", path) == 2
    _is_one_line(capsys.readouterr().err, "baseline.json: expected a record")


class Refused(NamedTuple):
    name: str
    options: list[str]
    message: str


REFUSED = [
    Refused("epsilon", ["--epsilons", "256"], r"epsilon in \[0, 1\].*got 256"),
    Refused("n", ["--n", "2001"], "at most 2000 images.*got n = 2001"),
    Refused("scenario", ["--scenarios", "grey-box"], "threat model among .*got 'grey-box'"),
    Refused("attack", ["--attacks", "deepfool"], "attack among .*got 'deepfool'"),
    Refused("tier", ["--tier", "huge"], "tier among .*got 'huge'"),
    Refused("artifact", ["--artifact", "model.int4.onnx"], "artifact of the bundle, .*got 'model.int4.onnx'"),
    Refused("gradients of a file", ["--attacks", "pgd-7"], "no gradients: use artifact-query with square"),
    Refused("size", ["--data", "signs:64"], "64x64|classes"),
    Refused("max drop", ["--max-drop", "101"], "max-drop in"),
    Refused("junit alone", ["--junit", "junit.xml"], "--baseline beside --junit"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_bad_input_is_one_line(lone: Path, capsys: pytest.CaptureFixture[str], case: Refused) -> None:
    assert benchmark(lone, *QUICK, *case.options) == 1
    _is_one_line(capsys.readouterr().err, case.message)


def _is_one_line(text: str, message: str) -> None:
    lines = text.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert re.search(message, lines[0]), lines[0]


def test_data_of_other_classes_is_refused(lone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog"):
        folder = tmp_path / "pets" / "test" / name
        folder.mkdir(parents=True)
        for index in range(N):
            Image.new("RGB", (32, 32), (index, 0, 0)).save(folder / f"{index}.png")
    assert benchmark(lone, *QUICK, "--data", tmp_path / "pets") == 1
    _is_one_line(capsys.readouterr().err, "foreign's .* classes .*got pets/test with 2")


def test_a_replayed_set_that_is_none_is_refused_before_anything_is_attacked(
    lone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set.npz").write_bytes(b"nothing")
    assert benchmark(lone, *QUICK, "--cache", tmp_path / "cache", "--replay", tmp_path / "set.npz") == 1
    _is_one_line(capsys.readouterr().err, "set.npz")
    assert not (tmp_path / "cache").exists()


def test_a_folder_of_something_else_is_left_alone(
    lone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "record.json").write_text('{"some": "thing"}')
    assert benchmark(lone, *QUICK, "--out", tmp_path) == 1
    _is_one_line(capsys.readouterr().err, "earlier benchmark's")
    assert (tmp_path / "record.json").read_text() == '{"some": "thing"}'


def test_ctrl_c_exits_130_and_keeps_what_was_done(lone: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    code = "import sys; from capgan_edge.cli import main; sys.exit(main())"
    arguments = ["benchmark", "robustness", str(lone), "--data", "signs", "--n", str(N), "--batch", "4",
                 "--attacks", "square-100000", "--epsilons", "255,1", "--cache", str(cache)]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        given_up_s = time.monotonic() + TIMEOUT_S
        while len(list(cache.rglob("??/*.npz"))) < 2 and time.monotonic() < given_up_s:
            time.sleep(0.1)
        time.sleep(1)  # well into the second epsilon, which takes minutes
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "interrupted"
    assert len(list(cache.rglob("??/*.npz"))) == 2
    assert len(list((cache / "interrupted").glob("*.npz"))) == 1


def test_the_group_needs_nothing_heavy_to_be_listed() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "PIL", "matplotlib", "safetensors")
    code = f"import sys\nfor name in {heavy!r}: sys.modules[name] = None\nimport capgan_benchmarks.benchmark_command"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT_S)
