"""Which layers cost robustness in INT8: rank them, and leave them in floating point in that order until limits hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from pydantic import JsonValue

from capgan_calibration.layers import Layer
from capgan_calibration.progress import tracked
from capgan_calibration.qdq import Int8Graph, Rest, int8_from_fp32
from capgan_calibration.ranges import Ranges
from capgan_calibration.scoring import Score, Scorer
from capgan_edge.errors import ArtifactError, ConfigError

Mode = Literal["only", "leave-out"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DropLimits:
    """How much accuracy INT8 may cost, measured as it is, without the benefit of the sampling error."""

    clean_points: float = 1.0
    """Percentage points of clean accuracy."""
    robust_points: float = 1.0
    """Percentage points of accuracy under each attack."""

    def __post_init__(self) -> None:
        if not (0 <= self.clean_points <= 100 and 0 <= self.robust_points <= 100):
            raise ConfigError(f"expected limits in percentage points, in [0, 100], got {self.clean_points} and "
                              f"{self.robust_points}; the defaults are 1 and 1")  # fmt: skip

    def hold(self, score: Score) -> bool:
        """Whether no kind of frames lost more."""
        return all(
            drop.points <= (self.clean_points if drop.kind == "clean" else self.robust_points) for drop in score.drops
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that decides an INT8 graph but the layers that are left out."""

    model_bytes: bytes
    """The FP32 graph."""
    ranges: Ranges
    exclude: tuple[str, ...] = ()
    keep_ends: bool = True
    rest: Rest = "fp32"

    def graph(self, *left_out: str) -> Int8Graph:
        """Return the INT8 graph without these layers."""
        exclude = (*self.exclude, *(_literally(name) for name in left_out))
        return int8_from_fp32(self.model_bytes, self.ranges, exclude=exclude, keep_ends=self.keep_ends, rest=self.rest)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerEffect:
    """What one layer does to the accuracy; the larger the numbers, the more it is worth to leave it out."""

    layer: str
    op: str
    robust_points: float
    """Points of robust accuracy: lost by quantising it alone, or won by leaving it out alone."""
    clean_points: float
    divergence: float
    """Of the scores, in nats: added by quantising it alone, or taken away by leaving it out alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """Layers by what they cost, the costliest first."""

    mode: Mode
    fp32: Score
    int8: Score
    """With every layer quantised that may be."""
    effects: tuple[LayerEffect, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as plain values."""
        return {"mode": self.mode, "fp32": _plain(self.fp32), "int8": _plain(self.int8),
                "layers": [asdict(effect) for effect in self.effects]}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOutLayer:
    """A layer that stays in floating point, and what that bought beside those before it."""

    layer: str
    robust_points: float
    """Points of robust accuracy won."""
    clean_points: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """The graph for which the limits hold."""

    graph: Int8Graph
    layers: tuple[LeftOutLayer, ...]
    score: Score

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as plain values."""
        return {"left_out": [asdict(layer) for layer in self.layers], "score": _plain(self.score)}


def rank_layers(recipe: Recipe, scorer: Scorer, *, mode: Mode = "only") -> Sensitivity:
    """Build one graph a layer, measure each, and sort by robust accuracy, then by clean, then by the scores.

    Raises:
        ConfigError: there is no such mode, or no layer to quantise.
    """
    if mode not in get_args(Mode):
        raise ConfigError(f"expected the mode only or leave-out, got {mode!r}; choose one of the two")
    whole = recipe.graph()
    int8 = scorer.score(whole.model_bytes)
    effects = [
        _effect(recipe, scorer, layer, whole.quantised, int8, mode)
        for layer in tracked(whole.quantised, "measuring layers")
    ]
    effects.sort(key=lambda e: (-e.robust_points, -e.clean_points, -e.divergence))
    return Sensitivity(mode=mode, fp32=scorer.baseline, int8=int8, effects=tuple(effects))


def leave_out(recipe: Recipe, scorer: Scorer, ranking: Sensitivity, limits: DropLimits) -> LeftOut:
    """Leave layers in floating point, the costliest first, until the limits hold.

    Raises:
        ArtifactError: they do not hold with one layer quantised either.
    """
    left_out: list[LeftOutLayer] = []
    score, graph = ranking.int8, recipe.graph()
    for effect in ranking.effects:
        if limits.hold(score) or len(left_out) + 1 == len(ranking.effects):
            break
        graph = recipe.graph(*(held.layer for held in left_out), effect.layer)
        fresh = scorer.score(graph.model_bytes)
        left_out.append(LeftOutLayer(layer=effect.layer, robust_points=score.robust_points - fresh.robust_points,
                                     clean_points=score.clean_points - fresh.clean_points))  # fmt: skip
        score = fresh
    if not limits.hold(score):
        raise ArtifactError(
            f"expected INT8 within {limits.clean_points:g} points of clean and {limits.robust_points:g} of robust "
            f"accuracy, got a loss of {score.clean_points:.2f} and {score.robust_points:.2f} with "
            f"{len(graph.quantised)} layer left; use FP16, allow more, or calibrate on other frames"
        )
    return LeftOut(graph=graph, layers=tuple(left_out), score=score)


def _effect(
    recipe: Recipe, scorer: Scorer, layer: Layer, layers: Sequence[Layer], int8: Score, mode: Mode
) -> LayerEffect:
    if mode == "only":
        others = (other.name for other in layers if other.name != layer.name)
        score, start, sign = scorer.score(recipe.graph(*others).model_bytes), scorer.baseline, 1
    else:
        if len(layers) == 1:
            score, start, sign = scorer.baseline, int8, -1
        else:
            score, start, sign = scorer.score(recipe.graph(layer.name).model_bytes), int8, -1
    return LayerEffect(
        layer=layer.name, op=layer.op,
        robust_points=sign * (score.robust_points - start.robust_points),
        clean_points=sign * (score.clean_points - start.clean_points),
        divergence=sign * (score.divergence - start.divergence),
    )  # fmt: skip


def _literally(name: str) -> str:
    """Return a pattern that fits this name alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _plain(score: Score) -> dict[str, JsonValue]:
    return {"drops": [{**asdict(drop), "accuracy_95": list(drop.accuracy_95), "points_95": list(drop.points_95)}
                      for drop in score.drops], "divergence": score.divergence}  # fmt: skip
