"""Our attacks against other people's on the same victim and images: success within two points of theirs.

Needs the packages that references.txt pins, and ten minutes or more. Faults of theirs that these tests go around:
pyautoattack's Square shares one position over a batch (as ART's does), so it is given one image at a time; ART's
AutoAttack runs DeepFool where the standard has FAB, so pyautoattack's is the reference; ART's CW searches lines where
the paper has Adam, so foolbox's is (adv-lib's would do, but does not import without torchvision and visdom).
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from capgan_edge import zoo
from capgan_edge.attacks import APGDCE, APGDT, CWL2, FABT, FGSM, MIFGSM, PGD, Attack, Attacked, AutoAttack, Square
from capgan_edge.data.signs import load_signs
from capgan_edge.models.victim import folded

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # the references' warnings are theirs

N, SEED, EPSILON = 200, 0, 5 / 255
STEPS, NUM_TARGETS, QUERIES = 20, 3, 300
WITHIN = 0.02
PINS = dict(line.split("==") for line in Path(__file__).with_name("references.txt").read_text().split() if "==" in line)


class Victim(NamedTuple):
    """The victim of signs-nano, bare, and N signs."""

    model: nn.Module
    x_NCHW: Tensor
    y_N: Tensor


@pytest.fixture(scope="module")
def victim() -> Victim:
    test = load_signs("test", n=N)
    x_NCHW = torch.from_numpy(test.images_NHWC).permute(0, 3, 1, 2).float().div(255).contiguous()
    return Victim(folded(zoo.load("signs-nano").victim), x_NCHW, torch.from_numpy(test.labels_N))


def require(package: str) -> None:
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != PINS[package]:
        pytest.skip(f"needs {package} {PINS[package]}, found {found}: pip install -r tests/attacks/references.txt")


def compare(ours: Attack, theirs_NCHW: Tensor, victim: Victim, record: Callable[[str, object], None]) -> Attacked:
    """Assert that both fool as many, within two points, and that there was something to tell them apart by.

    Ours are counted by what the attack asks for: of CW a margin of kappa, without which foolbox gives nothing.
    """
    attacked = ours(*victim)
    with torch.no_grad():
        is_fooled_N = victim.model(theirs_NCHW).argmax(1) != victim.y_N
    our_share, their_share = (float(fooled.float().mean()) for fooled in (attacked.is_enough_B, is_fooled_N))
    record("ours", our_share)
    record("theirs", their_share)
    print(f"{type(ours).__name__}: ours {100 * our_share:.1f} %, theirs {100 * their_share:.1f} %, n = {N}")  # noqa: T201
    assert their_share > 0.1
    assert their_share < 0.98 or isinstance(ours, CWL2)  # which is told apart by its distances
    assert abs(our_share - their_share) <= WITHIN + 1e-9
    return attacked


def art_classifier(victim: Victim) -> Any:
    require("adversarial-robustness-toolbox")
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        victim.model, nn.CrossEntropyLoss(), input_shape=(3, 32, 32), nb_classes=20, clip_values=(0, 1),
        device_type="cpu",
    )  # fmt: skip


def made_by_art(attack: Any, victim: Victim) -> Tensor:
    return torch.from_numpy(attack.generate(victim.x_NCHW.numpy(), y=victim.y_N.numpy()).astype(np.float32))


def test_fgsm(victim: Victim, record_property: Callable[[str, object], None]) -> None:
    classifier = art_classifier(victim)
    from art.attacks.evasion import FastGradientMethod

    theirs = made_by_art(FastGradientMethod(classifier, eps=EPSILON, batch_size=N), victim)
    compare(FGSM(epsilon=EPSILON), theirs, victim, record_property)


def test_pgd(victim: Victim, record_property: Callable[[str, object], None]) -> None:
    classifier = art_classifier(victim)
    from art.attacks.evasion import ProjectedGradientDescentPyTorch

    np.random.seed(SEED)
    attack = ProjectedGradientDescentPyTorch(
        classifier, eps=EPSILON, eps_step=EPSILON / 4, max_iter=STEPS, num_random_init=1, batch_size=N, verbose=False
    )
    compare(PGD(epsilon=EPSILON, steps=STEPS), made_by_art(attack, victim), victim, record_property)


def test_mi_fgsm(victim: Victim, record_property: Callable[[str, object], None]) -> None:
    classifier = art_classifier(victim)
    from art.attacks.evasion import MomentumIterativeMethod

    attack = MomentumIterativeMethod(
        classifier, eps=EPSILON, eps_step=EPSILON / STEPS, decay=1.0, max_iter=STEPS, batch_size=N, verbose=False
    )
    compare(MIFGSM(epsilon=EPSILON, steps=STEPS), made_by_art(attack, victim), victim, record_property)


@pytest.mark.parametrize(("kappa", "c", "search_steps"), [(0.0, 0.02, 1), (4.0, 0.1, 1), (0.0, 0.01, 3)])
def test_cw(
    victim: Victim, record_property: Callable[[str, object], None], kappa: float, c: float, search_steps: int
) -> None:
    require("foolbox")
    import foolbox

    attack = foolbox.attacks.L2CarliniWagnerAttack(
        binary_search_steps=search_steps, steps=60, stepsize=0.01, confidence=kappa, initial_const=c, abort_early=False
    )
    model = foolbox.PyTorchModel(victim.model, bounds=(0, 1), device="cpu")
    raw_NCHW = attack.run(model, victim.x_NCHW, foolbox.criteria.Misclassification(victim.y_N))
    failed_N111 = (raw_NCHW == 0).flatten(1).all(1)[:, None, None, None]  # foolbox leaves zeros where it fails
    theirs_NCHW = torch.where(failed_N111, victim.x_NCHW, raw_NCHW)
    ours = CWL2(kappa=kappa, c=c, search_steps=search_steps, steps=60, stops_early=False)
    attacked = compare(ours, theirs_NCHW, victim, record_property)
    their_l2_N = (theirs_NCHW - victim.x_NCHW).flatten(1).norm(dim=1)
    assert float(attacked.l2_B[attacked.is_enough_B].mean()) == pytest.approx(
        float(their_l2_N[~failed_N111.flatten()].mean()), rel=0.02
    )


def autoattack_part(name: str, victim: Victim) -> Any:
    """Return pyautoattack's attack of this name, with this file's settings."""
    require("pyautoattack")
    from pyautoattack import autopgd_base, fab_pt, square

    shared = {"eps": EPSILON, "norm": "Linf", "n_restarts": 1, "seed": SEED, "device": "cpu", "verbose": False}
    logger = logging.getLogger("pyautoattack")
    if name == "apgd-ce":
        return autopgd_base.APGDAttack(victim.model, n_iter=STEPS, loss="ce", logger=logger, **shared)
    if name == "apgd-t":
        return autopgd_base.APGDAttack_targeted(
            victim.model, n_iter=STEPS, n_target_classes=NUM_TARGETS, logger=logger, **shared
        )
    if name == "fab-t":
        return fab_pt.FABAttack_PT(
            victim.model, n_iter=STEPS, targeted=True, n_target_classes=NUM_TARGETS, **shared
        )  # fmt: skip
    return square.SquareAttack(victim.model, n_queries=QUERIES, p_init=0.8, resc_schedule=False, **shared)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("apgd-ce", APGDCE(epsilon=EPSILON, steps=STEPS)),
        ("apgd-t", APGDT(epsilon=EPSILON, steps=STEPS, num_targets=NUM_TARGETS)),
        ("fab-t", FABT(epsilon=EPSILON, steps=STEPS, num_targets=NUM_TARGETS)),
    ],
)
def test_a_part_of_autoattack(
    victim: Victim, record_property: Callable[[str, object], None], name: str, ours: Attack
) -> None:
    theirs_NCHW = autoattack_part(name, victim).perturb(victim.x_NCHW.clone(), victim.y_N.clone())
    compare(ours, theirs_NCHW, victim, record_property)


def test_square(victim: Victim, record_property: Callable[[str, object], None]) -> None:
    attack, parts = autoattack_part("square", victim), []
    attack.eps = 16 / 255
    for i in range(N):
        attack.seed = SEED + i
        parts.append(attack.perturb(victim.x_NCHW[i : i + 1].clone(), victim.y_N[i : i + 1].clone()))
    ours = Square(epsilon=16 / 255, queries=QUERIES, scales_schedule=False)
    compare(ours, torch.cat(parts), victim, record_property)


def test_autoattack(victim: Victim, record_property: Callable[[str, object], None]) -> None:
    require("pyautoattack")
    import pyautoattack

    whole = pyautoattack.AutoAttack(victim.model, norm="Linf", eps=EPSILON, seed=SEED, version="standard", device="cpu")
    whole.apgd, whole.apgd_targeted = autoattack_part("apgd-ce", victim), autoattack_part("apgd-t", victim)
    whole.fab, whole.square = autoattack_part("fab-t", victim), autoattack_part("square", victim)
    theirs_NCHW, _ = whole.run_standard_evaluation(victim.x_NCHW, victim.y_N, batch_size=N)
    ours = AutoAttack(epsilon=EPSILON, steps=STEPS, num_targets=NUM_TARGETS, queries=QUERIES)
    compare(ours, theirs_NCHW, victim, record_property)
