"""Two gloo processes that share each batch get the weights of one process."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
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
