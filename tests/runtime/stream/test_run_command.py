"""`capgan-edge run` through its front door: outputs, exit codes, signals."""

from __future__ import annotations

import json
import signal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from footage import LABEL_OF, colours_of, write_video
from programs import rows_of, started

from capgan_edge.cli import GROUP, main
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.card import SuspicionThreshold
from capgan_edge.runtime.growth import grow_bundle, locked

STREAM = [EntryPoint("stream", "capgan_edge.runtime.stream.command:app", GROUP)]


def test_a_file_runs_to_its_end_with_all_outputs(
    shared_bundle: Bundle, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, saved = tmp_path / "events.jsonl", tmp_path / "out.mp4"
    arguments = ["run", str(shared_bundle.path), "--source", str(video), "--every-frame", "--vote", "1", "--view",
                 "--jsonl", str(lines), "--save", str(saved), "--metrics-port", "0", "--json"]  # fmt: skip
    assert main(arguments, STREAM) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["counts"]["frames"], said["exit_code"]) == (12, 0)
    assert said["classifier"]["precision"] == "fp32"
    labels = [row["verdicts"][0]["label"] for row in rows_of(lines.read_text()) if row["kind"] == "frame"]
    assert labels == [LABEL_OF[letter] for letter in "rrrrggggbbbb"]
    capture = cv2.VideoCapture(str(saved))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    capture.release()
    assert "metrics at http://127.0.0.1:" in err


