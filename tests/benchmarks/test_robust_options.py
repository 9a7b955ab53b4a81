"""The arms of the mode robust: settings that hold, costs that are counted right, rows that are kept, pages by hand."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from capgan_benchmarks.package_runs import put_victim
from capgan_benchmarks.right import packed
from capgan_benchmarks.robust_options import comparing, measuring, page, training
from capgan_benchmarks.robust_options.adversarial_training import figures, of_victim
from capgan_benchmarks.robust_options.arms import GROUPS, Arm, Group, arms_of, group_of
from capgan_benchmarks.robust_options.comparing import Budget, compared, is_idle
from capgan_benchmarks.robust_options.cost import Macs, epoch_pflop, macs_of, robust_pflop, victim_pflop
from capgan_benchmarks.robust_options.curves import drawn, over_training
from capgan_benchmarks.robust_options.measuring import figures_of
from capgan_benchmarks.robust_options.packaged import runs_of
from capgan_benchmarks.robust_options.painted import drawn_signs, picture_of
from capgan_benchmarks.robust_options.spent import epochs_of
from capgan_benchmarks.robust_options.training import config_of, initial_of, new_shape, train_arm
from capgan_edge import data, zoo
from capgan_edge.attacks import PGD
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.presets import preset, purifier_from
from capgan_edge.models.robust_purifier import RobustPurifier
from capgan_edge.models.weights import weights_sha256
from capgan_edge.training.recipes import RECIPES
from capgan_edge.training.robust_config import RobustConfig
from capgan_edge.training.runs import load_purifier_run
from capgan_edge.training.victim import VictimConfig
from capgan_edge.zoo import Pair

PAIR = "cifar10-robust-nano"
CASES = [(group, arm) for group in GROUPS.values() for arm in group.arms if arm.is_trained]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return zoo.load(PAIR)


@pytest.fixture
def images(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> ImageSet:
    """Noise, in the place of the pair's data; few are watched."""
    pixels_NHWC = np.random.default_rng(0).integers(0, 256, (160, 32, 32, 3), dtype=np.uint8)
    found = ImageSet(name="noise", images_NHWC=pixels_NHWC, labels_N=np.arange(160) % 10, class_names=pair.labels)
    monkeypatch.setattr(data, "load", lambda source, split: found)
    monkeypatch.setattr(training, "NUM_HELD_OUT", 8)
    monkeypatch.setattr(training, "NUM_WATCHED", 1)
    return found


@pytest.mark.parametrize(("group", "arm"), CASES, ids=[f"{group.name}-{arm.name}" for group, arm in CASES])
def test_every_arm_is_a_training_that_can_start(group: Group, arm: Arm, pair: Pair) -> None:
    config = config_of(group, arm, pair, seed=3)
    assert config.seed == 3
    assert config.epochs >= 1
    usual_arm = next(each for each in group.arms if each.name == group.baseline)
    usual = config_of(group, usual_arm, pair, seed=3)
    assert (config == usual) == (not arm.settings or arm.name == group.baseline)
    assert not is_idle(group, arm, pair)
    assert new_shape(arm, pair).num_classes == 10


def test_shallow_and_deep_have_about_the_same_operations_in_their_encoders(pair: Pair) -> None:
    assert replace(new_shape(arms_of(group_of("first-stage"), ["deep"])[0], pair), class_map_px=32,
                   paints="decision") == preset("robust-nano-deep")  # fmt: skip
    shallow, deep = (macs_of(purifier_from(new_shape(arm, pair)), pair.victim, (32, 32)).head
                     for arm in arms_of(group_of("first-stage"), ["usual", "deep"]))  # fmt: skip
    assert deep == pytest.approx(shallow, rel=0.05)


def test_a_new_painter_stands_before_the_packaged_head(pair: Pair) -> None:
    packaged, x_BCHW = pair.purifier, torch.rand(2, 3, 32, 32)
    assert isinstance(packaged, RobustPurifier)
    for arm in group_of("draw").arms:
        purifier = initial_of(arm, pair, None, seed=3)
        assert isinstance(purifier, RobustPurifier)
        assert purifier.config == replace(packaged.config, **({"class_map_px": 0, "paints": "features"} | arm.shape))
        found, expected = purifier.eval().decide(x_BCHW), packaged.decide(x_BCHW)
        torch.testing.assert_close(found.class_logits_BK, expected.class_logits_BK)
        if purifier.config.paints == "decision":
            continue
        torch.testing.assert_close(purifier(x_BCHW), x_BCHW, rtol=0, atol=0)
        again = initial_of(replace(arm, shape={}), pair, None, seed=3)
        assert again is not None
        held = dict(purifier.named_parameters())
        assert all(torch.equal(held[name], one) for name, one in again.named_parameters()), "the same but for the maps"


