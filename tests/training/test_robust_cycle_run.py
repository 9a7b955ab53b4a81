"""Robust runs with CAP-GAN's GAN and cycle: resumed, rolled back, and refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from pointers import state_of
from robust_runs import STEPS, Interrupt, ScriptedWatch, check_resumed, make_run

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.training.checkpoint import load_checkpoint
from capgan_edge.training.robust_config import RobustConfig

BOTH = {"gan_weight": 0.3, "cycle_weight": 0.7}
WHOLE_ALONE: dict[str, Any] = {"head_epochs": 0, "head_small_crop_epochs": 0, "draw_epochs": 0, "painter_epochs": 0,
                               "init": "identity"}  # fmt: skip


def test_with_both_it_is_resumed_bit_for_bit_before_and_within_the_last_stage(
    tmp_path: Path, signs: ImageSet, interrupt: Interrupt
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    settings = {"head_epochs": 1, "head_small_crop_epochs": 0, "draw_epochs": 0, "painter_epochs": 0, "ndf": 2,
                "whole_epochs": 2, "awp_gamma": 0.01, "awp_warmup_epochs": 1, **BOTH}  # fmt: skip
    run, held = check_resumed(
        straight, stopped, lambda path, fabric: make_run(path, fabric, signs, **settings), interrupt, at=(1, 2)
    )
    rates = {
        name: optimizer.param_groups[0]["lr"] / peak for name, (optimizer, peak, _) in run.steps.optimizers.items()
    }
    assert rates == {name: pytest.approx(rates["optimizer"]) for name in ("optimizer", "t_ca_optimizer", "d_optimizer")}
    usual = {"t_ac", "raw", "optimizer", "victim"}
    assert held == [usual, usual | {"t_ca", "d_c", "d_a", "t_ca_optimizer", "d_optimizer"}]
    assert all(state_of(stopped)["row"][name] > 0 for name in ("gan", "cycle", "d"))


def test_a_collapse_takes_all_networks_back(
    tmp_path: Path, signs: ImageSet, fabric: Fabric, interrupt: Interrupt
) -> None:
    run = make_run(tmp_path, fabric, signs, whole_epochs=3, ndf=2, **WHOLE_ALONE, **BOTH)
    run.watch = ScriptedWatch([(20.0, 20.0), (60.0, 3.0)])  # type: ignore[assignment]
    interrupt(fabric, 2 * STEPS)  # right after the epoch that collapses
    with pytest.raises(KeyboardInterrupt):
        run.run()
    best, last = (load_checkpoint(tmp_path / name, "purifier") for name in ("best.json", "last.json"))
    assert (best.epoch, last.epoch, last.state["row"]["is_rolled_back"]) == (1, 2, 1.0)
    assert all(torch.equal(tensor, last.tensors[name]) for name, tensor in best.tensors.items())


def test_a_checkpoint_without_the_networks_is_refused(tmp_path: Path, signs: ImageSet, fabric: Fabric) -> None:
    settings = WHOLE_ALONE | {"whole_epochs": 2}
    run = make_run(tmp_path, fabric, signs, **settings)
    run.config = replace(run.config, whole_epochs=1)
    run.run()
    with pytest.raises(CheckpointError, match="expected the weights of this Purifier"):
        make_run(tmp_path, fabric, signs, **settings, **BOTH).resume()


@pytest.mark.parametrize("name", BOTH)
def test_they_are_refused_where_no_stage_has_them(name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"expected whole_epochs of 1 or more with {name} 0\.5, got 0: .*leave it out"
    ):
        RobustConfig(whole_epochs=0, **{name: 0.5})  # type: ignore[arg-type]
