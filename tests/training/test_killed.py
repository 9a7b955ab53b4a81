"""A training process that is killed or interrupted loses at most the epoch it was in."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_until import CONFIG, main, make_images

from capgan_edge.training.checkpoint import load_checkpoint
from capgan_edge.training.device import start_fabric
from capgan_edge.training.victim import train_victim

SCRIPT = Path(__file__).with_name("run_until.py")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The last tensors of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("straight")
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
    assert process.returncode == -sent
    leftovers = [path.name for path in tmp_path.glob(".*.tmp")]
    assert len(leftovers) == (1 if place == "write" else 0)  # the half-written file never got its name

    assert load_checkpoint(tmp_path, "victim").epoch == 1
    assert load_checkpoint(tmp_path / "best.json", "victim").epoch == 1
    assert not (tmp_path / "finished.json").exists()

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_victim(CONFIG, make_images(), tmp_path, start_fabric("fp32"), is_resumed=True)
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / f"epoch-{CONFIG.epochs:04d}.safetensors").read_bytes() == straight
    assert not list(tmp_path.glob(".*.tmp"))