def test_an_arm_that_is_the_usual_training_of_a_pair_is_left_out() -> None:
    signs, first_stage = zoo.load("gtsrb-robust-nano"), group_of("first-stage")
    idle = [arm.name for arm in first_stage.arms if is_idle(first_stage, arm, signs)]
    assert idle == ["is_mirrored=false"], "signs are never mirrored"
    assert not [arm.name for group in GROUPS.values() if group is not first_stage for arm in group.arms
                if is_idle(group, arm, signs)]  # fmt: skip


def test_an_arm_with_a_teacher_trains_that_first_and_names_no_folder(
    pair: Pair, images: ImageSet, tmp_path: Path
) -> None:
    few = {"head_epochs": 1, "head_small_crop_epochs": 1, "draw_epochs": 0, "painter_epochs": 0, "whole_epochs": 0,
           "batch_size": 8, "small_crop_px": 8}  # fmt: skip
    arm = Arm(name="teacher", what="", start="new", teacher_width=0.25, width=0.125)
    group = Group(name="tiny", question="?", settings=few, baseline="teacher", arms=(arm,), is_head=True)
    trained = train_arm(group, arm, pair, None, images, tmp_path, num_images=8, seed=0)
    teacher, _, _ = load_purifier_run(tmp_path / "teacher")
    assert (teacher.config.ngf, trained.purifier.config.ngf) == (4, 2)
    state = json.loads((tmp_path / "run" / "last.json").read_text())["state"]
    assert state["teacher"] == {"sha256": weights_sha256(teacher)}
    assert trained.config is not None
    assert trained.config.teacher == "0.25 times the width"


def test_a_plain_start_is_a_purifier_that_was_trained_first(
    pair: Pair, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PLAIN_EPOCHS", 1)
    one = {"whole_epochs": 1, "head_epochs": 0, "draw_epochs": 0, "painter_epochs": 0, "head_small_crop_epochs": 0,
           "init": "run", "batch_size": 4}  # fmt: skip
    arm = Arm(name="plain", what="", start="plain")
    group = Group(name="tiny", question="?", settings=one, baseline="plain", arms=(arm,))
    trained = train_arm(group, arm, pair, None, images, tmp_path, num_images=128, seed=0)
    plain, _, checkpoint = load_purifier_run(tmp_path / "plain")
    assert checkpoint.state["config"]["semantic_epochs"] == checkpoint.epoch == 1
    assert trained.purifier.config == plain.config
    state = json.loads((tmp_path / "run" / "last.json").read_text())["state"]
    assert state["initial"] == {"sha256": weights_sha256(plain)}


def test_every_group_has_the_arm_that_the_others_are_held_against() -> None:
    for name, group in GROUPS.items():
        names = [arm.name for arm in group.arms]
        assert group_of(name).baseline in names
        assert len(set(names)) == len(names)


def test_what_there_is_not_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"expected a group among first-stage, last-stage, draw, start, width, got 'first'"
    ):
        group_of("first")
    with pytest.raises(ConfigError, match=r"expected an arm of width among 0\.5, 1, 2, got '9'"):
        arms_of(group_of("width"), ["9"])
    with pytest.raises(ConfigError, match="expected a packaged pair of the mode robust, got signs-nano"):
        compared("width", "signs-nano", Budget(), Path("out"), only=(), say=print)


def test_a_pass_with_gradients_of_the_weights_is_three_passes(pair: Pair) -> None:
    """What PyTorch counts of an update of the head, against the three passes that are counted here."""
    from torch.utils.flop_counter import FlopCounterMode

    purifier: Any = purifier_from(pair.purifier.config)
    macs = macs_of(purifier, pair.victim, pair.size_px)
    with FlopCounterMode(display=False) as counter:
        purifier.decide(torch.rand(2, 3, 32, 32)).class_logits_BK.sum().backward()
    assert counter.get_total_flops() / 2 / 2 == pytest.approx(3 * macs.head, rel=0.02)
    assert macs.head + macs.painter == pair.card["costs"]["purifier"]["macs"]
    assert macs.victim == pair.card["costs"]["victim"]["macs"]


