"""What `capgan-edge train` takes by default, says and refuses, before a run and while it starts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pointers import FAST, state_of

from capgan_edge.cli import main
from capgan_edge.training.start import is_mirrored

Output = pytest.CaptureFixture[str]


def test_a_fresh_run_forgets_that_another_was_finished(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "finished.json").write_text('{"kind": "victim", "epochs": 9}')
    arguments = ["train", "victim", "--data", str(photos), "-o", str(run), *FAST]
    assert main([*arguments, "--learning-rate", "1e30", "--batch-size", "4"]) == 1, "the loss explodes"
    assert not (run / "finished.json").exists()
    assert main(arguments) == 0
    assert json.loads((run / "finished.json").read_text()) == {"kind": "victim", "epochs": 1}


@pytest.mark.parametrize("kind", ["victim", "purifier"])
@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_file_in_the_place_of_the_folder_is_one_line(
    kind: str, name: str, photos: Path, pair_path: Path, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "file").write_text("mine")
    options = ["--victim", str(pair_path / "victim"), "--semantic-epochs", "0"] if kind == "purifier" else []
    assert main(["train", kind, "--data", str(photos), "-o", str(tmp_path / name), *options, *FAST]) == 1
    assert capsys.readouterr().err.startswith(f"error: expected a folder to write to at {tmp_path / name}, but: ")
    assert (tmp_path / "file").read_text() == "mine"


def test_all_but_drawn_signs_are_mirrored_unless_told() -> None:
    sources = {"signs": False, "signs:64": False, "data/GTSRB.zip": False, "gtsrb32": False, "photos": True,
               "signs.zip": True}  # fmt: skip
    assert {source: is_mirrored(None, source) for source in sources} == sources
    assert is_mirrored(True, "signs")
    assert not is_mirrored(False, "photos")


def test_the_default_of_mirroring_reaches_both_runs(pair_path: Path) -> None:
    assert state_of(pair_path / "victim")["config"]["is_mirrored"] is True
    assert state_of(pair_path / "purifier")["config"]["is_mirrored"] is True


def test_sizes_are_drawn_up_to_eight_levels_unless_told(photos: Path, pair_path: Path, tmp_path: Path) -> None:
    drawn = state_of(pair_path / "purifier")["config"]
    assert (drawn["smallest_epsilon"], drawn["epsilon"]) == (0, 8 / 255)
    arguments = ["train", "purifier", "--data", str(photos), "--victim", str(pair_path / "victim"), "-o",
                 str(tmp_path / "run"), "--semantic-epochs", "0", "--smallest-epsilon", "8", *FAST]  # fmt: skip
    assert main(arguments) == 0
    assert state_of(tmp_path / "run")["config"]["smallest_epsilon"] == 8 / 255


@pytest.mark.parametrize("value", ["9", "-1", "0.03x"])
def test_a_size_beyond_the_budget_is_refused(value: str, capsys: Output) -> None:
    assert main(["train", "purifier", "--smallest-epsilon", value]) == 2
    assert "--smallest-epsilon" in capsys.readouterr().err


def test_the_mode_robust_has_no_smallest_size(capsys: Output) -> None:
    assert main(["train", "purifier", "--mode", "robust", "--smallest-epsilon", "0"]) == 1
    assert "expected no --smallest-epsilon in the mode robust" in capsys.readouterr().err


def noise(root: Path, height_px: int, width_px: int) -> list[str]:
    """Write two classes of noise under `root`; return the options that train a victim on it."""
    rng = np.random.default_rng(0)
    for name in ("train/a", "train/b", "test/a", "test/b"):
        (root / "small" / name).mkdir(parents=True)
        for i in range(10):
            image_HWC = rng.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
            Image.fromarray(image_HWC).save(root / "small" / name / f"{i}.png")
    return ["train", "victim", "--data", str(root / "small"), "-o", str(root / "run"), *FAST]


def test_a_size_that_no_victim_takes_is_one_line(tmp_path: Path, capsys: Output) -> None:
    assert main(noise(tmp_path, 30, 30)) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: small/train: expected images whose height and width are multiples of 4")
    assert err.count("\n") == 1


def test_a_victim_for_images_too_small_for_a_purifier_is_said_aloud(tmp_path: Path, capsys: Output) -> None:
    arguments = noise(tmp_path, 16, 24)
    assert main(arguments) == 0
    assert (
        capsys.readouterr()
        .err.splitlines()[0]
        .startswith("note: purifiers take images of at least 32 px and these are 16x24: ")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["purifier", "--preset", "huge"], "got 'huge'; name one with --preset"),
     (["purifier", "--schedule", "linear"], "got 'linear'; name one of these"),
     (["recipe", "signs-huge"],
      "a recipe among signs-nano, signs-demo, cifar10-nano, gtsrb-nano, cifar10-robust-nano, "
      "gtsrb-robust-nano, got 'signs-huge'")],
    ids=["preset", "schedule", "recipe"],
)  # fmt: skip
def test_an_unknown_name_is_refused_with_what_to_do(arguments: list[str], message: str, capsys: Output) -> None:
    assert main(["train", *arguments]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
