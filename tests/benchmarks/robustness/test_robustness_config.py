"""Epsilons as people write them, and options that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from capgan_benchmarks.robustness.config import (
    RobustnessConfig,
    epsilon_text,
    epsilons_from_text,
    names_from_text,
)
from capgan_edge.errors import CapganError, ConfigError


class Written(NamedTuple):
    text: str
    epsilons: tuple[float, ...]


WRITTEN = [
    Written("4,8, 16", (4 / 255, 8 / 255, 16 / 255)),
    Written("8/255", (8 / 255,)),
    Written("0.03,.5", (0.03, 0.5)),
    Written("1", (1 / 255,)),
    Written("3e-2,3E-2", (0.03,)),
    Written("1.0,1e0,1.", (1.0,)),
    Written("0.99", (0.99,)),
    Written("1.5/255", (1.5 / 255,)),
    Written("1/255", (1 / 255,)),
    Written("0.0", (0.0,)),
    Written("0", (0.0,)),
    Written("255", (1.0,)),
    Written("8,8/255", (8 / 255,)),
    Written("", ()),
]


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case.text or "nothing")
def test_epsilons_are_levels_or_shares(case: Written) -> None:
    assert epsilons_from_text(case.text) == case.epsilons


@pytest.mark.parametrize("text", ["256", "300/255", "9" * 400])
def test_an_epsilon_outside_0_and_1_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"expected an epsilon in \[0, 1\].*got {text}"):
        epsilons_from_text(text)


@pytest.mark.parametrize("text", ["8.0", "1.5", "3e2", "1.01"])
def test_a_share_above_1_is_no_level_and_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"share of at most 1 .*got {text}; write levels of 255 in whole digits"):
        epsilons_from_text(text)


@pytest.mark.parametrize("text", ["0.001", "0.5/255", "1e-9", "0.0039"])
def test_an_epsilon_that_rounding_leaves_nothing_of_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"at least one 8-bit level, 1/255 .*got {text}, of which rounding"):
        epsilons_from_text(text)


@pytest.mark.parametrize(
    "text", ["eight", "8/0", "8/255/2", "4;8", "-1", "-0.1", "nan", "inf", "0x8", "1_0", "8 / 255"]
)
def test_what_is_no_epsilon_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match=f"got '{text}'"):
        epsilons_from_text(text)


def test_an_epsilon_is_told_in_levels_where_it_is_whole() -> None:
    assert (epsilon_text(8 / 255), epsilon_text(0.05), epsilon_text(None)) == ("8/255", "0.05", "none")


def test_names_come_with_commas_or_in_several_options_and_each_once() -> None:
    assert names_from_text(["a, b", "c,a", ""]) == ("a", "b", "c")


class Refused(NamedTuple):
    options: dict[str, Any]
    message: str


REFUSED = [
    Refused({"tier": "thorough"}, "tier among quick, paper, standard, got 'thorough'"),
    Refused({"n": 0}, "n of at least 1, got 0"),
    Refused({"batch": 0}, "batch of at least 1, got 0"),
    Refused({"threads": 0}, "threads of at least 1, got 0"),
    Refused({"seed": -1}, "seed of 0 or more, got -1"),
    Refused({"epsilons": (1.5,)}, r"epsilon in \[0, 1\].*got 1.5"),
    Refused({"epsilons": (0.5 / 255,)}, "at least one 8-bit level"),
    Refused({"epsilons": (-0.1,)}, r"epsilon in \[0, 1\].*got -0.1"),
    Refused({"epsilons": (float("nan"),)}, r"epsilon in \[0, 1\].*got nan"),
    Refused({"temperature": 0.0}, "temperature above 0, got 0.0"),
    Refused({"temperature": float("inf")}, "temperature above 0, got inf"),
    Refused({"scenarios": ("grey-box",)}, "threat model among transfer, .*got 'grey-box'"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: next(iter(case.options)))
def test_bad_options_are_refused_in_one_line(case: Refused) -> None:
    with pytest.raises(CapganError, match=case.message) as caught:
        RobustnessConfig(subject="signs-nano", cache=Path("nowhere"), **case.options)
    assert "\n" not in str(caught.value)