def test_costs_by_hand() -> None:
    macs = Macs(head=10e6, painter=5e6, victim=20e6)
    config = RobustConfig(head_epochs=2, head_small_crop_epochs=1, small_crop_px=16, draw_epochs=1, painter_epochs=1,
                          whole_epochs=1)  # fmt: skip
    by_hand = [0.25 * (2 + 3) * 10, (2 + 3) * 10, 10 + 3 * 5 + 2 * 20, 2 * 35 + 2 * 10 + 3 * 5 + 2 * 20,
               2 * 35 + 2 * (3 * 15 + 2 * 20) + 20]  # fmt: skip
    for epoch, passes in enumerate(by_hand):
        assert epoch_pflop(config, macs, epoch, 1000, size_px=32) == pytest.approx(2 * passes * 1e6 * 1000 / 1e15)
    assert robust_pflop(config, macs, 1000, size_px=32)[-1] == pytest.approx(2 * sum(by_hand) * 1e9 / 1e15)
    stronger = replace(config, attack="pgd-3", awp_gamma=0.01)
    assert epoch_pflop(stronger, macs, 1, 1000, size_px=32) == pytest.approx(2 * (6 * 10 + 2 * 3 * 10) * 1e9 / 1e15)
    older = replace(config, painter_learns_suspicion=False)
    assert epoch_pflop(older, macs, 3, 1000, size_px=32) == pytest.approx(2 * (by_hand[3] - 10) * 1e9 / 1e15)
    victim = VictimConfig(epochs=3, small_crop_epochs=2, small_crop_px=16, attack_steps=1, is_n_fgsm=True)
    assert victim_pflop(victim, 20e6, 1000, size_px=32) == pytest.approx(2 * 20e6 * 5 * 1.5 * 1000 / 1e15)


