"""Two gloo processes that share each batch get the weights of one process."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from two_processes import CONFIG, SHAPES, main

from capgan_edge.models.purifier import Purifier
from capgan_edge.training.checkpoint import load_checkpoint, module_tensors

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.mark.slow
def test_two_processes_get_the_weights_of_one(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "two"), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "MEMBER: 2/2" in done.stderr  # there were two
    main(tmp_path / "one", 1)
    for name, shape in SHAPES.items():
        one, two = (load_checkpoint(tmp_path / count / name, "purifier").tensors for count in ("one", "two"))
        torch.manual_seed(CONFIG.seed)
        start = module_tensors("t_ac", Purifier(shape))
        assert one.keys() == two.keys()
        weights = [key for key in one if not key.split(".")[0].endswith("optimizer")]
        away_N = torch.cat([(two[key] - one[key]).abs().flatten() for key in weights])
        moved = max(float((one[key] - start[key]).abs().max()) for key in start)
        assert moved > 3e-4  # six steps of Adam at 1e-4
        assert float(torch.quantile(away_N, 0.999)) < 1e-6, name
        assert float(away_N.max()) < 1e-4, name  # Adam makes steps of gradients that are rounding error alone
        with (tmp_path / "two" / name / "log.csv").open(newline="") as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]  # one process writes the log
    check_batch_norms(tmp_path / "two")


def check_batch_norms(folder: Path) -> None:
    """The running statistics are the mean of the processes', in all of them and in what was saved."""
    first, second = (load_file(folder / f"rank-{rank}.safetensors") for rank in (0, 1))
    running = [key for key in first if key.split(".")[-1] in ("running_mean", "running_var")]
    assert len(running) > 20
    assert all(torch.equal(first[key], second[key]) for key in running)
    assert first["norm.running_mean"].tolist() == [1.0, 1.0]
    assert first["norm.running_var"].tolist() == [1.5, 1.5]
    purifier, victim = load_checkpoint(folder / "batch", "purifier"), load_checkpoint(folder / "victim", "victim")
    for saved in (purifier.tensors, victim.tensors):
        assert any(key in saved for key in running)
        assert all(torch.equal(saved[key], first[key]) for key in running if key in saved)
    assert (purifier.state["devices"], victim.state["devices"]) == (2, 2)
