"""The detector attacked too: on signs-nano, where PGD end to end is seen and the stealthy attack is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from capgan_benchmarks.robustness.suspicion import detection_of
from capgan_benchmarks.threats.crafting import images_as_floats, rows_of
from capgan_benchmarks.threats.defended import Defended, unchanged
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_benchmarks.threats.stealthy import Stealthy, stealthy_from_attack
from capgan_edge.attacks import EOT, FGSM, PGD, Attack, Square, StealthyPGD
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_export.fused import suspicion

EPSILON = 8 / 255


def suspicions(defended: Defended, frames_NHWC: np.ndarray) -> np.ndarray:
    """Return what the exported graph calls suspicion."""
    with torch.no_grad():
        translated = defended.purify.translate(images_as_floats(frames_NHWC))  # type: ignore[attr-defined]
        found_N: np.ndarray = suspicion(translated.domain_logits_BJ).double().numpy()
    return found_N


def test_the_stealthy_attack_hides_from_the_detector_that_sees_pgd(defended: Defended, sign_images: ImageSet) -> None:
    bold = EndToEnd(defended=defended).craft(PGD(epsilon=EPSILON, steps=15), sign_images)
    scenario = Stealthy(defended=defended)
    sly = scenario.craft(StealthyPGD(epsilon=EPSILON, steps=15), sign_images)
    clean_N = suspicions(defended, sign_images.images_NHWC)
    seen = [
        detection_of("pair", clean_N, suspicions(defended, each.frames_NHWC),
                     is_fooled_M=scenario.labels_of(each.frames_NHWC) != sign_images.labels_N)
        for each in (bold, sly)
    ]  # fmt: skip
    assert seen[0].roc_auc > 0.6
    assert seen[1].roc_auc < 0.5
    assert seen[1].at_5.unnoticed.num > seen[0].at_5.unnoticed.num
    of_fooling = [each.at_5.detected_of_fooling for each in seen]
    assert of_fooling[0] is not None
    assert of_fooling[1] is not None
    assert of_fooling[1].percent < of_fooling[0].percent
    num_right = [int((scenario.labels_of(each.frames_NHWC) == sign_images.labels_N).sum()) for each in (bold, sly)]
    assert num_right[1] <= 0.5 * len(sign_images), "silent, but fools nobody"
    assert np.abs(sly.frames_NHWC.astype(int) - sign_images.images_NHWC).max() <= 8
    assert (sly.scenario, sly.settings["attack"], sly.gradients_N.tolist()) == ("stealthy", "StealthyPGD-15",
                                                                               [30] * len(sign_images))  # fmt: skip


def test_a_plain_pgd_stands_for_the_stealthy_one_of_its_length(defended: Defended, sign_images: ImageSet) -> None:
    images, scenario = rows_of(sign_images, slice(3)), Stealthy(defended=defended)
    meant = StealthyPGD(epsilon=0.02, steps=3, step_size=0.01, seed=4)
    assert stealthy_from_attack(PGD(epsilon=0.02, steps=3, step_size=0.01, seed=4)) == meant
    crafted = [
        scenario.craft(attack, images, number=1)
        for attack in (meant, PGD(epsilon=0.02, steps=3, step_size=0.01, seed=4))
    ]
    assert (crafted[0].frames_NHWC == crafted[1].frames_NHWC).all()
    assert crafted[0].settings == crafted[1].settings


UNFIT: dict[str, Attack] = {
    "square": Square(), "fgsm": FGSM(), "restarts": PGD(restarts=2), "early": PGD(stops_early=True),
    "eot": EOT(attack=StealthyPGD()),
}  # fmt: skip


@pytest.mark.parametrize("attack", UNFIT.values(), ids=UNFIT)
def test_an_attack_that_does_not_see_the_suspicion_is_refused_with_what_fits(
    attack: Attack, defended: Defended, sign_images: ImageSet
) -> None:
    with pytest.raises(ConfigError, match="expected StealthyPGD, or PGD with one random start, for stealthy"):
        Stealthy(defended=defended).craft(attack, sign_images)


def test_a_defence_without_a_detector_is_refused_at_once(defended: Defended) -> None:
    with pytest.raises(ConfigError, match=r"bare: expected a purifier with a domain classifier .* use end-to-end"):
        Stealthy(defended=Defended(name="bare", purify=unchanged, classify=defended.classify))
