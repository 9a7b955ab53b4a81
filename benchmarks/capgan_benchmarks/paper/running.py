"""Run the recipes: train what is missing, attack, and write each table's record and page as soon as it is whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from capgan_benchmarks.paper.cells import Bench, Cell, Done
from capgan_benchmarks.paper.figures import SUFFIXES, drawn_of, picture_of
from capgan_benchmarks.paper.page import page_of
from capgan_benchmarks.paper.plan import PaperConfig, columns_of, epsilons_of, rows_of, stem_of, systems_of
from capgan_benchmarks.paper.printed import CLEAN, Column
from capgan_benchmarks.paper.record import table_record
from capgan_benchmarks.paper.systems import System
from capgan_benchmarks.paper.training import UNTRAINED, check_batch, num_epochs_done, system_of
from capgan_benchmarks.paper.victims import Victims, victims_of
from capgan_benchmarks.records import revision
from capgan_benchmarks.robustness.image_source import ImageSource
from capgan_benchmarks.robustness.store import BatchStore
from capgan_edge.errors import ConfigError
from capgan_edge.files import make_folder, write_atomic, write_json

if TYPE_CHECKING:
    from capgan_benchmarks.paper.costs import Cost
    from capgan_edge.data.images import ImageSet

Say = Callable[[str], None]
Attacking = Callable[[], AbstractContextManager[Done]]
Point = tuple[Column, float]
"""A column at an epsilon."""


def run_paper(config: PaperConfig, say: Say, attacking: Attacking) -> list[Path]:
    """Train, attack, and write each table's record and page into `config.out`; return the records' paths.

    Args:
        config: what to run.
        say: told in a line of whatever is done.
        attacking: entered once everything is trained; gives what is told of each batch that is attacked.

    Raises:
        CapganError: data or a run does not fit, or a training failed; what is done is kept, and the same command goes
            on from there.
    """
    make_folder(config.out)
    code, train = revision(), _train_images(config)
    check_batch(config, train)
    victims, images = victims_of(config, train), _test_images(config, train)
    systems = {name: system_of(name, config, victims, train, say) for name in systems_of(config.tables)}
    written = []
    with attacking() as done:
        bench = Bench(victim=victims.classifier, surrogate=victims.surrogate, images=images, seed=config.seed,
                      num_attacked=config.num_attacked, store=BatchStore(config.out / "crafted", say),
                      done=done)  # fmt: skip
        for table in config.tables:
            rows = [systems[name] for name in rows_of(table)]
            cells = list(_cells(table, rows, bench, config, say))
            drawn = drawn_of(table, bench, rows)
            record = table_record(table, config, images=images, victims=victims, systems=rows, cells=cells, drawn=drawn,
                                  code=code,
                                  trained={name: _trained(name, config, train) for name in rows_of(table)})  # fmt: skip
            path = config.out / f"{stem_of(table)}.json"
            write_json(path, record)
            write_atomic(path.with_suffix(".md"), page_of(record).encode())
            if table in SUFFIXES:
                write_atomic(path.with_suffix(SUFFIXES[table]), picture_of(record))
            say(f"wrote {path}")
            written.append(path)
    return written


def costs_of(config: PaperConfig) -> Iterator[Cost]:
    """Yield what is left to train, and then what the attacks take at most; a step of each is really made.

    What is crafted for several systems is counted once. Attacks on systems that are not trained yet are those on a
    network of the same shape, untrained.
    """
    from capgan_benchmarks.paper.costs import attack_cost, training_cost

    train = _train_images(config)
    check_batch(config, train)
    victims, images = victims_of(config, train), _test_images(config, train)
    for name in systems_of(config.tables):
        num_epochs = 0 if name in UNTRAINED else config.epochs - num_epochs_done(name, config, victims, train)
        if num_epochs > 0:
            yield training_cost(name, config, victims, train, num_epochs=num_epochs)
    seen = set[tuple[str, Point]]()
    for table in config.tables:
        for name in rows_of(table):
            system = _stand_in(name, config, victims)
            for column, epsilon in _points(table, config):
                shared = column[0] in ("transfer", "white-box-victim")
                key = ("" if shared else name, (column, epsilon))
                if key in seen:
                    continue
                seen.add(key)
                cost = attack_cost(system, column, victims, images, num_attacked=config.num_attacked)
                if cost is not None:
                    yield cost


def _stand_in(name: str, config: PaperConfig, victims: Victims) -> System:
    """Return a system that costs what this one does, with whatever weights."""
    from capgan_benchmarks.paper.plan import defence_and_weights
    from capgan_benchmarks.paper.systems import bare_system, purified_system
    from capgan_edge.defences.catalogue import CATALOGUE
    from capgan_edge.models.presets import preset, purifier_from

    found = CATALOGUE.get(defence_and_weights(name)[0])
    if found is None or found.kind != "purifier":
        return bare_system(victims.classifier, name)
    return purified_system(name, purifier_from(preset(found.presets[config.scale])), victims.classifier)


def _points(table: str, config: PaperConfig) -> tuple[Point, ...]:
    """Return what is run of a table, in its order."""
    epsilons = epsilons_of(table)
    return tuple((column, epsilon) for column in columns_of(table) if column[1] not in config.skipped
                 for epsilon in (epsilons if column != CLEAN else epsilons[:1]))  # fmt: skip


def _cells(table: str, systems: list[System], bench: Bench, config: PaperConfig, say: Say) -> Iterator[Cell]:
    for column, epsilon in _points(table, config):
        for system in systems:
            cell = bench.cell(system, column, epsilon)
            say(f"{table}: {' '.join(column)}, {system.name}: {cell.percent:.2f} % of {cell.n}")
            yield cell


def _train_images(config: PaperConfig) -> ImageSet:
    from capgan_edge import data

    images, wanted = data.load(config.data, "train"), config.train_images
    if wanted is None or wanted == len(images):
        return images
    if wanted > len(images):
        raise ConfigError(f"expected at most {len(images)} train images, all that {images.name} has, got {wanted}; "
                          "pass fewer, or leave --train-images out")  # fmt: skip
    rows = np.sort(np.random.default_rng(config.seed).permutation(len(images))[:wanted])
    # The name says so, for a run to be gone on with by nothing else.
    return replace(images, name=f"{images.name}, {wanted} of {len(images)} by seed {config.seed}",
                   images_NHWC=images.images_NHWC[rows], labels_N=images.labels_N[rows])  # fmt: skip


def _test_images(config: PaperConfig, train: ImageSet) -> ImageSet:
    source = ImageSource(subject="the paper's tables", source=config.data, is_own=True, labels=train.class_names,
                         size_px=train.size_px)  # fmt: skip
    return source.load(config.n, config.seed)[0]


def _trained(name: str, config: PaperConfig, train: ImageSet) -> dict[str, Any] | None:
    """Return how a row was trained, from its run; None for what is not trained here."""
    from capgan_edge.training.checkpoint import read_pointer

    path = config.out / "runs" / name / "last.json"
    if not path.is_file():
        return None
    pointer = read_pointer(path)
    state = pointer["state"]
    held, rows = state["config"], json.loads(json.dumps(state.get("row", {})))
    num_batches = (len(train) - held["num_held_out"]) // held["batch_size"]
    return {"epochs": pointer["epoch"], "images_seen": pointer["epoch"] * num_batches * held["batch_size"],
            "seconds": _seconds_of(path.parent / "log.csv"), "machine": state.get("machine"), "config": held,
            "data": state.get("data"), "row": rows}  # fmt: skip


def _seconds_of(log_path: Path) -> float | None:
    """Return how long the epochs of a log took; None where it is gone, or does not say of all of them."""
    try:
        with log_path.open(newline="") as file:
            return sum(float(line["seconds"]) for line in csv.DictReader(file))
    except (OSError, KeyError, ValueError):
        return None