def test_an_arm_is_trained_once_and_again_where_the_budget_is_another(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = Group(
        name="tiny",
        question="?",
        settings=dict(GROUPS["last-stage"].settings) | {"batch_size": 4},
        baseline="none",
        arms=(Arm(name="packaged", what="", is_trained=False), Arm(name="none", what="")),
    )
    monkeypatch.setattr(comparing, "group_of", lambda name: tiny)
    budget = Budget(num_images=4, num_test_images=4, steps=1)
    record = compared("tiny", PAIR, budget, tmp_path, only=(), say=print)
    packaged, none = record["arms"]
    assert (packaged["config"], packaged["pflop"], packaged["seconds"]) == (None, 0.0, 0.0)
    assert none["config"]["whole_epochs"] == 1
    assert none["seconds"] > 0
    assert [figure["frames"] for figure in none["figures"]] == ["clean", "PGD-1"]
    assert record["n"] == 4

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(comparing, "train_arm", refuse)
    again = compared("tiny", PAIR, budget, tmp_path, only=(), say=print)
    assert again["arms"] == json.loads(json.dumps(record["arms"]))
    with pytest.raises(AssertionError, match="trained again"):
        compared("tiny", PAIR, replace(budget, seed=1), tmp_path, only=["none"], say=print)
    (tmp_path / PAIR / "tiny" / "none" / "measured.json").write_text("{")
    with pytest.raises(AssertionError, match="trained again"):
        compared("tiny", PAIR, budget, tmp_path, only=["none"], say=print)


def test_the_alternative_has_to_be_adversarial(pair: Pair, images: ImageSet, tmp_path: Path) -> None:
    put_victim("signs-nano", tmp_path / "victim", RECIPES["signs-nano"])
    with pytest.raises(ConfigError, match="expected a finished run of `train victim --adversarial` on the data of"):
        of_victim(tmp_path / "victim", pair.victim, pair, images)


def test_the_alternative_is_attacked_at_both_sizes(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model, which PGD breaks more the larger the epsilon; AutoAttack's images are drawn from all."""
    torch.manual_seed(0)
    weight = torch.randn(10, 3 * 32 * 32) / 50

    def model(x_BCHW: torch.Tensor) -> torch.Tensor:
        return x_BCHW.flatten(1) @ weight.T

    labels_N = model(torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()
    own = replace(images, labels_N=labels_N)
    asked: list[ImageSet] = []

    def noted(model: Any, test: ImageSet, *attacks: Any, **options: Any) -> list[dict[str, Any]]:
        asked.append(test)
        return figures_of(model, test, *attacks, **options)

    monkeypatch.setattr(measuring, "figures_of", noted)
    found = figures(model, own, 4, steps=3, seed=0)
    np.testing.assert_array_equal(asked[1].images_NHWC, own.take(4, seed=0).images_NHWC)
    assert not np.array_equal(asked[1].images_NHWC, own.images_NHWC[:4]), "a zip's images lie by their classes"
    assert [(f["frames"], f["n"]) for f in found] == [("clean", 160), ("PGD-3", 160), ("PGD-3", 160),
                                                      ("AutoAttack-100", 4), ("AutoAttack-100", 4)]  # fmt: skip
    percents = [figure["percent"] for figure in found]
    assert percents[0] == 100
    assert percents[1] >= percents[2]
    assert [round(255 * figure["settings"]["epsilon"]) for figure in found[1:]] == [4, 8, 4, 8]


def test_an_image_is_right_only_where_the_head_behind_it_cannot_be_climbed_either(images: ImageSet) -> None:
    """A model that hides its gradient holds under its own attack; what it reads its decision from does not."""
    torch.manual_seed(0)
    weight = torch.randn(10, 3 * 32 * 32) / 50

    def head(x_BCHW: torch.Tensor) -> torch.Tensor:
        return x_BCHW.flatten(1) @ weight.T

    def hidden(x_BCHW: torch.Tensor) -> torch.Tensor:
        return head((x_BCHW * 255).round() / 255) + 0 * x_BCHW.sum()

    labels_N = head(torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float() / 255).argmax(1).numpy()
    own, attack = replace(images, labels_N=labels_N), PGD(steps=3)
    (clean, alone), (_, both), (_, climbed) = (
        figures_of(model, own, attack, knowledge="f(T(.))", behind=behind)
        for model, behind in ((hidden, None), (hidden, head), (head, None))
    )
    assert clean["percent"] == 100
    assert alone["percent"] > both["percent"]
    assert both["percent"] <= climbed["percent"]
    assert (alone["on"], both["on"]) == (["f(T(.))"], ["f(T(.))", "the class head"])


def test_epochs_of_a_packaged_training_are_those_of_its_log() -> None:
    rows, log = epochs_of(PAIR, 50_000), zoo.card(PAIR)["training"]["purifier"]["log"]
    assert [row["pgd10_percent"] for row in rows] == [row["pgd10_percent"] for row in log]
    assert rows[-1]["seconds"] == pytest.approx(sum(row["seconds"] for row in log), abs=0.1)
    spent = [row["pflop"] for row in rows]
    assert spent == sorted(spent)
    assert [row["stage"] for row in rows] == sorted((row["stage"] for row in rows),
                                                    key=["head", "draw", "painter", "whole"].index)  # fmt: skip


def test_a_pair_that_was_trained_further_has_the_epochs_and_the_cost_of_both_runs() -> None:
    card = zoo.card("gtsrb-robust-nano")
    (first, first_log), (further, log) = runs_of(card)
    assert (first.attacks_head, further.init) == (False, "run"), "a card from before the head was attacked says so"
    rows = epochs_of("gtsrb-robust-nano", 29_209)
    assert [row["run"] for row in rows] == [1] * len(first_log) + [2] * len(log)
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["pgd10_percent"] for row in rows] == [row["pgd10_percent"] for row in (*first_log, *log)]
    for column in ("pflop", "seconds"):
        spent = [row[column] for row in rows]
        assert spent == sorted(spent)
    names = [curve.name for curve in over_training([{"pair": "gtsrb-robust-nano", "epochs": rows}])]
    assert [name.partition(", ")[2] for name in names] == [
        "class head", "f(T(.))", "class head, trained further", "f(T(.)), trained further"]  # fmt: skip


def _figure(frames: str, right: list[int]) -> dict[str, Any]:
    is_right_N = np.array(right, dtype=bool)
    percent = 100 * float(is_right_N.mean())
    return {"frames": frames, "settings": {} if frames == "clean" else {"epsilon": 8 / 255}, "n": len(right),
            "percent": percent, "interval_95": [percent - 1, percent + 1], "right": packed(is_right_N)}  # fmt: skip


def _arm(name: str, macs: float, right: list[int], *, collapsed: int = 0) -> dict[str, Any]:
    return {"name": name, "what": f"what {name} is", "config": {"batch_size": 128}, "pflop": 0.25,
            "num_collapsed": collapsed, "macs": {"head": macs, "painter": 1e6, "victim": 1e6},
            "figures": [_figure("clean", [1] * len(right)), _figure("PGD-20", right)]}  # fmt: skip


def _record(**others: Any) -> dict[str, Any]:
    return {"pair": PAIR, "weights_sha256": "0" * 64, "date": "2026-01-02T03:04:05+00:00", "code": "abc", "seed": 0,
            "command": "python -m it", "data": "cifar10-jpeg/test", "n": 8, "steps": 20,
            "environment": {"cpu": "AMD EPYC"}} | others  # fmt: skip


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    arms = [_arm("none", 2e6, [1, 1, 1, 1, 0, 0, 0, 0]), _arm("beta=6", 4e6, [1, 1, 1, 1, 1, 1, 0, 0], collapsed=1)]
    record = _record(group="last-stage", question="The last stage", baseline="none", is_head=False, num_images=64,
                     arms=arms)  # fmt: skip
    for day in (1, 2):
        dated = record | {"date": f"2026-01-0{day}T00:00:00+00:00"}
        (tmp_path / f"robust-last-stage-{PAIR}_x_2026-01-0{day}.json").write_text(json.dumps(dated))
    head = record | {"group": "width", "is_head": True, "question": "Widths"}
    (tmp_path / f"robust-width-{PAIR}_x_2026-01-02.json").write_text(json.dumps(head))
    epochs = [{"epoch": i + 1, "stage": stage, "pflop": 0.1 * (i + 1), "pgd10_percent": 10.0 * i}
              for i, stage in enumerate(("head", "head", "draw", "painter", "whole"))]  # fmt: skip
    (tmp_path / f"robust-training-{PAIR}_x_2026-01-02.json").write_text(json.dumps(_record(epochs=epochs)))
    systems = [{"name": name, "pflop": 1.5, "seconds": 60.0, "macs": 2e6, "config": {"epsilon": 8 / 255},
                "figures": found}
               for name, found in (("T before f", arms[0]["figures"]), ("f itself", arms[1]["figures"]))]  # fmt: skip
    (tmp_path / f"robust-alternative-{PAIR}_x_2026-01-02.json").write_text(json.dumps(_record(systems=systems)))
    return tmp_path


def test_the_page_has_points_with_intervals_against_the_baseline(results: Path) -> None:
    text = page.measured_sections()
    assert text.count("### The last stage") == 1, "of the newest record alone"
    row = next(each for each in text.splitlines() if each.startswith("| beta=6 | what beta=6 is | 100.0 %"))
    assert "| +25.0 [" in row
    assert "| 5.0 | 0.250 |" in row
    assert "Rolled back for catastrophic overfitting: `beta=6`." in text
    assert "of weights packaged before (000000000000)" in text
    assert "| PGD-20 at 8/255 | 50.0 % [49.0, 51.0] | 75.0 % [74.0, 76.0] | +25.0 [" in text
    assert "| in use, M MAC | 2 | 2 |" in text


def test_without_records_there_is_neither_text_nor_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    assert page.measured_sections() == page.curves_svg() == ""


def test_the_picture_has_a_point_a_width_and_an_epoch_in_which_something_is_robust(results: Path) -> None:
    root = ET.fromstring(page.curves_svg())
    titles = [each.text for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 2 * 2 + 4, "two widths, clean and attacked; five epochs but for `draw`"
    assert f"{PAIR}, PGD-20: 75.0 % at 4" in titles
    xs = [float(each.attrib["cx"]) for each in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert xs[0] < xs[1], "dearer is further right"
    assert ET.fromstring(drawn([], [])).tag.endswith("svg")


def test_a_picture_of_drawn_signs_shows_what_is_painted(pair: Pair) -> None:
    with pytest.raises(
        ConfigError, match=r"expected a pair that knows signs as they are drawn here .*got cifar10-robust"
    ):
        drawn_signs(pair)
    renamed = replace(pair, labels=("stop", "yield", *pair.labels[2:]))
    signs = drawn_signs(renamed)
    assert list(signs.labels_N) == [0, 1]
    assert signs.images_NHWC.shape == (2, 32, 32, 3)
    with Image.open(io.BytesIO(picture_of(renamed, signs, seed=0))) as image:
        assert image.format == "PNG"
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 100
