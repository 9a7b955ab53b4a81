"""All that a run of the demo found: what the page, the JSON record and the terminal are written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from capgan_benchmarks.demo.config import END_TO_END_NAME, EXPECTATIONS, PGD_NAME, DemoConfig, Expectation
from capgan_benchmarks.demo.environment import Environment
from capgan_benchmarks.demo.figures import CLEAN, by_name
from capgan_benchmarks.demo.rows import Choice, Row
from capgan_benchmarks.demo.scored import Scored
from capgan_edge.runtime.manifest import Figure, Manifest
from capgan_export.verification import Verification


@dataclass(frozen=True, kw_only=True)
class Findings:
    """One run of the demo, whole."""

    created: str
    """ISO 8601."""
    config: DemoConfig
    environment: Environment
    origin: str
    """Where the weights came from, for people."""
    data: str
    manifest: Manifest
    """Of the bundle that the figures were measured on."""
    artifact: str
    verification: Verification
    figures: tuple[Figure, ...]
    scored: Mapping[str, Scored]
    choice: Choice
    hero: Row
    grid: tuple[Row, ...]
    failures: tuple[Row, ...]
    seconds: float

    @cached_property
    def named(self) -> dict[str, Figure]:
        """The figures under their names."""
        return by_name(self.figures)

    @property
    def expected(self) -> tuple[tuple[Expectation, Figure, bool], ...]:
        """Each expectation with its figure, and whether it is met."""
        pairs = ((expectation, self.named[expectation.figure]) for expectation in EXPECTATIONS)
        return tuple((expectation, figure, expectation.is_met(figure.value)) for expectation, figure in pairs)

    @property
    def end_to_end(self) -> Figure:
        """Accuracy where the attack's gradient goes through the purifier as well."""
        return self.named[f"purified, {END_TO_END_NAME}"]

    @property
    def story(self) -> str:
        """One line for people."""
        hero = self.hero
        return (
            f"attacked {_a_sign(hero.truth)}: victim says "
            f"'{hero.victim_attacked.label}' ({hero.victim_attacked.score:.2f}); behind the purifier: "
            f"'{hero.purified.label}' ({hero.purified.score:.2f})"
        )

    @property
    def num_fooled_and_saved(self) -> tuple[int, int]:
        """How many images PGD fools the victim on (right when clean), and how many of these the purifier saves."""
        clean, attacked = self.scored[CLEAN], self.scored[PGD_NAME]
        is_fooled_N = clean.is_victim_right & ~attacked.is_victim_right
        return int(is_fooled_N.sum()), int((is_fooled_N & attacked.is_purified_right).sum())


def _a_sign(truth: str) -> str:
    return truth if truth.endswith("sign") else f"{truth} sign"


def plain_number(figure: Figure) -> str:
    """Return a figure with its unit, its interval and its n, on one line."""
    text = f"{figure.value:.1f} {figure.unit}"
    if figure.interval_95 is not None:
        text += f" (95 % interval {figure.interval_95[0]:.1f} to {figure.interval_95[1]:.1f}"
        return f"{text}, n = {figure.n})"
    return f"{text} (n = {figure.n})"
