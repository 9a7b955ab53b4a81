"""Settings of the mode `robust`, from the command line and as they are refused; and the two modes beside each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pointers import change, state_of

from capgan_edge.cli import main
from capgan_edge.errors import ConfigError
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
from capgan_edge.models.weights import weights_sha256
from capgan_edge.training.robust import check_shape
from capgan_edge.training.robust_config import RobustConfig, attack_steps
from capgan_edge.training.robust_start import robust_config, start_robust
from capgan_edge.training.runs import load_purifier_run

Output = pytest.CaptureFixture[str]
ROBUST = ["--mode", "robust", "--batch-size", "16", "--precision", "fp32"]
STAGES = ("head_epochs=1", "head_small_crop_epochs=0", "draw_epochs=0", "painter_epochs=0", "whole_epochs=0")
SHORT = [part for setting in STAGES for part in ("--set", setting)]


@pytest.mark.parametrize(
    ("option", "value"),
    [("attack", "fgsm"), ("attack", "pgd-0"), ("epsilon", 1.5), ("epsilon", float("nan")), ("beta", -1.0),
     ("semantic_weight", float("inf")), ("l1_weight", -0.1), ("domain_weight", -0.1), ("head_weight", -2.0),
     ("label_smoothing", 1.0), ("ema_decay", 1.0), ("collapse_points", 0.0), ("max_gradient_norm", 0.0),
     ("learning_rate", 0.0), ("painter_learning_rate", -1.0), ("weight_decay", -1.0), ("schedule", "linear"),
     ("init", "noise"), ("init", "identity"), ("head_epochs", -1), ("head_small_crop_epochs", 99),
     ("small_crop_px", 10), ("awp_gamma", -0.01), ("awp_gamma", 1.0), ("awp_warmup_epochs", -1),
     ("gan_weight", -0.1), ("gan_weight", float("inf")), ("cycle_weight", float("nan")), ("ndf", 0),
     ("inverse_learning_rate", 0.0), ("discriminator_learning_rate", float("inf")),
     ("teacher_weight", -1.0), ("teacher_temperature", 0.0), ("batch_size", 1), ("num_watched", 0), ("seed", -1)],
)  # fmt: skip
def test_a_setting_out_of_bounds_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigError, match="expected"):
        RobustConfig(**{option: value})


def test_a_run_of_no_epochs_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one in all"):
        RobustConfig(head_epochs=0, head_small_crop_epochs=0, draw_epochs=0, painter_epochs=0, whole_epochs=0)


def test_attacks_are_named_by_their_steps() -> None:
    assert [attack_steps(name) for name in ("n-fgsm", "pgd-1", "pgd-10")] == [0, 1, 10]


def test_every_kind_of_setting_is_read_from_its_text() -> None:
    texts = ["beta=2", "has_cutmix=true", "max_gradient_norm=none", "attack=pgd-7", "head_epochs=20", "ema_decay=0"]
    config = robust_config(texts, batch_size=64)
    assert (config.beta, config.has_cutmix, config.max_gradient_norm) == (2.0, True, None)
    assert (config.attack, config.head_epochs, config.ema_decay, config.batch_size) == ("pgd-7", 20, 0.0, 64)
    assert type(config.beta) is type(config.ema_decay) is float
    assert config.head_small_crop_epochs == 15  # the share that the default has
    assert robust_config(["head_epochs=9", "head_small_crop_epochs=9"], batch_size=2).head_small_crop_epochs == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [("beta", "expected --set NAME=VALUE with a name among attack, "), ("gamma=2", "got 'gamma=2'"),
     ("batch_size=4", "got 'batch_size=4'"), ("beta=much", "expected beta as a number, got 'much'"),
     ("head_epochs=2.5", "expected head_epochs as a whole number, got '2.5'"),
     ("has_cutmix=1", "expected has_cutmix as true or false, got '1'")],
)  # fmt: skip
def test_a_text_that_is_no_setting_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match="(?s)" + message):
        robust_config([text], batch_size=16)


def test_the_command_trains_resumes_and_keeps_the_modes_apart(
    photos: Path, pair_path: Path, tmp_path: Path, capsys: Output
) -> None:
    out, shared = tmp_path / "robust", ["--data", str(photos), "--victim", str(pair_path / "victim")]
    arguments = ["train", "purifier", *shared, "-o", str(out)]
    assert main([*arguments, *ROBUST, *SHORT, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["is_finished"], summary["epochs"]) == (True, 1)
    state = state_of(out)
    assert (state["mode"], state["purifier"]["num_classes"], state["config"]["num_held_out"]) == ("robust", 2, 4)

    change(out, lambda state: state["config"].update(whole_epochs=1))
    assert main([*arguments, "--mode", "cap-gan", "--resume"]) == 1
    assert "expected --mode robust, in which" in capsys.readouterr().err
    more_than_there_are = ["--set", "num_held_out=1000", "--set", "num_watched=500"]
    assert main([*arguments, "--resume", *more_than_there_are]) == 0, "the mode is the run's, and so are its few images"
    assert state_of(out)["stage"] == "whole"
    assert load_purifier_run(out)[2].epoch == 2
    for options, message in (
        (["--set", "whole_epochs=1", "--set", "beta=2.5"], "expected --set beta=1.0, with which"),
        (["--init-from", str(pair_path / "purifier")], "expected no --init-from beside --resume"),
    ):
        assert main([*arguments, "--resume", *options]) == 1, "what is not done must not be passed over"
        assert message in capsys.readouterr().err

    shutil.rmtree(tmp_path / "robust")
    start = ["--init-from", str(pair_path / "purifier")]
    last_alone = [*SHORT, "--set", "head_epochs=0", "--set", "whole_epochs=1"]
    assert main([*arguments, *ROBUST, *last_alone, "--set", "init=run", *start]) == 0
    assert load_purifier_run(out)[0].config == load_purifier_run(pair_path / "purifier")[0].config

    shutil.rmtree(out)
    assert main([*arguments, *ROBUST, *SHORT, "--set", "init=run", *start]) == 1
    assert (
        "expected head_epochs, draw_epochs and painter_epochs of 0 with a CAP-GAN purifier" in capsys.readouterr().err
    )


def test_a_robust_run_is_trained_further_in_any_stage_and_may_get_class_maps(
    photos: Path, pair_path: Path, tmp_path: Path, capsys: Output
) -> None:
    shared = ["train", "purifier", "--data", str(photos), "--victim", str(pair_path / "victim"), *ROBUST, *SHORT]
    assert main([*shared, "-o", str(tmp_path / "first")]) == 0
    further = [*shared, "-o", str(tmp_path / "further"), "--set", "init=run", "--init-from", str(tmp_path / "first")]
    for options, message in (
        (["--preset", "robust-small"], "got ngf 32 for 16, middle_channels 96 for 48"),
        (["--seed", "1"], "expected the images held back that"),
        (["--preset", "robust-nano-prototypes"], "expected draw_epochs of 1 or more with a painter that is not"),
        (["--set", "num_held_out=2", "--set", "num_watched=2"], "pass --set num_held_out=4"),
    ):
        assert main([*further, *options]) == 1
        assert message in capsys.readouterr().err
    with_maps = [*further, "--preset", "robust-nano-maps", "--set", "draw_epochs=1"]
    assert main(with_maps) == 0
    config = load_purifier_run(tmp_path / "further")[0].config
    assert isinstance(config, RobustPurifierConfig)
    assert (config.class_map_px, config.num_classes) == (8, 2)
    state = state_of(tmp_path / "further")
    assert state["stage"] == "draw"
    assert state["initial"] == {"sha256": weights_sha256(load_purifier_run(tmp_path / "first" / "best.json")[0])}
    resumed = [*shared, "-o", str(tmp_path / "further"), "--set", "draw_epochs=1", "--resume"]  # the one with maps
    assert main(resumed) == 0
    assert main([*resumed, "--preset", "robust-nano"]) == 1
    assert "--preset" in capsys.readouterr().err


def test_a_resumed_older_run_is_held_to_what_was_done_before_there_was_the_setting(
    photos: Path, pair_path: Path, tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "run"
    shared = ["train", "purifier", "--data", str(photos), "--victim", str(pair_path / "victim"), *ROBUST, *SHORT]
    assert main([*shared, "-o", str(out)]) == 0
    change(out, lambda state: state["config"].pop("painter_learns_suspicion"))
    resumed = [*shared, "-o", str(out), "--resume", "--set"]
    assert main([*resumed, "painter_learns_suspicion=true"]) == 1
    assert "expected --set painter_learns_suspicion=False, with which" in capsys.readouterr().err
    assert main([*resumed, "painter_learns_suspicion=false"]) == 0


def test_a_robust_run_may_be_given_a_painter_of_the_decision_alone(
    photos: Path, pair_path: Path, tmp_path: Path
) -> None:
    shared = ["train", "purifier", "--data", str(photos), "--victim", str(pair_path / "victim"), *ROBUST, *SHORT]
    assert main([*shared, "-o", str(tmp_path / "first")]) == 0
    options = ["--preset", "robust-nano-prototypes", "--set", "head_epochs=0", "--set", "draw_epochs=1",
               "--set", "init=run", "--init-from", str(tmp_path / "first")]  # fmt: skip
    assert main([*shared, *options, "-o", str(tmp_path / "painted")]) == 0
    first, painted = (load_purifier_run(tmp_path / run / "best.json")[0] for run in ("first", "painted"))
    assert isinstance(painted.config, RobustPurifierConfig)
    assert (painted.config.paints, painted.config.class_map_px) == ("decision", 32)
    held, kept = first.state_dict(), painted.state_dict()
    for name in held:
        assert name.startswith("painter.") or torch.equal(held[name], kept[name]), name
    one_BCHW, other_BCHW = torch.rand(2, 1, 3, 32, 32)
    logits_BK = torch.randn(1, 2)
    assert isinstance(painted, RobustPurifier)
    assert torch.equal(painted.paint(one_BCHW, None, logits_BK), painted.paint(other_BCHW, None, logits_BK))


def test_a_painter_of_the_decision_alone_cannot_begin_as_the_identity() -> None:
    shape = RobustPurifierConfig(paints="decision", class_map_px=8)
    identity = RobustConfig(init="identity", head_epochs=0, head_small_crop_epochs=0, draw_epochs=0, painter_epochs=0)
    with pytest.raises(ConfigError, match="expected a painter that can leave a frame as it is for init identity"):
        check_shape(identity, shape, 10)


def test_a_further_run_starts_before_the_same_victim(photos: Path, pair_path: Path, tmp_path: Path) -> None:
    victim = ["train", "victim", "--data", str(photos), "--epochs", "1", "--batch-size", "16", "--seed", "5"]
    assert main([*victim, "-o", str(tmp_path / "other")]) == 0
    shared = ["train", "purifier", "--data", str(photos), *ROBUST, *SHORT]
    assert main([*shared, "--victim", str(pair_path / "victim"), "-o", str(tmp_path / "first")]) == 0
    with pytest.raises(ConfigError, match="expected a run to start from of the same victim"):
        start_robust(robust_config([*SHORT[1::2], "init=run"], batch_size=16), None, str(tmp_path / "other"), None,
                     str(photos), tmp_path / "further", init_from=tmp_path / "first", precision="fp32", devices=None,
                     is_resumed=False)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--mode", "robust", "--epochs", "3"], "expected no --epochs in the mode robust"),
     (["--mode", "robust", "--schedule", "steps"], "expected no --schedule in the mode robust"),
     (["--set", "beta=2"], "expected no --set in the mode cap-gan, got one; add --mode robust"),
     (["--preset", "robust-nano"], "got robust-nano; add --mode robust"),
     (["--mode", "robust", "--init-from", "runs"], "expected --init-from RUN together with --set init=run"),
     (["--mode", "robust", "--preset", "nano"], "use the preset robust-nano"),
     (["--mode", "robust", "--set", "attack=fgsm"], "expected an attack among n-fgsm and pgd-1 to pgd-99"),
     (["--mode", "robust", "--resume"], "expected a run to resume")],
)  # fmt: skip
def test_options_that_do_not_fit_together_are_one_line(
    options: list[str], message: str, photos: Path, pair_path: Path, tmp_path: Path, capsys: Output
) -> None:
    shared = ["--data", str(photos), "--victim", str(pair_path / "victim"), "-o", str(tmp_path / "run")]
    assert main(["train", "purifier", *shared, *options]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
