"""The record of a robustness benchmark: every figure with what it takes to read, repeat and compare it.

What other records are compared with must be here, also per image: `right` of a score has one bit an image, in the order
of the data's indices.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, StringConstraints

from capgan_benchmarks.headed_record import HeadedRecord, read_checked
from capgan_edge.errors import DataError
from capgan_edge.files import write_json
from capgan_edge.runtime.fields import Count, Listed, Name, Record, Sha256

RECORD_SCHEMA = 1
CLEAN = "clean"
"""Stands for the scenario of images that nobody attacked."""
REPLAYED = "replayed"
"""Stands for the scenario of frames that were crafted elsewhere; in the settings of such a cell, the frames' hash."""
Percent = Annotated[FiniteFloat, Field(ge=0, le=100)]
Bits = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")]


class DataIdentity(Record):
    """Which images were attacked."""

    name: Name
    """As `capgan_edge.data.load` calls it, with its split: `cifar10-jpeg/test`."""
    n: Annotated[int, Field(ge=1)]
    num_available: Annotated[int, Field(ge=1)]
    seed: Count
    """Of the choice of the n."""
    sha256: Sha256
    """Of the chosen frames and labels, in order."""


class SystemIdentity(Record):
    """Something that labels frames: the bare victim, the purified pair in torch, an artifact of a bundle."""

    name: Name
    """`bare victim`, `purified (torch)`, or an artifact's name, as scores refer to it."""
    kind: Literal["victim", "pair", "artifact"]
    sha256: Sha256
    """Of the artifact's file, or of the weights."""
    precision: Name
    device: Name


class Score(Record):
    """How one system labels one set of frames."""

    system: Name
    n: Annotated[int, Field(ge=1)]
    num_right: Count
    percent: Percent
    interval_95: tuple[Percent, Percent]
    """Wilson."""
    right: Bits
    """One bit an image, packed most significant first, base64."""


class Spread(Record):
    """Of a count over the images."""

    total: Count
    median: FiniteFloat
    max: Count


class Counted(Record):
    """Some of n frames."""

    num: Count
    n: Annotated[int, Field(ge=1)]
    percent: Percent
    interval_95: tuple[Percent, Percent]
    """Wilson."""


class Alarm(Record):
    """What an alarm at one threshold finds of the attacked frames; intervals are about these, the threshold held."""

    unnoticed: Counted
    """Of all attacked frames, those that fool the system and raise no alarm: what the attacker is after."""
    detected_of_fooling: Counted | None
    """Of the attacked frames that fool the system, those that raise it; None where none fools."""
    detected: Counted
    """Of all attacked frames, those that raise it: also of frames that fool nobody."""


class Detection(Record):
    """How well suspicion tells these frames from the clean ones, on one system.

    A frame fools the system that labels it wrongly, whatever the system says of the clean image.
    """

    system: Name
    num_clean: Annotated[int, Field(ge=1)]
    num_attacked: Annotated[int, Field(ge=1)]
    num_fooling: Count
    """Attacked frames that fool this system."""
    roc_auc: Annotated[FiniteFloat, Field(ge=0, le=1)]
    """Over all attacked frames."""
    at_1: Alarm
    """Above the threshold that at most 1 % of the clean frames exceed."""
    at_5: Alarm


class Rounding(Record):
    """What rounding to 8 bits gave back, by one judge."""

    judge: Name
    n: Count
    num_right_float: Count
    num_right_rounded: Count


class Cell(Record):
    """One attack of one threat model at one epsilon, and how every system fares on its frames."""

    scenario: Name
    attack: Name
    """With its steps or queries, as in PGD-40."""
    epsilon: Annotated[FiniteFloat, Field(ge=0, le=1)] | None
    """L-infinity, pixels in [0, 1]; None where the attack has no such bound (CW)."""
    settings: dict[str, Any]
    n: Annotated[int, Field(ge=1)]
    """The first n of the data's images."""
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    """Wall time of the attack, of this run or of the one that cached it."""
    queries: Spread
    gradients: Spread
    num_lost_queries: Count
    mean_l2: FiniteFloat | None
    """Of the frames that fool what was attacked (f in white-box-victim, f' in transfer); None where none does. Without
    `num_fooled` it is that of those that fool the first target."""
    num_fooled: Count | None = None
    """Images that fool what was attacked, before rounding; None in records from before it was kept."""
    num_confident: Count | None = None
    """Images that fool what was attacked with the margin that the attack asks for, before rounding: CW's kappa. Scores
    count every frame that fools, also by less. None where the attack asks for none."""
    zero_gradient_percent: Percent | None
    """Share of images whose loss has a gradient of exactly zero at the original; None where none is taken."""
    rounding: Rounding
    targets: Listed[Name]
    """Systems that this threat model is about; the others are scored on the same frames for comparison."""
    scores: Listed[Score]
    detections: Listed[Detection]

    @property
    def title(self) -> str:
        """What figures call it."""
        return self.attack if self.scenario == CLEAN else f"{self.attack} ({self.scenario})"

    @property
    def confidence(self) -> str | None:
        """How many fool with the margin asked for, in words; None where none is asked for."""
        if self.num_confident is None:
            return None
        margin = f" of {self.settings['kappa']:g}" if isinstance(self.settings.get("kappa"), (int, float)) else ""
        return f"{self.num_confident} of {self.n} with a margin{margin}"

    @property
    def distance(self) -> str | None:
        """Mean L2 of an attack without an epsilon, in words; None where there is one, nothing is fooled, or it is not
        known whose L2 it is.
        """
        if self.epsilon is not None or self.mean_l2 is None or self.num_fooled is None:
            return None
        return f"mean L2 {self.mean_l2:.2f} of the {self.num_fooled} that fool what was attacked"

    def score_of(self, system: str) -> Score | None:
        """Return the score of one system, where it was scored."""
        return next((score for score in self.scores if score.system == system), None)


