"""What the paper claims of its method, held against our tables: shown, not shown, or the other way round.

A claim is a list of figures that are to differ: each of the two is accuracy of a row in a column of a table. It is
shown where the 95 % interval of every difference lies above the least that is asked, the other way round where one lies
below 0, less than that where one lies between, and not shown otherwise. How much is asked (10 points for a wide margin,
5 for close, 5 % for about 0) is ours: the paper says it in words. Intervals are of paired images where the record says
which were right, and of unrelated samples, which is wider, where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from capgan_benchmarks.paper.printed import CLEAN, Column
from capgan_benchmarks.right import right_of
from capgan_benchmarks.statistics import newcombe_interval_points, paired_interval_points, wilson_interval_percent

State = Literal["shown", "less than that", "not shown", "the other way round", "not run", "no table yet"]
_MIM: Column = ("transfer", "mi-fgsm")
_BPDA: Column = ("bpda", "pgd-40")
_END: Column = ("end-to-end", "pgd-40")
_TRANSFERS: tuple[Column, ...] = tuple(("transfer", attack) for attack in ("fgsm", "mi-fgsm", "pgd-7", "pgd-40", "cw"))
_WIDE_POINTS = 10.0
_NEAR_POINTS = 5.0
_FALLEN_PERCENT = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Higher minus lower shall exceed `least_points`, for each pair of rows and each column."""

    words: str
    table: str
    pairs: tuple[tuple[str, str], ...] = ()
    """Of rows: the higher one first."""
    columns: tuple[Column, ...] = ()
    least_points: float = 0.0
    fallen: tuple[str, ...] = ()
    """Rows that keep at most 5 % in these columns."""
    near: tuple[tuple[str, str], ...] = ()
    """Rows that differ by at most 5 points in these columns."""


CLAIMS = (
    Claim(words="the semantic loss lifts MI-FGSM transfer and BPDA over pixel losses alone (by 10 points)", table="VI",
          pairs=(("pixel-semantic", "pixel"),), columns=(_MIM, _BPDA), least_points=_WIDE_POINTS),
    Claim(words="the cycle adds clean accuracy and BPDA", table="VI", pairs=(("cap-gan", "cap-gan-without-cycle"),),
          columns=(CLEAN, _BPDA)),
    Claim(words="BPDA falls as alpha rises", table="V", pairs=(("alpha-0.5", "cap-gan"), ("cap-gan", "alpha-0.9")),
          columns=(_BPDA,)),
    Claim(words="clean accuracy rises with T", table="V",
          pairs=(("temperature-5", "temperature-1"), ("cap-gan", "temperature-5")), columns=(CLEAN,)),
    Claim(words="end to end (PGD-40) APE-GAN and HGD fall to about 0 (at most 5 %)", table="IV",
          fallen=("ape-gan", "hgd"), columns=(_END,)),
    Claim(words="end to end (PGD-40) CAP-GAN holds more than APE-GAN and HGD", table="IV",
          pairs=(("cap-gan", "ape-gan"), ("cap-gan", "hgd")), columns=(_END,)),
    Claim(words="end to end (PGD-40) adversarial training holds most", table="IV",
          pairs=tuple(("adversarial-training", other) for other in ("cap-gan", "ape-gan", "hgd")), columns=(_END,)),
    Claim(words="CAP-GAN and HGD are close on transfer (5 points)", table="I", near=(("cap-gan", "hgd"),),
          columns=_TRANSFERS),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A claim, what came of it, and the figures."""

    claim: Claim
    state: State
    evidence: str


def judged(claim: Claim, record: Mapping[str, Any] | None) -> Judgement:
    """Return what the record of a claim's table says of it."""
    if record is None:
        return Judgement(claim=claim, state="no table yet", evidence="-")
    cells = {(cell["system"], (cell["threat"], cell["attack"])): cell for cell in record["cells"]}
    states, words = list[State](), list[str]()
    for column in claim.columns:
        for name in claim.fallen:
            _add(states, words, _fallen(name, column, cells))
        for high, low in (*claim.pairs, *claim.near):
            _add(states, words, _apart(claim, high, low, column, cells))
    order: Sequence[State] = ("the other way round", "less than that", "not run", "not shown", "shown")
    return Judgement(claim=claim, state=min(states, key=order.index), evidence="; ".join(words))


def _add(states: list[State], words: list[str], found: tuple[State, str]) -> None:
    states.append(found[0])
    words.append(found[1])


Cells = Mapping[tuple[str, Column], Mapping[str, Any]]


def _fallen(name: str, column: Column, cells: Cells) -> tuple[State, str]:
    cell = cells.get((name, column))
    if cell is None:
        return "not run", f"{name} was not run"
    low, high = wilson_interval_percent(cell["num_right"], cell["n"])
    state: State = (
        "shown" if high <= _FALLEN_PERCENT else "the other way round" if low > _FALLEN_PERCENT else "not shown"
    )
    return state, f"{name} {cell['percent']:.2f} % [{low:.2f}, {high:.2f}], n = {cell['n']}"


def _interval(held: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[float, float]:
    first_N, second_N = right_of(held), right_of(other)
    if first_N is None or second_N is None:
        return newcombe_interval_points((held["num_right"], held["n"]), (other["num_right"], other["n"]))
    return paired_interval_points(first_N, second_N)


def _apart(claim: Claim, first: str, second: str, column: Column, cells: Cells) -> tuple[State, str]:
    held, other = cells.get((first, column)), cells.get((second, column))
    where = column[1] if column[0] == column[1] else f"{column[0]}, {column[1]}"
    if held is None or other is None:
        return "not run", f"{where}: {first} or {second} was not run"
    low, high = _interval(held, other)
    points = held["percent"] - other["percent"]
    told = f"{where}: {first} {points:+.2f} points over {second} [{low:+.2f}, {high:+.2f}], n = {held['n']}"
    if (first, second) in claim.near:
        is_near, is_far = max(-low, high) <= _NEAR_POINTS, low > _NEAR_POINTS or high < -_NEAR_POINTS
        return "shown" if is_near else "the other way round" if is_far else "not shown", told
    if high < 0:
        return "the other way round", told
    is_less = high <= claim.least_points and claim.least_points > 0
    return "shown" if low > claim.least_points else "less than that" if is_less else "not shown", told
