"""Who makes the gradient, who is scored, what is counted: every scenario about a torch pair, on signs-nano."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_benchmarks.threats.artifact import Artifact
from capgan_benchmarks.threats.artifact_transfer import ArtifactTransfer
from capgan_benchmarks.threats.bpda import Bpda
from capgan_benchmarks.threats.crafted import mean_l2
from capgan_benchmarks.threats.crafting import attack_title, craft_all, rows_of
from capgan_benchmarks.threats.defended import Defended, unchanged
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_benchmarks.threats.query import Query
from capgan_benchmarks.threats.scenario import Scenario
from capgan_benchmarks.threats.transfer import Transfer
from capgan_benchmarks.threats.white_box_victim import WhiteBoxVictim
from capgan_edge.attacks import CWL2, EOT, FGSM, PGD, SPSA, Attack, Square
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError, DataError

EPSILON = 8 / 255


def surrogate_of(defended: Defended) -> Callable[[Tensor], Tensor]:
    """Return another classifier of the same classes: one that sees blurred images."""
    return lambda x_BCHW: defended.classify(F.avg_pool2d(x_BCHW, 3, 1, 1))


class Case(NamedTuple):
    name: str
    make: Callable[[Defended], Scenario]
    gradient: Callable[[Defended, Tensor, Tensor], Tensor]
    """From images and labels to what the attacker should climb."""


def slope(model: Callable[[Tensor], Tensor], x_BCHW: Tensor, y_B: Tensor) -> Tensor:
    x_BCHW = x_BCHW.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x_BCHW), y_B, reduction="sum"), x_BCHW)[0]


def purified(held: Defended, x_BCHW: Tensor) -> Tensor:
    with torch.no_grad():
        return held.purify(x_BCHW)


CASES = [
    Case("transfer", lambda held: Transfer(defended=held, surrogate=surrogate_of(held)),
         lambda held, x, y: slope(surrogate_of(held), x, y)),
    Case("white-box-victim", lambda held: WhiteBoxVictim(defended=held),
         lambda held, x, y: slope(held.classify, x, y)),
    Case("bpda", lambda held: Bpda(defended=held),
         lambda held, x, y: slope(held.classify, purified(held, x), y)),
    Case("end-to-end", lambda held: EndToEnd(defended=held),
         lambda held, x, y: slope(lambda x_BCHW: held.classify(held.purify(x_BCHW)), x, y)),
]  # fmt: skip


def right(scenario: Scenario, frames_NHWC: np.ndarray, images: ImageSet) -> int:
    return int((scenario.labels_of(frames_NHWC) == images.labels_N).sum())


def distance(frames_NHWC: np.ndarray, images: ImageSet) -> int:
    return int(np.abs(frames_NHWC.astype(int) - images.images_NHWC.astype(int)).max())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_step_goes_up_the_gradient_of_whom_the_attacker_knows(
    case: Case, defended: Defended, sign_images: ImageSet
) -> None:
    images, scenario = rows_of(sign_images, slice(8)), case.make(defended)
    crafted = scenario.craft(FGSM(epsilon=EPSILON), images)
    x_BCHW = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float() / 255
    climbed_BCHW = case.gradient(defended, x_BCHW, torch.from_numpy(images.labels_N))
    moved_BHWC = climbed_BCHW.sign().permute(0, 2, 3, 1).numpy().astype(int)
    wanted_BHWC = (images.images_NHWC + 8 * moved_BHWC).clip(0, 255)
    assert (crafted.frames_NHWC == wanted_BHWC).mean() > 0.999  # a gradient of almost nothing may change its sign
    assert (crafted.scenario, scenario.threat.name) == (case.name, case.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("epsilon", [8 / 255, 0.03], ids=["whole levels", "a fraction"])
def test_frames_stay_within_epsilon_are_the_same_for_a_seed_and_every_gradient_is_counted(
    case: Case, epsilon: float, defended: Defended, sign_images: ImageSet
) -> None:
    images, scenario = rows_of(sign_images, slice(4)), case.make(defended)
    crafted = scenario.craft(PGD(epsilon=epsilon, steps=3, seed=5), images)
    assert 0 < distance(crafted.frames_NHWC, images) <= 255 * epsilon + 1e-6
    assert crafted.queries_N.tolist() == crafted.gradients_N.tolist() == [3] * 4
    assert (crafted.frames_NHWC == scenario.craft(PGD(epsilon=epsilon, steps=3, seed=5), images).frames_NHWC).all()
    for other in (scenario.craft(PGD(epsilon=epsilon, steps=3, seed=5), images, number=1),
                  scenario.craft(PGD(epsilon=epsilon, steps=3, seed=6), images)):  # fmt: skip
        assert (crafted.frames_NHWC != other.frames_NHWC).any()
    flat_ND = (crafted.frames_NHWC.astype(float) - images.images_NHWC).reshape(4, -1) / 255
    assert crafted.l2_N == pytest.approx(np.linalg.norm(flat_ND, axis=1), rel=1e-5)
    assert (crafted.settings["attack"], crafted.settings["epsilon"], crafted.settings["seed"]) == ("PGD-3", epsilon, 5)


def test_the_distance_told_is_of_images_that_fool_what_was_attacked(defended: Defended, sign_images: ImageSet) -> None:
    """On f it is f that must be fooled, whether the defence holds or not; batches are added up."""
    images, scenario = rows_of(sign_images, slice(6)), WhiteBoxVictim(defended=defended)
    crafted = craft_all(scenario, CWL2(steps=40, kappa=0.0, c=10.0), images, batch=4)
    with torch.no_grad():
        fools_N = (defended.classify(crafted.x_NCHW).argmax(1).numpy()) != images.labels_N
    assert fools_N.any()
    assert crafted.num_fooled == int(fools_N.sum())
    assert mean_l2(crafted) == pytest.approx(float(crafted.l2_N[fools_N].mean()))
    assert mean_l2(replace(crafted, num_fooled=0, sum_l2_fooled=0.0)) is None


def test_the_defended_pair_is_scored_whoever_made_the_gradient(defended: Defended, sign_images: ImageSet) -> None:
    x_NCHW = torch.from_numpy(sign_images.images_NHWC).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        wanted_N = defended.classify(defended.purify(x_NCHW)).argmax(1).numpy()
    for make in (*(case.make for case in CASES), lambda held: Query(defended=held)):
        assert (make(defended).labels_of(sign_images.images_NHWC) == wanted_N).all()


def test_who_knows_everything_fools_more_than_who_knows_the_classifier_alone(
    defended: Defended, sign_images: ImageSet
) -> None:
    attack = PGD(epsilon=EPSILON, steps=10)
    victim, whole = WhiteBoxVictim(defended=defended), EndToEnd(defended=defended)
    num_right = [right(each, craft_all(each, attack, sign_images).frames_NHWC, sign_images) for each in (victim, whole)]
    assert num_right[1] < num_right[0]
    bare = Defended(name="bare", purify=unchanged, classify=defended.classify)
    crafted = victim.craft(attack, sign_images)
    assert right(EndToEnd(defended=bare), crafted.frames_NHWC, sign_images) < num_right[0]


def test_a_query_attack_has_outputs_alone(defended: Defended, sign_images: ImageSet) -> None:
    images, scenario = rows_of(sign_images, slice(3)), Query(defended=defended)
    crafted = scenario.craft(Square(epsilon=EPSILON, queries=5), images)
    assert distance(crafted.frames_NHWC, images) <= 8
    assert crafted.gradients_N.tolist() == [0] * 3
    assert crafted.queries_N.max() <= 6
    guessed = scenario.craft(SPSA(epsilon=EPSILON, steps=2, batch=4), images)
    is_right_N = scenario.labels_of(images.images_NHWC) == images.labels_N
    assert is_right_N.any()
    most, least = 1 + 2 * (4 + 1), 1 + (4 + 1)  # a look at first; each step its guess and a look, until it fools
    assert ((guessed.queries_N[is_right_N] >= least) & (guessed.queries_N[is_right_N] <= most)).all()
    with pytest.raises(ConfigError, match="SPSA or Square"):
        scenario.craft(PGD(epsilon=EPSILON, steps=1), images)


def test_what_rounding_cost_is_told_by_whoever_is_scored(defended: Defended, sign_images: ImageSet) -> None:
    images = rows_of(sign_images, slice(6))
    scenario = WhiteBoxVictim(defended=Defended(name="bare", purify=unchanged, classify=defended.classify))
    crafted = scenario.craft(CWL2(steps=60, learning_rate=0.05, c=5.0), images)
    with torch.no_grad():
        is_right_N = defended.classify(crafted.x_NCHW).argmax(1).numpy() == images.labels_N
    rounding = crafted.rounding
    assert (rounding.n, rounding.num_right_float) == (6, int(is_right_N.sum()))
    assert rounding.num_right_rounded == right(scenario, crafted.frames_NHWC, images)
    assert rounding.num_right_float < 6, "an attack that fooled nobody would have nothing to lose"
    assert (crafted.frames_NHWC == (crafted.x_NCHW * 255).round().permute(0, 2, 3, 1).numpy()).all()


def test_batches_are_joined_in_order_each_with_a_seed_of_its_own(defended: Defended, sign_images: ImageSet) -> None:
    attack, scenario, heard = PGD(epsilon=EPSILON, steps=1, seed=2), WhiteBoxVictim(defended=defended), []
    images = rows_of(sign_images, slice(7))
    crafted = craft_all(scenario, attack, images, batch=3, advance=lambda title, num: heard.append((title, num)))
    assert heard == [("PGD-1", 3), ("PGD-1", 3), ("PGD-1", 1)]
    last = scenario.craft(attack, rows_of(images, slice(6, 7)), number=2)
    assert (crafted.frames_NHWC[6:] == last.frames_NHWC).all()
    assert (crafted.labels_N == images.labels_N).all()
    assert crafted.x_NCHW.shape == (7, 3, 32, 32)
    assert (crafted.rounding.n, len(crafted.queries_N), len(crafted.l2_N)) == (7, 7, 7)


def test_artifact_transfer_crafts_on_the_twin_and_scores_the_artifact(
    defended: Defended, sign_images: ImageSet, int8_artifact: Artifact
) -> None:
    images, on_twin = rows_of(sign_images, slice(5)), EndToEnd(defended=defended)
    scenario = ArtifactTransfer(on_twin=on_twin, artifact=int8_artifact)
    attack = PGD(epsilon=EPSILON, steps=2)
    crafted = scenario.craft(attack, images)
    assert (crafted.frames_NHWC == on_twin.craft(attack, images).frames_NHWC).all()
    assert (crafted.scenario, crafted.settings["on_twin"]) == ("artifact-transfer", "end-to-end")
    logits_NK = int8_artifact.runner(crafted.frames_NHWC).logits_NK
    assert (scenario.labels_of(crafted.frames_NHWC) == logits_NK.argmax(1)).all()


class Title(NamedTuple):
    attack: Attack
    title: str


TITLES = [Title(FGSM(), "FGSM"), Title(PGD(steps=7), "PGD-7"), Title(Square(queries=100), "Square-100"),
          Title(EOT(attack=PGD(steps=4), samples=3), "EOT-3 of PGD-4")]  # fmt: skip


@pytest.mark.parametrize("case", TITLES, ids=lambda case: case.title)
def test_an_attack_is_called_by_name_and_length(case: Title) -> None:
    assert attack_title(case.attack) == case.title


def test_no_images_or_labels_of_no_class_are_refused_in_a_line(defended: Defended, sign_images: ImageSet) -> None:
    scenario = WhiteBoxVictim(defended=defended)
    with pytest.raises(ConfigError, match="got 0 in signs"):
        craft_all(scenario, FGSM(), rows_of(sign_images, slice(0)))
    names = tuple(f"class {k}" for k in range(99))
    strange = ImageSet(name="strange", images_NHWC=sign_images.images_NHWC[:2], labels_N=np.array([3, 98]),
                       class_names=names)  # fmt: skip
    with pytest.raises(DataError, match="labels below"):
        scenario.craft(FGSM(), strange)
