"""Answers to questions whose right answer is known: right, another's, nobody's, refused, or none. Shapes: N, K."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from capgan_edge.runtime.fields import Count, Record

Kind = Literal["right", "mixed", "wrong", "refused", "lost"]


class Tally(Record):
    """How many answers were what."""

    right: Count = 0
    mixed: Count = 0
    """The right answer to another question."""
    wrong: Count = 0
    """The right answer to no question at all."""
    refused: Count = 0
    """Told to come again (503); an answer, if not a result."""
    lost: Count = 0
    """No answer, or a failure that nothing was done to deserve."""

    @property
    def asked(self) -> int:
        """All of them: none is counted twice or left out."""
        return self.right + self.mixed + self.wrong + self.refused + self.lost

    @property
    def is_clean(self) -> bool:
        """Nothing was mixed up, wrong or lost."""
        return self.mixed == self.wrong == self.lost == 0


def tally_of(kinds: Iterable[Kind]) -> Tally:
    """Count kinds."""
    return Tally(**Counter[str](kinds))


class KnownAnswers:
    """N right answers of K numbers each."""

    def __init__(self, answers_NK: NDArray[np.float64], tolerance: float) -> None:
        """`tolerance`: the same answer may differ by this in each number, e.g. since it went with another batch."""
        self.answers_NK, self.tolerance = answers_NK, tolerance

    def kind_of(self, number: int, answer_K: NDArray[np.float64]) -> Kind:
        """Return what an answer to question `number` is."""
        if answer_K.shape != self.answers_NK.shape[1:] or not np.isfinite(answer_K).all():
            return "wrong"
        is_near_N = np.abs(self.answers_NK - answer_K).max(axis=1) <= self.tolerance
        if is_near_N[number]:
            return "right"
        return "mixed" if is_near_N.any() else "wrong"


def distinct(answers_NK: NDArray[np.float64], tolerance: float) -> list[int]:
    """Return the numbers of answers that cannot be taken for one another, however far each may be off."""
    kept: list[int] = []
    for number, answer_K in enumerate(answers_NK):
        others_MK = answers_NK[kept]
        if not kept or np.abs(others_MK - answer_K).max(axis=1).min() > 2 * tolerance:
            kept.append(number)
    return kept
