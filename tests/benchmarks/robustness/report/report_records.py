"""Records of a robustness benchmark made by hand, and the images and the pair that go with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

import numpy as np
import torch
from numpy.typing import NDArray

from capgan_benchmarks.robustness.record import (
    CLEAN,
    Alarm,
    Cell,
    Check,
    Counted,
    DataIdentity,
    Detection,
    Flips,
    NotTested,
    RobustnessRecord,
    Rounding,
    Score,
    Spread,
    SystemIdentity,
    ThreatWords,
    Worst,
    packed,
)
from capgan_benchmarks.robustness.report.inputs import ReportInputs
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_edge.data.images import ImageSet
from capgan_edge.models.purifier import Purifier, PurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import victim_from_module
from capgan_export.source import Source

N, SIDE = 12, 16
LABELS = ("stop", "yield", "school")
VICTIM, PAIR, FILE = "bare victim", "purified (torch)", "model.int8.onnx"
KINDS = {VICTIM: "victim", PAIR: "pair", FILE: "artifact"}
EPSILONS = (4 / 255, 8 / 255)
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Every element closed in order; tags, attributes, identifiers and text collected."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def values(self, name: str) -> list[str]:
        """Return every value of an attribute."""
        return [value for _, key, value in self.attributes if key == name]


def score(system: str, right: Sequence[bool]) -> Score:
    num, n = sum(right), len(right)
    return Score(system=system, n=n, num_right=num, percent=100 * num / n,
                 interval_95=wilson_interval_percent(num, n), right=packed(np.array(right, bool)))  # fmt: skip


def cell(
    scenario: str, attack: str, epsilon: float | None, right: Mapping[str, Sequence[bool]], *,
    targets: Sequence[str] = (PAIR, FILE), detections: Sequence[Detection] = (), seconds: float = 1.25,
) -> Cell:  # fmt: skip
    n = len(next(iter(right.values())))
    return Cell(
        scenario=scenario, attack=attack, epsilon=epsilon, settings={"steps": 7, "note": "a < b"}, n=n, seconds=seconds,
        queries=Spread(total=1_234, median=77.0, max=99), gradients=Spread(total=4_321, median=66.0, max=88),
        num_lost_queries=3, mean_l2=0.625, zero_gradient_percent=12.5,
        rounding=Rounding(judge="f(T(.))", n=n, num_right_float=0, num_right_rounded=1), targets=tuple(targets),
        scores=tuple(score(name, bits) for name, bits in right.items()), detections=tuple(detections),
    )  # fmt: skip


def first(num: int, n: int = N) -> list[bool]:
    """Return bits of which the first are set."""
    return [i < num for i in range(n)]


def clean_cell(n: int = N) -> Cell:
    return cell(CLEAN, CLEAN, None, {name: first(n, n) for name in KINDS}, targets=tuple(KINDS))


def systems() -> tuple[SystemIdentity, ...]:
    return tuple(
        SystemIdentity(name=name, kind=kind, sha256=f"{i}" * 64, precision="fp32", device="CPU, 1 thread")  # type: ignore[arg-type]
        for i, (name, kind) in enumerate(KINDS.items())
    )


def counted(num: int, n: int = N) -> Counted:
    return Counted(num=num, n=n, percent=100 * num / n, interval_95=wilson_interval_percent(num, n))


def detection(system: str = PAIR) -> Detection:
    """Of twelve frames seven fool; of these an alarm finds two at 1 % and three at 5 %."""
    at_1, at_5 = (Alarm(unnoticed=counted(7 - num), detected_of_fooling=counted(num, 7), detected=counted(num + 4))
                  for num in (2, 3))  # fmt: skip
    return Detection(system=system, num_clean=N, num_attacked=N, num_fooling=7, roc_auc=0.875, at_1=at_1, at_5=at_5)


def attacked_cells() -> list[Cell]:
    """FGSM on the classifier, PGD end to end and stealthy, at two budgets, and CW without one."""
    found = detection()
    cells = []
    for i, epsilon in enumerate(EPSILONS):
        cells.append(
            cell("white-box-victim", "FGSM", epsilon, {VICTIM: first(4 - 3 * i), PAIR: first(11), FILE: first(10)})
        )
        cells.append(cell("end-to-end", "PGD-40", epsilon, {VICTIM: first(9), PAIR: first(5 - 3 * i), FILE: first(6)},
                          detections=[found]))  # fmt: skip
    cells.append(cell("stealthy", "PGD-40", EPSILONS[1], {VICTIM: first(9), PAIR: first(7), FILE: first(7)},
                      detections=[found.model_copy(update={"roc_auc": 0.512})]))  # fmt: skip
    cells.append(cell("end-to-end", "CW-100", None, {VICTIM: first(8), PAIR: first(3), FILE: first(3)}))
    return cells


def make_record(**changes: object) -> RobustnessRecord:
    threats = tuple(ThreatWords(name=name, gradient_by="f", scored="f(T(.))", knows=f"What {name} knows.")
                    for name in ("white-box-victim", "end-to-end", "stealthy"))  # fmt: skip
    num = 2
    worst = Worst(system=PAIR, epsilon=EPSILONS[1], scenarios=("end-to-end", "stealthy"), attacks=("PGD-40",), n=N,
                  num_right=num, percent=100 * num / N, interval_95=wilson_interval_percent(num, N))  # fmt: skip
    flip = Flips(scenario="end-to-end", attack="PGD-40", epsilon=EPSILONS[1], reference=PAIR, other=FILE, n=N,
                 num_flipped=5, percent=100 * 5 / N, interval_95=wilson_interval_percent(5, N),
                 num_only_reference_right=1, num_only_other_right=4, p_value=0.0078125)  # fmt: skip
    checks = [{"name": f"check that {state}", "state": state, "expected": f"what {state} expects",
               "came": f"what {state} saw"} for state in ("passed", "failed", "not run")]  # fmt: skip
    fields: dict[str, object] = {
        "date": "2026-11-24T02:00:00+00:00", "code": "88daf01",
        "environment": {"cpu": "Some CPU", "tools": {"torch": "2.13"}},
        "command": "capgan-edge benchmark robustness",
        "arguments": ("benchmark", "robustness", "signs nano", "--n", "12"), "subject": "signs-nano", "tier": "quick",
        "seed": 3, "batch": 64, "systems": systems(), "threats": threats, "cells": (clean_cell(), *attacked_cells()),
        "data": DataIdentity(name="signs-16/test", n=N, num_available=900, seed=5, sha256="d" * 64),
        "worst": (worst,), "flips": (flip,),
        "checks": tuple(Check.model_validate(each) for each in checks), "seconds": 75.0,
        "not_tested": (NotTested(what="artifact-query", why="it takes a bundle"),),
    }  # fmt: skip
    return RobustnessRecord.model_validate({**fields, **changes})


def from_json(record: RobustnessRecord) -> RobustnessRecord:
    """Return the record as one reads it from its file."""
    return RobustnessRecord.model_validate_json(json.dumps(record.model_dump(mode="json")))


def images(n: int = N) -> ImageSet:
    frames_NHWC = np.random.default_rng(0).integers(30, 220, (n, SIDE, SIDE, 3), dtype=np.uint8)
    return ImageSet(
        name="signs-16/test", images_NHWC=frames_NHWC, labels_N=np.arange(n) % len(LABELS), class_names=LABELS
    )


def tiny_pair() -> Source:
    """Random weights: pages do not mind."""
    torch.manual_seed(0)
    purifier = Purifier(PurifierConfig(ngf=4, num_blocks=1, end_kernel_px=3, norm="batch", padding="zeros",
                                       output="residual", has_skips=True))  # fmt: skip
    victim = victim_from_module(SimpleResNet(len(LABELS), units_per_stage=1).eval(),
                                {"kind": "simple-resnet", "name": "tiny"}, size_px=(SIDE, SIDE),
                                labels=LABELS)  # fmt: skip
    return Source(name="tiny", origin="tiny", purifier=purifier.eval(), victim=victim, labels=LABELS,
                  size_px=(SIDE, SIDE), data="signs")  # fmt: skip


def make_inputs(
    record: RobustnessRecord, *, source: Source | None = None, labels: tuple[str, ...] = LABELS
) -> ReportInputs:
    held = images(record.data.n)
    crafted: dict[tuple[str, str, float | None], NDArray[np.uint8]] = {}
    for i, each in enumerate(record.cells):
        if each.scenario != CLEAN:
            noise = np.random.default_rng(i + 1).integers(-8, 9, held.images_NHWC.shape)
            crafted[each.scenario, each.attack, each.epsilon] = (held.images_NHWC + noise)[: each.n].astype(np.uint8)
    return ReportInputs(labels=labels, images=held, crafted=crafted, source=source)
