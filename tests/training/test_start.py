"""`capgan-edge train`: from a folder of images to runs that export takes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from capgan_edge.cli import main
from capgan_edge.data.signs import load_signs
from capgan_edge.training.runs import load_purifier_run, load_victim_run, newest_finished

FAST = ["--batch-size", "16", "--epochs", "1", "--precision", "fp32", "--no-mirror"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of signs, 16 images each to train on."""
    root = tmp_path_factory.mktemp("photos")
    signs = load_signs("train", n=320)
    for label in range(3):
        for split in ("train", "test"):
            folder = root / split / signs.class_names[label]
            folder.mkdir(parents=True)
            for i, image_HWC in enumerate(signs.images_NHWC[signs.labels_N == label]):
                Image.fromarray(image_HWC).save(folder / f"{i:03d}.png")
    return root


@pytest.fixture(scope="module")
def victim_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "victim"
    assert main(["train", "victim", "--data", str(photos), "-o", str(out), *FAST]) == 0
    return out


def purifier_arguments(photos: Path, victim: str, out: Path) -> list[str]:
    return [
        "train",
        "purifier",
        "--data",
        str(photos),
        "--victim",
        victim,
        "-o",
        str(out),
        "--semantic-epochs",
        "0",
        *FAST,
    ]


def test_a_folder_of_images_becomes_a_victim_and_a_purifier(photos: Path, victim_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "purifier"
    assert main(purifier_arguments(photos, str(victim_run), out)) == 0
    purifier, victim, checkpoint = load_purifier_run(out)
    assert victim is not None
    assert victim.num_classes == 3
    assert checkpoint.state["class_names"] == sorted(checkpoint.state["class_names"])
    assert purifier.config.ngf == 16
    assert newest_finished(tmp_path, "purifier") == out
    assert (out / "losses.png").exists()
    assert list(out.glob("samples-*.png"))


def test_a_run_is_not_overwritten(photos: Path, victim_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "victim", "--data", str(photos), "-o", str(victim_run), *FAST]) == 1
    assert "--resume" in capsys.readouterr().err


def test_resuming_with_other_data_is_refused(victim_run: Path, tmp_path: Path, photos: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    other = tmp_path / "others"
    other.symlink_to(photos)
    assert main(["train", "victim", "--data", str(other), "-o", str(victim_run), "--resume", *FAST]) == 1
    assert "expected the data" in capsys.readouterr().err


def test_labels_that_do_not_match_the_victims_classes_are_refused(
    victim_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            folder = tmp_path / "two" / split / name
            folder.mkdir(parents=True)
            for i in range(20):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    assert main(purifier_arguments(tmp_path / "two", str(victim_run), tmp_path / "out")) == 1
    message = capsys.readouterr().err
    assert "3" in message
    assert "2" in message
    assert message.count("\n") == 1


def test_a_factory_with_safetensors_is_a_victim(photos: Path, victim_run: Path, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "mymodels.py").write_text(
        "from capgan_edge.models.victim import SimpleResNet\ndef make():\n    return SimpleResNet(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    weights = tmp_path / "weights.safetensors"
    save_file(load_victim_run(victim_run).state_dict(), weights)
    arguments = [*purifier_arguments(photos, "mymodels:make", tmp_path / "out"), "--victim-state", str(weights)]
    assert main(arguments) == 0
    _, victim, checkpoint = load_purifier_run(tmp_path / "out")
    assert victim is None, "a brought victim stays where it is"
    assert checkpoint.state["victim"]["sha256"]


def test_no_victim_at_all_says_how_to_get_one(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    arguments = purifier_arguments(photos, "", tmp_path / "out")
    assert main(arguments) == 1
    assert "capgan-edge train victim" in capsys.readouterr().err