@pytest.mark.parametrize("is_drawn", [True, False])
def test_the_inset_is_drawn_where_the_bundle_gives_it_and_it_is_wanted(
    is_drawn: bool, shared_bundle: Bundle, video: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "out.avi"
    arguments = ["run", str(shared_bundle.path), "--source", str(video), "--every-frame", "--save", str(saved)]
    assert main([*arguments, "--inset" if is_drawn else "--no-inset"], STREAM) == 0
    pictures = []
    for path in (video, saved):
        capture = cv2.VideoCapture(str(path))
        pictures.append(capture.read()[1].astype(int))
        capture.release()
    came, drawn = (picture_HWC[2:10, 2:10].mean(axis=(0, 1)) for picture_HWC in pictures)
    off_purified, off_plain = (np.abs(drawn - colour).sum() for colour in (255 - came, came))
    assert (off_purified < off_plain) == is_drawn, "the tiny purifier inverts"


def test_a_bundle_that_gives_no_purified_frames_is_told_where_an_inset_is_wanted(
    video: Path, tmp_path: Path, make_model: Any, make_manifest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("logits", "suspicion")
    manifest = make_manifest(outputs=[output for output in make_manifest().outputs if output.name in given])
    plain = write_bundle(tmp_path / "plain", manifest, {"model.fp32.onnx": make_model(outputs=given)})
    arguments = ["run", str(plain.path), "--source", str(video), "--every-frame", "--backend", "cpu"]
    said = []
    for options in (["--save", "out.avi"], ["--save", "out.avi", "--no-inset"], []):
        places = [str(tmp_path / option) if option == "out.avi" else option for option in options]
        assert main([*arguments, *places], STREAM) == 0
        said.append("no inset is drawn, since the bundle gives no purified frames" in capsys.readouterr().err)
    assert said == [True, False, False]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_bundle_is_loaded_is_exit_0_and_nothing_is_opened(
    number: signal.Signals, shared_bundle: Bundle, video: Path, tmp_path: Path
) -> None:
    saved, lines = tmp_path / "out.mp4", tmp_path / "lines"
    run = started(shared_bundle.path, "--source", video, "--loop", "--save", saved, "--jsonl", lines,
                  signal_at_load=number)  # fmt: skip
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert "no frames" in err
    assert "source" not in err
    assert not saved.exists()
    assert not lines.exists()


def test_lines_on_standard_output_are_nothing_but_lines(
    shared_bundle: Bundle, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(shared_bundle.path), "--source", str(video), "--every-frame", "--jsonl", "-"]
    assert main([*arguments, "--regions", "grid:1x2"], STREAM) == 0
    out, err = capsys.readouterr()
    assert {len(row["verdicts"]) for row in rows_of(out) if row["kind"] == "frame"} == {2}
    assert "source ended: its 12 frames are over" in err
    assert "note: " in err  # the bundle has no card
    assert main([*arguments, "--json"], STREAM) == 1
    assert "standard output, got both" in capsys.readouterr().err


def test_the_threshold_of_the_artifact_raises_alarms(
    bundle_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "model.fp32.onnx"
    with locked(bundle_path) as bundle:
        digest = bundle.manifest.files[name].sha256
        threshold = SuspicionThreshold(artifact=name, artifact_sha256=digest, threshold=0.1, n=100, seed=0,
                                       false_alarm_rate=0.01, measured_rate=0.01, data="signs/test")  # fmt: skip
        grow_bundle(bundle, bundle.manifest.model_copy(update={"thresholds": (threshold,)}), {})
    arguments = ["run", str(bundle_path), "--source", str(video), "--every-frame", "--jsonl", "-", "--backend", "cpu"]
    assert main(arguments, STREAM) == 0
    rows = [row for row in rows_of(capsys.readouterr().out) if row["kind"] == "frame"]
    assert {row["is_alarm"] for row in rows} == {True}
    assert main([*arguments, "--require-card"], STREAM) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--source", "nothing.mp4"], "there is no such file"),
        (["--source", "VIDEO", "--regions", "thirds"], "expected regions as"),
        (["--source", "VIDEO", "--on-deadline-miss", "pray"], "on_deadline_miss is one of"),
        (["--source", "VIDEO", "--window"], "headless"),
        (["--source", "VIDEO", "--save", "out.gif"], "expected a video as"),
        (["--source", "VIDEO", "--jsonl", "none/lines"], "expected to write JSON lines"),
        (["--source", "VIDEO", "--stall-s", "60"], "stalls before it is lost"),
        (["--source", "VIDEO", "--save", "VIDEO"], "for --source and for --save"),
        (["--source", "VIDEO", "--jsonl", "VIDEO"], "for --source and for --jsonl"),
        (["--source", "VIDEO", "--hang-s", "0"], "hang_s is a number of seconds"),
        (["--source", "rtsp://host/x", "--every-frame"], "does not wait"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_1(
    options: list[str], message: str, shared_bundle: Bundle, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = video.read_bytes()
    arguments = [str(video) if option == "VIDEO" else option for option in options]
    assert main(["run", str(shared_bundle.path), *arguments], STREAM) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert video.read_bytes() == before


def test_a_graph_that_keeps_failing_is_exit_3(
    tmp_path: Path, video: Path, make_model: Any, make_manifest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_model(scale=float("inf"))  # logits that are not finite, in every frame
    broken = write_bundle(tmp_path / "broken", make_manifest(), {"model.fp32.onnx": data})
    arguments = ["run", str(broken.path), "--source", str(video), "--every-frame", "--backend", "cpu"]
    assert main(arguments, STREAM) == 3
    assert "failed 11 times before the first frame" in capsys.readouterr().err


def test_a_deadline_that_cannot_be_kept_is_exit_4(shared_bundle: Bundle, video: Path) -> None:
    arguments = ["run", str(shared_bundle.path), "--source", str(video), "--deadline-ms", "0.000001"]
    assert main([*arguments, "--on-deadline-miss", "stop"], STREAM) == 4


def test_a_disk_that_takes_no_more_is_told_while_the_loop_goes_on_and_is_exit_5(
    shared_bundle: Bundle, tmp_path: Path
) -> None:
    path = tmp_path / "long.mp4"
    write_video(path, colours_of("rgb" * 40, (240, 320)))
    run = started(shared_bundle.path, "--source", path, "--every-frame", "--save", tmp_path / "out.avi",
                   "--jsonl", "-", limit_bytes=200_000)  # fmt: skip
    out, err = run.communicate(timeout=60)
    assert run.returncode == 5, err
    rows = rows_of(out)
    assert (rows[-1]["source_state"], rows[-1]["counts"]["frames"]) == ("ended", 120)
    assert "--save failed" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_0(
    number: signal.Signals, shared_bundle: Bundle, video: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "out.mp4"
    run = started(shared_bundle.path, "--source", video, "--loop", "--jsonl", "-", "--save", saved)
    assert run.stdout is not None
    lines: list[str] = []
    while sum('"kind": "frame"' in line for line in lines) < 5:
        lines.append(run.stdout.readline())
        assert lines[-1], "the loop ended by itself"
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    rows = [*rows_of("".join(lines)), *rows_of(out)]  # also the last line is whole
    assert [row["number"] for row in rows] == list(range(len(rows)))
    assert "Traceback" not in err
    capture = cv2.VideoCapture(str(saved))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == sum(row["kind"] == "frame" for row in rows)
    capture.release()


def test_a_reader_that_goes_away_ends_the_program_quietly(shared_bundle: Bundle, video: Path) -> None:
    run = started(shared_bundle.path, "--source", video, "--loop", "--jsonl", "-")
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.close()
    assert run.stderr is not None
    err = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) == 1
    assert "Traceback" not in err
