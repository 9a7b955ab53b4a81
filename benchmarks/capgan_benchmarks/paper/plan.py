"""What a row of a table is made of, and what the recipes are run with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from capgan_benchmarks.paper.printed import CLEAN, COLUMNS, SYSTEMS, Column
from capgan_benchmarks.paper.systems import BARE
from capgan_benchmarks.robustness import attack_menu
from capgan_edge.defences.catalogue import SCALES
from capgan_edge.errors import ConfigError

TABLES = tuple(COLUMNS)
PLANE, ATTENTION, FIGURE_5 = "1", "3", "5"
"""Figures: images and logits in the plane, where the purifier looks, accuracy over epsilon."""
FIGURES = (PLANE, ATTENTION, FIGURE_5)
_FIGURE_COLUMNS: Mapping[str, tuple[Column, ...]] = MappingProxyType({
    PLANE: (CLEAN, ("white-box-victim", "fgsm")), ATTENTION: (CLEAN, ("white-box-victim", "fgsm")),
    FIGURE_5: (CLEAN, ("transfer", "fgsm"))})  # fmt: skip
_FIGURE_ROWS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    PLANE: (BARE, "cap-gan"), ATTENTION: (BARE, "cap-gan"), FIGURE_5: (BARE, *SYSTEMS["I"])})  # fmt: skip
_FIGURE_LEVELS: Mapping[str, tuple[int, ...]] = MappingProxyType({
    PLANE: (16,), ATTENTION: (8,), FIGURE_5: (4, 8, 12, 16, 32)})  # fmt: skip
"""Epsilon, in levels of 255."""
_TABLE_LEVELS = (8,)
EVERY = (*TABLES, *FIGURES)
_WEIGHTS: Mapping[str, Mapping[str, float]] = MappingProxyType({
    "temperature-1": {"temperature": 1.0}, "temperature-5": {"temperature": 5.0},
    "alpha-0.5": {"alpha": 0.5}, "alpha-0.9": {"alpha": 0.9}})  # fmt: skip
"""Rows of Table V: CAP-GAN with one weight changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperConfig:
    """One run of the recipes."""

    tables: tuple[str, ...]
    """Among I to VI, and 1, 3, 5 for the figures of these numbers."""
    out: Path
    """Runs, crafted batches, records and pages; the same command goes on from what is there."""
    data: str = "cifar10-jpeg"
    scale: str = "nano"
    epochs: int = 2
    """Of every defence; each sees every training image but the held-out ones once an epoch."""
    train_images: int | None = None
    """Of the data, drawn by the seed, for every defence: a smaller budget; None is all."""
    victim: str = "cifar10-nano"
    """A packaged pair, whose classifier and surrogate are taken, or a victim's run."""
    surrogate: Path | None = None
    """A victim's run for transfer; None is the one packaged beside the pair."""
    n: int | None = None
    """Test images; None is all. Slow attacks take fewer (`capgan_benchmarks.robustness.attack_menu`)."""
    at_most: Mapping[str, int] = field(default_factory=dict)
    """Test images of single attacks, where they shall be fewer still."""
    skipped: tuple[str, ...] = ()
    """Attacks of the menu that are left out; their columns say so."""
    batch_size: int = 128
    is_mirrored: bool = True
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.tables if name not in EVERY]
        if unknown or not self.tables:
            raise ConfigError(f"expected tables among {', '.join(EVERY)}, got "
                              f"{unknown[0] if unknown else 'none'!r}; name one of these")  # fmt: skip
        if self.scale not in SCALES:
            raise ConfigError(f"expected a scale among {', '.join(SCALES)}, got {self.scale!r}; name one of these")
        for what, value in (
            ("epochs", self.epochs),
            ("n", self.n),
            ("threads", self.threads),
            ("train images", self.train_images),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"expected {what} of at least 1, got {value}; pass a larger one")
        for name in self.skipped:
            self._require_attack(name, "to skip")
        if "fgsm" in self.skipped and {PLANE, ATTENTION} & {*self.tables}:
            raise ConfigError("expected FGSM for Figures 1 and 3, which are pictures of it, got it skipped; leave the "
                              "figures out, or do not skip it")  # fmt: skip
        for name, num in self.at_most.items():
            self._require_attack(name, "a number of images for")
            if num < 1:
                raise ConfigError(f"expected at least 1 image for {name}, got {num}; pass a larger number, or skip it")
        if self.batch_size < 2 or self.seed < 0:
            raise ConfigError(f"expected a batch size of at least 2 and a seed of 0 or more, got {self.batch_size} and "
                              f"{self.seed}; the usual ones are 128 and 0")  # fmt: skip

    def _require_attack(self, name: str, what: str) -> None:
        if not any(skipped_of(table, (name,)) for table in self.tables):
            columns = [column for table in self.tables for column in columns_of(table) if column != CLEAN]
            there = ", ".join(dict.fromkeys(attack for _, attack in columns))
            raise ConfigError(f"expected {what} an attack of these tables, {there}, got {name!r}; name one of these")

    def num_attacked(self, attack: str, num_images: int) -> int:
        """Return on how many of the test images an attack is run."""
        return min(attack_menu.most_images(attack, num_images), self.at_most.get(attack, num_images))


def columns_of(table: str) -> tuple[Column, ...]:
    """Return what is run of a table, or of a figure."""
    return _FIGURE_COLUMNS[table] if table in FIGURES else COLUMNS[table]


def epsilons_of(table: str) -> tuple[float, ...]:
    """Return the epsilons that each of its columns is run at."""
    return tuple(level / 255 for level in _FIGURE_LEVELS.get(table, _TABLE_LEVELS))


def stem_of(table: str) -> str:
    """Return what the files of a table or a figure are called, without their suffix."""
    return f"figure-{table}" if table in FIGURES else f"table-{table}"


def skipped_of(table: str, skipped: Sequence[str]) -> tuple[str, ...]:
    """Return which attacks of a table are left out."""
    attacks = {attack for _, attack in columns_of(table)}
    return tuple(name for name in skipped if name in attacks)


def rows_of(table: str) -> tuple[str, ...]:
    """Return the systems of a table, or of a figure."""
    return _FIGURE_ROWS[table] if table in FIGURES else SYSTEMS[table]


def systems_of(tables: Sequence[str]) -> tuple[str, ...]:
    """Return every system that the tables need, each once."""
    return tuple(dict.fromkeys(name for table in tables for name in rows_of(table)))


def defence_and_weights(system: str) -> tuple[str, Mapping[str, float]]:
    """Return the defence of the catalogue that a row is, and the loss weights that differ from its own."""
    return ("cap-gan", _WEIGHTS[system]) if system in _WEIGHTS else (system, {})
