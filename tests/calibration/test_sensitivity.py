"""Ranking layers by robustness: a layer that was spoilt is found, left out, and what that bought is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from capgan_calibration.attacker import Attacker
from capgan_calibration.images import Images
from capgan_calibration.mixture import ADVERSARIAL, CLEAN
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_calibration.scoring import LabelledFrames, Scorer
from capgan_calibration.sensitivity import DropLimits, Mode, Recipe, Sensitivity, leave_out, rank_layers
from capgan_edge.data.signs import load_signs
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle

SPOILT = "victim.units.2.conv1/Conv"
FEW = ("purifier.down1.conv.0/Conv", "victim.units.1.conv1/Conv", SPOILT, "victim.units.9.conv2/Conv")
"""The layers that are quantised here, so that a test takes seconds."""


@pytest.fixture(scope="module")
def images() -> Images:
    drawn = load_signs("test", size_px=32, n=48)
    return Images(name=drawn.name, frames_NHWC=drawn.images_NHWC, labels_N=drawn.labels_N)


@pytest.fixture(scope="module")
def ranges(signs_bundle: Bundle, images: Images) -> dict[str, float]:
    return measure_ranges(signs_bundle.read_artifact(), images.frames_NHWC, RangeConfig(method="minmax"))


@pytest.fixture(scope="module")
def scorer(signs_bundle: Bundle, attacker: Attacker, images: Images) -> Scorer:
    assert images.labels_N is not None
    attacked_NHWC = attacker.craft(ADVERSARIAL, images.frames_NHWC, images.labels_N)
    frames = [LabelledFrames(kind=CLEAN, frames_NHWC=images.frames_NHWC, labels_N=images.labels_N),
              LabelledFrames(kind=ADVERSARIAL, frames_NHWC=attacked_NHWC, labels_N=images.labels_N)]  # fmt: skip
    return Scorer(signs_bundle.read_artifact(), frames)


def recipe_of(bundle: Bundle, ranges: dict[str, float], *spoilt: str) -> Recipe:
    """Return a recipe of FEW layers; those spoilt have a range that clips nearly everything."""
    held = {node: 1e-3 if node.rpartition("/")[0] + "/Conv" in spoilt else limit for node, limit in ranges.items()}
    everything = Recipe(model_bytes=bundle.read_artifact(), ranges=ranges).graph().quantised
    exclude = tuple(layer.name for layer in everything if layer.name not in FEW)
    return Recipe(model_bytes=bundle.read_artifact(), ranges=held, exclude=exclude)


def test_the_fp32_graph_loses_nothing_against_itself(scorer: Scorer) -> None:
    assert {drop.points for drop in scorer.baseline.drops} == {0}
    assert scorer.baseline.divergence == 0
    for drop in scorer.baseline.drops:
        assert drop.n == 48
        assert drop.accuracy_95[0] <= drop.accuracy_percent <= drop.accuracy_95[1]
        assert drop.points_95[0] <= 0 <= drop.points_95[1]


@pytest.mark.parametrize("mode", ["only", "leave-out"])
def test_a_spoilt_layer_is_ranked_first_and_leaving_it_out_is_enough(
    mode: Mode, signs_bundle: Bundle, ranges: dict[str, float], scorer: Scorer
) -> None:
    recipe = recipe_of(signs_bundle, ranges, SPOILT)
    ranking = rank_layers(recipe, scorer, mode=mode)
    assert {effect.layer for effect in ranking.effects} == set(FEW)
    assert ranking.effects[0].layer == SPOILT
    assert ranking.effects[0].robust_points > 5
    assert ranking.effects[0].robust_points > ranking.effects[1].robust_points + 5
    found = leave_out(recipe, scorer, ranking, DropLimits(clean_points=2.5, robust_points=2.5))
    (bought,) = found.layers
    assert bought.layer == SPOILT
    assert bought.robust_points == pytest.approx(ranking.int8.robust_points - found.score.robust_points)
    assert found.score.robust_points <= 2.5 < ranking.int8.robust_points
    assert SPOILT not in {layer.name for layer in found.graph.quantised}
    assert SPOILT in {kept.name for kept in found.graph.kept}


@pytest.fixture(scope="module")
def sound(signs_bundle: Bundle, ranges: dict[str, float], scorer: Scorer) -> tuple[Recipe, Sensitivity]:
    """A recipe with nothing spoilt, and its ranking."""
    recipe = recipe_of(signs_bundle, ranges)
    return recipe, rank_layers(recipe, scorer)


def test_where_the_limits_hold_nothing_is_left_out(sound: tuple[Recipe, Sensitivity], scorer: Scorer) -> None:
    recipe, ranking = sound
    found = leave_out(recipe, scorer, ranking, DropLimits(clean_points=100, robust_points=100))
    assert found.layers == ()
    assert found.graph.model_bytes == recipe.graph().model_bytes
    sizes = [(effect.robust_points, effect.clean_points, effect.divergence) for effect in ranking.effects]
    assert sizes == sorted(sizes, reverse=True)
    assert all(np.isfinite(effect.divergence) and effect.divergence > 0 for effect in ranking.effects)


def test_where_the_limits_hold_for_no_graph_it_is_an_error(
    signs_bundle: Bundle, ranges: dict[str, float], scorer: Scorer
) -> None:
    spoilt = recipe_of(signs_bundle, ranges, SPOILT)
    others = tuple(layer for layer in FEW if layer != SPOILT)
    recipe = replace(spoilt, exclude=(*spoilt.exclude, *others))
    with pytest.raises(ArtifactError, match=r"with 1 layer left; use FP16"):
        leave_out(recipe, scorer, rank_layers(recipe, scorer), DropLimits(clean_points=0, robust_points=0))


def test_the_ranking_says_everything_to_machines(sound: tuple[Recipe, Sensitivity]) -> None:
    told = sound[1].to_json()
    assert isinstance(told["layers"], list)
    assert len(told["layers"]) == len(FEW)
    assert isinstance(told["int8"], dict)
    assert isinstance(told["int8"]["drops"], list)


@pytest.mark.parametrize("limit", [-1, 101, float("nan")])
def test_limits_out_of_range_are_refused(limit: float) -> None:
    with pytest.raises(ConfigError, match="expected limits in percentage points"):
        DropLimits(robust_points=limit)
