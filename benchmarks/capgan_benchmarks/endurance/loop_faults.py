"""Faults around a camera loop: an engine that raises, a disk that is full, a clock that jumps."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import capgan_edge
from capgan_benchmarks.endurance.answers import tally_of
from capgan_benchmarks.endurance.bench import Bench
from capgan_benchmarks.endurance.fault import Fault, NotTried, must
from capgan_benchmarks.endurance.footage import KnownVideo, frames_of_video, opened_classifier, sign_video
from capgan_benchmarks.endurance.jumping_clock import HOW, jumping_clock
from capgan_benchmarks.endurance.process import Ended, camera_loop, started
from capgan_edge.runtime.stream.event import Event

_NUM_FRAMES = 40
_NUM_SAVED = 120
_FIRST_FAILING, _MAX_FAILURES = 10, 3
_TMPFS_KIB = 32 * 1024 + 256
"""A quarter of a MiB more than the loop leaves free."""
_APART = ("unshare", "--user", "--map-root-user", "--mount")
_FILE_BLOCKS = 400
"""Largest file under the limit, in blocks of 512 bytes."""


def raises_once(bench: Bench) -> str:
    """Let one call of the engine fail."""
    known, rows, ended = _troubled(bench, num_failing=1)
    failed = [row for row in rows if row["error"]]
    tally = tally_of(known.kind_of(row) for row in rows if row["kind"] == "frame" and not row["error"])
    must(ended.code == 0, f"exit {ended.code}: {ended.err.strip()[-200:]}")
    must(len(failed) == rows[-1]["counts"]["errors"] == 1, f"{len(failed)} frames failed")
    must(not failed[0]["verdicts"], "the frame that failed has a verdict")
    must(tally.right == _NUM_FRAMES - 1, f"{tally.right} of {_NUM_FRAMES - 1} other frames have their verdict")
    return f"1 frame counted as failed, without a verdict; the other {tally.right} have theirs; exit 0"


def raises_always(bench: Bench) -> str:
    """Let every call fail from the tenth on."""
    known, rows, ended = _troubled(bench, num_failing=1_000_000)
    frames = [row for row in rows if row["kind"] == "frame"]
    num_right = tally_of(known.kind_of(row) for row in frames if not row["error"]).right
    last = ended.err.strip().splitlines()[-1:]
    must(ended.code == 3, f"exit {ended.code}: {ended.err.strip()[-200:]}")
    must(len(last) == 1 and last[0].startswith("error: ") and "Traceback" not in ended.err, f"it said: {ended.err}")
    num_failed = rows[-1]["counts"]["errors"]
    must(num_failed == _MAX_FAILURES + 1, f"{num_failed} frames were counted as failed")
    must(0 < num_right == len(frames) - num_failed, f"{num_right} of {len(frames) - num_failed} others were right")
    return f"{num_right} frames before it with their verdict, {num_failed} counted as failed, told in a line, exit 3"


def disk_is_full(bench: Bench) -> str:
    """Save to a file system that is full soon, and that no other process sees."""
    saved, target = bench.folder / "kept.avi", bench.folder / "mount"
    target.mkdir(exist_ok=True)
    if not _can_mount(target):
        raise NotTried("needs Linux's unshare and tmpfs, to mount a small file system that no other process sees")
    script = (f'mount -t tmpfs -o size={_TMPFS_KIB}k none "$1" || exit 99; target=$1; kept=$2; shift 2; "$@"; code=$?; '
              'cp "$target/out.avi" "$kept"; exit $code')  # fmt: skip
    before = (*_APART, "sh", "-c", script, "sh", str(target), str(saved))
    said = _saved_to(bench, target / "out.avi", before)
    num_held = len(frames_of_video(saved))
    must(0 < num_held < _NUM_SAVED, f"{num_held} frames are in the video")
    return f"{said}; the {num_held} frames saved before can be played"


def file_too_large(bench: Bench) -> str:
    """Save under a limit of the size of a file (RLIMIT_FSIZE), so that a write itself fails."""
    script = f'ulimit -f {_FILE_BLOCKS} && exec "$@"'
    return _saved_to(bench, bench.folder / "limited.avi", ("sh", "-c", script, "sh"))


def clock_jumps(bench: Bench) -> str:
    """Run the loop while the wall clock jumps."""
    known = KnownVideo(bench, sign_video(bench, _NUM_FRAMES))
    with opened_classifier(bench) as classifier:
        began_s = time.monotonic()
        stream = capgan_edge.stream(classifier, known.path, vote=1, every_frame=True, is_looped=True)
        with jumping_clock():
            events = list(itertools.islice(stream, 3 * _NUM_FRAMES))
        stream.close()
        took_s = time.monotonic() - began_s
    frames = [event for event in events if event.kind == "frame"]
    ages_ms = [event.age_ms or 0.0 for event in frames]
    times_s = [event.captured_s or 0.0 for event in frames]
    must(
        min(ages_ms) >= 0 and max(ages_ms) <= 1000 * took_s,
        f"ages from {min(ages_ms):.0f} to {max(ages_ms):.0f} ms",
    )
    must(times_s == sorted(times_s), "times of capture go backwards")
    must(times_s[-1] - times_s[0] <= took_s, f"times of capture span {times_s[-1] - times_s[0]:.0f} s")
    tally = tally_of(known.kind_of(_row(event)) for event in frames)
    must(tally.right == tally.asked, f"{tally.right} of {tally.asked} frames have their verdict")
    return f"{len(frames)} frames, largest age {max(ages_ms):.0f} ms, times of capture in order ({HOW})"


def _can_mount(target: Path) -> bool:
    """Return whether a file system can be mounted where only one process sees it."""
    if shutil.which("unshare") is None:
        return False
    command = (*_APART, "mount", "-t", "tmpfs", "-o", "size=64k", "none", str(target))
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _saved_to(bench: Bench, path: Path, before: Sequence[str]) -> str:
    known = KnownVideo(bench, sign_video(bench, _NUM_SAVED))
    options = ("--source", str(known.path), "--every-frame", "--vote", "1", "--no-inset", "--save", str(path))
    with camera_loop(bench, *options, before=before) as process:
        ended = process.wait()
    rows = [json.loads(line) for line in ended.out.splitlines()]
    tally = tally_of(known.kind_of(row) for row in rows if row["kind"] == "frame")
    must(ended.code == 5, f"exit {ended.code}: {ended.err.strip()[-200:]}")
    must("--save failed" in ended.err and "Traceback" not in ended.err, f"stderr said: {ended.err.strip()[-200:]}")
    must(tally.right == _NUM_SAVED, f"{tally.right} of {_NUM_SAVED} frames have their verdict")
    return f"told; all {tally.right} frames have their verdict; exit 5"


def _troubled(bench: Bench, *, num_failing: int) -> tuple[KnownVideo, list[dict[str, Any]], Ended]:
    """Run the loop whose engine fails over a short video to its end; return what it must say and what it said."""
    known = KnownVideo(bench, sign_video(bench, _NUM_FRAMES))
    with started("-m", "capgan_benchmarks.endurance.troubled_loop", f"{_FIRST_FAILING}", f"{num_failing}",
                 str(bench.bundle), *bench.running.options, "--source", str(known.path), "--every-frame", "--vote", "1",
                 "--max-failures", f"{_MAX_FAILURES}", "--jsonl", "-") as process:  # fmt: skip
        ended = process.wait()
    return known, [json.loads(line) for line in ended.out.splitlines()], ended


def _row(event: Event) -> dict[str, Any]:
    """Return an event as a JSON line has it, as far as verdicts go."""
    return {"frame_number": event.frame_number, "verdicts": [asdict(verdict) for verdict in event.verdicts]}


FAULTS = (
    Fault("camera loop", "runner raises once", "that frame is counted, all others have their verdict", raises_once),
    Fault("camera loop", "runner raises always", "counted and told in a line, exit 3", raises_always),
    Fault("camera loop", "full disk under --save", "told, the loop goes on, the video plays, exit 5", disk_is_full),
    Fault("camera loop", "write fails under --save", "told, the loop goes on, exit 5", file_too_large),
    Fault("camera loop", "clock jumps", "ages and times of capture do not", clock_jumps),
)  # fmt: skip
