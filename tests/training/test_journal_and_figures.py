"""The log has one row an epoch whatever was cut off; figures are pictures; evaluation counts what it says."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor

from capgan_edge.data.images import ImageSet
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.evaluate import accuracy_percent
from capgan_edge.training.figures import draw_losses, draw_samples
from capgan_edge.training.journal import Journal
from capgan_edge.training.robust_watch import RobustWatch
from capgan_edge.training.watch import Watch


def log(path: Path, epochs: Iterable[int], *, name: str = "loss", is_silent: bool = False) -> None:
    with Journal(path, total_steps=10, is_silent=is_silent) as journal:
        for epoch in epochs:
            journal.step({name: 1.0})
            journal.epoch(epoch, {name: epoch / 2})


def rows_of(path: Path) -> list[dict[str, str]]:
    with (path / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_log_has_a_row_an_epoch(tmp_path: Path) -> None:
    log(tmp_path, [1, 2, 3])
    assert rows_of(tmp_path) == [{"epoch": str(e), "loss": f"{e / 2:g}"} for e in (1, 2, 3)]


def test_a_resumed_run_replaces_the_rows_of_the_epochs_it_repeats(tmp_path: Path) -> None:
    log(tmp_path, [1, 2, 3])
    log(tmp_path, [2, 3, 4])
    assert [row["epoch"] for row in rows_of(tmp_path)] == ["1", "2", "3", "4"]
    assert (tmp_path / "log.csv").read_text().count("epoch") == 1


def test_a_loss_that_comes_later_gets_a_column(tmp_path: Path) -> None:
    log(tmp_path, [1])
    log(tmp_path, [2], name="cycle")
    assert rows_of(tmp_path) == [{"epoch": "1", "loss": "0.5", "cycle": ""}, {"epoch": "2", "loss": "", "cycle": "1"}]


def test_all_processes_but_the_first_are_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log(tmp_path, [1], is_silent=True)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_an_epoch_is_told_on_stderr_and_not_on_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log(tmp_path, [1])
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch   1  loss 0.5" in err


@pytest.mark.parametrize("num", [1, 3, 20])
def test_samples_are_a_picture_of_at_most_eight_columns(tmp_path: Path, num: int) -> None:
    purifier = Purifier(PurifierConfig(ngf=2, num_blocks=1)).train()
    clean_NCHW = torch.rand(num, 3, 16, 16)
    draw_samples(tmp_path / "samples.png", purifier, clean_NCHW, clean_NCHW)
    with Image.open(tmp_path / "samples.png") as image:
        image.load()
        assert image.width == round(min(num, 8) * 1.3 * 110)
        assert len(np.unique(np.asarray(image))) > 20
    assert purifier.training


def test_losses_that_are_zero_or_missing_for_some_epochs_are_drawn(tmp_path: Path) -> None:
    rows = "epoch,l1,cycle,clean_percent,images_per_s,seconds\n1,0.5,0,,9,\n2,0.2,0.4,80,9,3\n"
    (tmp_path / "log.csv").write_text(rows)
    draw_losses(tmp_path)
    with Image.open(tmp_path / "losses.png") as image:
        image.load()
        assert image.size == (990, 770)


def signs_of(trained: tuple[SimpleResNet, Tensor, Tensor], num: int) -> ImageSet:
    _, x_NCHW, y_N = trained
    images_NHWC = (x_NCHW[:num] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return ImageSet(name="signs", images_NHWC=images_NHWC, labels_N=y_N[:num].numpy(), class_names=("a", "b", "c", "d"))


def test_accuracy_is_the_share_of_right_labels_and_leaves_the_mode(
    trained: tuple[SimpleResNet, Tensor, Tensor], fabric: Fabric
) -> None:
    model, x_NCHW, y_N = trained
    by_hand = 100 * (model(x_NCHW[:50]).argmax(1) == y_N[:50]).float().mean().item()
    assert accuracy_percent(model, signs_of(trained, 50), fabric) == pytest.approx(by_hand, abs=0.01)
    assert not model.training


def test_the_watch_tells_clean_from_attacked_and_purified(
    trained: tuple[SimpleResNet, Tensor, Tensor], fabric: Fabric
) -> None:
    model, _, _ = trained
    watch = Watch(signs_of(trained, 40), model, 16 / 255, fabric, seed=0)
    identity = Purifier(PurifierConfig(ngf=2, num_blocks=0, norm="none", output="residual"))
    found = watch.percentages(identity)
    assert found["clean_percent"] >= 90
    assert found["clean_percent"] > found["fgsm_percent"] >= found["pgd20_percent"]
    for name in ("fgsm", "pgd20"):
        assert 0 < (watch.sets[name] - watch.sets["clean"]).abs().max() <= 16 / 255 + 1e-6
    assert identity.training


def test_an_image_holds_only_where_every_gradient_that_is_climbed_leaves_it(
    trained: tuple[SimpleResNet, Tensor, Tensor], fabric: Fabric
) -> None:
    """A copy of the model whose gradient is gone holds under its own attack, and falls to that of the model."""
    model, _, _ = trained
    watch = RobustWatch(signs_of(trained, 40), 16 / 255, fabric, seed=0)

    def hidden(x_BCHW: Tensor) -> Tensor:
        return model((x_BCHW * 255).round() / 255) + 0 * x_BCHW.sum()

    alone, own = watch.percentages(hidden), watch.percentages(model)
    assert alone["pgd10_percent"] > own["pgd10_percent"] + 10
    both = watch.percentages(hidden, hidden, model)
    assert both["clean_percent"] == alone["clean_percent"]
    assert both["pgd10_percent"] <= own["pgd10_percent"] + 5
