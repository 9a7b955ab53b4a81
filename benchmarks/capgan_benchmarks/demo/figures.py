"""Every figure of the demo, each with its n, seed, settings and interval. Shapes: N frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.attacked import AttackedFrames
from capgan_benchmarks.demo.config import END_TO_END_NAME
from capgan_benchmarks.demo.scored import Scored
from capgan_benchmarks.latency.in_turn import Latency
from capgan_benchmarks.statistics import separation, wilson_interval_percent
from capgan_edge.runtime.manifest import Figure

CLEAN = "clean"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What all figures of a run share."""

    seed: int
    device: str
    data: str
    artifact_sha256: str


def accuracy_figures(
    scored: Mapping[str, Scored], attacked: Mapping[str, AttackedFrames], conditions: Conditions
) -> list[Figure]:
    """Return the accuracies of the bare victim and behind the purifier, both of the ONNX file."""
    figures = []
    for kind, of_kind in scored.items():
        settings = attacked[kind].settings if kind in attacked else {"attack": "none"}
        subjects = {"victim": of_kind.is_victim_right, "purified": of_kind.is_purified_right}
        if kind == END_TO_END_NAME:  # aimed at both together: what the bare victim says of these frames is no figure
            del subjects["victim"]
        for subject, is_right_N in subjects.items():
            output = {"victim": "raw_logits", "purified": "logits"}[subject]
            said = {**settings, "scored": f"ONNX, output {output}"}
            figures.append(_accuracy(f"{subject}, {kind}", is_right_N, said, conditions))
    return figures


def rounding_figures(attacked: Mapping[str, AttackedFrames], conditions: Conditions) -> list[Figure]:
    """Return the attacked model's accuracy before the frames were rounded to 8 bits, in torch."""
    return [
        _accuracy(
            f"{'purified' if name == END_TO_END_NAME else 'victim'}, {name}, before rounding",
            ~frames.is_fooled_before_rounding_N,
            {**frames.settings, "rounded_to_bits": None, "scored": "torch, float32"},
            conditions,
        )
        for name, frames in attacked.items()
    ]


def suspicion_figures(scored: Mapping[str, Scored], conditions: Conditions) -> list[Figure]:
    """Return the medians of suspicion, and how well it separates each attack's frames from the clean ones."""
    figures = []
    clean_N = scored[CLEAN].suspicion_N
    for kind, of_kind in scored.items():
        n, said = len(of_kind.suspicion_N), {"scored": "ONNX, output suspicion"}
        median = float(np.median(of_kind.suspicion_N))
        figures.append(_plain(f"suspicion, {kind}, median", median, "in [0, 1]", n, said, conditions))
        if kind != CLEAN:
            area = separation(clean_N, of_kind.suspicion_N)
            figures.append(
                _plain(f"suspicion, {kind}, area under ROC", area, "in [0, 1]", n + len(clean_N), said, conditions)
            )
    return figures


def latency_figures(latencies: Mapping[str, Latency], conditions: Conditions, settings: dict[str, Any]) -> list[Figure]:
    """Return the latencies, and what the purifier multiplies the victim's by."""
    figures = []
    for name, held in latencies.items():
        for kind, value_ms in (("min", held.min_ms), ("p50", held.p50_ms), ("p90", held.p90_ms)):
            figures.append(_plain(f"latency, {name}, {kind}", value_ms, "ms", held.n, settings, conditions))
    alone, deployed = latencies[ALONE], latencies[DEPLOYED]
    ratio = deployed.p50_ms / alone.p50_ms
    figures.append(_plain("latency, ratio of medians", ratio, "times the victim alone", alone.n, settings, conditions))
    return figures


ALONE, DEPLOYED = "victim alone", "purifier + victim"


def by_name(figures: Sequence[Figure]) -> dict[str, Figure]:
    """Return the figures under their names, which are unique."""
    named = {figure.name: figure for figure in figures}
    assert len(named) == len(figures)
    return named


def _accuracy(name: str, is_right_N: NDArray[np.bool_], settings: dict[str, Any], conditions: Conditions) -> Figure:
    n, num_right = len(is_right_N), int(is_right_N.sum())
    return Figure(
        name=name,
        value=100 * num_right / n,
        unit="%",
        n=n,
        seed=conditions.seed,
        settings={**settings, "artifact_sha256": conditions.artifact_sha256},
        data=conditions.data,
        device=conditions.device,
        interval_95=wilson_interval_percent(num_right, n),
    )


def _plain(name: str, value: float, unit: str, n: int, settings: dict[str, Any], conditions: Conditions) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit=unit,
        n=n,
        seed=conditions.seed,
        settings={**settings, "artifact_sha256": conditions.artifact_sha256},
        data=conditions.data,
        device=conditions.device,
    )