class Worst(Record):
    """Accuracy of one system where each image counts as right only if it is right clean and after every attack.

    Clean, too, since leaving an image alone is within every epsilon: right by an attack's accident is not robust.
    """

    system: Name
    epsilon: FiniteFloat
    scenarios: Listed[Name]
    attacks: Listed[Name]
    n: Annotated[int, Field(ge=1)]
    """Images that all of these attacks were run on."""
    num_right: Count
    percent: Percent
    interval_95: tuple[Percent, Percent]


class Flips(Record):
    """How two systems differ on the same frames; `other` against `reference`."""

    scenario: Name
    attack: Name
    epsilon: FiniteFloat | None
    reference: Name
    other: Name
    n: Annotated[int, Field(ge=1)]
    num_flipped: Count
    """Frames that the two label differently."""
    percent: Percent
    interval_95: tuple[Percent, Percent]
    num_only_reference_right: Count
    num_only_other_right: Count
    p_value: Annotated[FiniteFloat, Field(ge=0, le=1)]
    """McNemar's exact test that neither is right more often."""


class Check(Record):
    """One self-check: does the benchmark find what it must, and is no gradient masked?"""

    name: Name
    state: Literal["passed", "failed", "not run"]
    expected: Name
    came: Name
    """What was measured, with n, or why it was not run."""


class NotTested(Record):
    """What this record says nothing about."""

    what: Name
    why: Name


class ThreatWords(Record):
    """A threat model in words, as the record's readers need them."""

    name: Name
    gradient_by: Name
    scored: Name
    knows: Name


class RobustnessRecord(HeadedRecord):
    """All of it."""

    kind: Literal["robustness"] = "robustness"
    subject: Name
    """A bundle's, run's or packaged pair's name."""
    tier: Name
    seed: Count
    batch: Annotated[int, Field(ge=1)]
    """Images attacked at once: random starts depend on it."""
    data: DataIdentity
    systems: Listed[SystemIdentity]
    threats: Listed[ThreatWords]
    cells: Listed[Cell]
    """The first is of the clean images."""
    worst: Listed[Worst]
    flips: Listed[Flips]
    checks: Listed[Check]
    not_tested: Listed[NotTested]
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    """Wall time of the run that wrote the record; what was cached is not in it."""


def packed(right_N: NDArray[np.bool_]) -> str:
    """Return one bit an image as text."""
    return base64.b64encode(np.packbits(right_N).tobytes()).decode()


def unpacked(score: Score) -> NDArray[np.bool_]:
    """Return which images the system labelled rightly.

    Raises:
        DataError: the bits are not as many as the score says, or do not add up to its count.
    """
    bits = np.unpackbits(np.frombuffer(base64.b64decode(score.right), np.uint8))
    right_N = bits[: score.n].astype(bool)
    if len(right_N) != score.n or int(right_N.sum()) != score.num_right:
        raise DataError(
            f"expected {score.num_right} of {score.n} images right in the score of {score.system}, got "
            f"{int(right_N.sum())} of {len(right_N)} in its bits; the record was edited: make it again"
        )
    return right_N


def write_record(path: Path, record: RobustnessRecord) -> None:
    """Write the record as JSON, atomically."""
    write_json(path, record.model_dump(mode="json"))


def read_record(path: Path) -> RobustnessRecord:
    """Read and check a record.

    Raises:
        DataError: it cannot be read, is no such record, or contradicts itself.
    """
    record = read_checked(path, RobustnessRecord, what="a record of capgan-edge benchmark robustness")
    for score in (score for cell in record.cells for score in cell.scores):
        unpacked(score)
    return record


def cells_of(record: RobustnessRecord, scenarios: Sequence[str] = ()) -> tuple[Cell, ...]:
    """Return the attacked cells, of some scenarios or of all."""
    attacked = (cell for cell in record.cells if cell.scenario != CLEAN)
    return tuple(cell for cell in attacked if not scenarios or cell.scenario in scenarios)
