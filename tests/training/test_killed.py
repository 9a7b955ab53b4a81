"""A training process, or the command, that is killed or interrupted loses at most the epoch it was in."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from run_until import CONFIG, main, make_images

from capgan_edge.training.checkpoint import load_checkpoint
from capgan_edge.training.device import start_fabric
from capgan_edge.training.victim import train_victim

SCRIPT = Path(__file__).with_name("run_until.py")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums depend on how many threads share them: bit for bit means with as many threads as the process killed had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The last tensors of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("straight")
    with one_thread():
        main(folder, "never")
    return (folder / f"epoch-{CONFIG.epochs:04d}.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "sent"),
    [("write", signal.SIGKILL), ("step", signal.SIGKILL), ("step", signal.SIGINT)],
    ids=["kill -9 in a write", "kill -9 in a step", "Ctrl-C in a step"],
)
def test_a_stopped_process_leaves_a_whole_checkpoint_to_go_on_from(
    tmp_path: Path, place: str, sent: signal.Signals, straight: bytes
) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path), place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(sent)
        process.communicate(timeout=60)
    # After Ctrl-C the interpreter ends by the signal, or with 1: imports beneath torch change which.
    assert process.returncode in ((-sent,) if sent == signal.SIGKILL else (-sent, 1))
    leftovers = [path.name for path in tmp_path.glob(".*.tmp")]
    assert len(leftovers) == (1 if place == "write" else 0)  # the half-written file never got its name

    assert load_checkpoint(tmp_path, "victim").epoch == 1
    assert load_checkpoint(tmp_path / "best.json", "victim").epoch == 1
    assert not (tmp_path / "finished.json").exists()

    with one_thread():
        train_victim(CONFIG, make_images(), tmp_path, start_fabric("fp32"), is_resumed=True)
    assert (tmp_path / f"epoch-{CONFIG.epochs:04d}.safetensors").read_bytes() == straight
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A folder of two classes of noise, 12 images of 8 px each."""
    rng = np.random.default_rng(0)
    for name in ("train/a", "train/b", "test/a", "test/b"):
        folder = tmp_path / "noise" / name
        folder.mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "noise"


def interrupt_command(arguments: list[str], run_path: Path, *, after_epoch: int) -> tuple[int, str]:
    """Run `capgan-edge ...`, send Ctrl-C when the run is past an epoch; return the exit code and the last line."""
    command = [sys.executable, "-m", "capgan_edge.cli", *arguments]
    deadline_s = time.monotonic() + 300
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while epoch_of(run_path) <= after_epoch and process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    return process.returncode, err.splitlines()[-1]


def epoch_of(run_path: Path) -> int:
    pointer = run_path / "last.json"
    return int(json.loads(pointer.read_text())["epoch"]) if pointer.exists() else 0


@pytest.mark.slow
def test_ctrl_c_on_the_command_ends_it_with_130_and_a_checkpoint_to_go_on_from(noise: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["train", "victim", "--data", str(noise), "-o", str(out), "--epochs", "100000", "--batch-size", "8",
                 "--precision", "fp32"]  # fmt: skip
    assert interrupt_command(arguments, out, after_epoch=0) == (130, "interrupted")
    first = load_checkpoint(out, "victim").epoch  # whole: its hash was checked
    assert first >= 1
    assert not (out / "finished.json").exists()
    assert not list(out.glob(".*.tmp"))

    assert interrupt_command([*arguments, "--resume"], out, after_epoch=first) == (130, "interrupted")
    assert load_checkpoint(out, "victim").epoch > first
    rows = (out / "log.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, len(rows) + 1))
