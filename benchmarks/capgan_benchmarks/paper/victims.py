"""The classifier f that the tables defend, and f', whose gradients transfer to it; checked before any training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.paper.plan import PaperConfig, columns_of
from capgan_benchmarks.paper.systems import Classifier, classifier_from
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from capgan_edge.data.images import ImageSet

_TRANSFER = "transfer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Victims:
    """The classifier f, frozen, and another one of its kind."""

    f: nn.Module
    name: str
    classifier: Classifier
    surrogate: Classifier | None


def victims_of(config: PaperConfig, train: ImageSet) -> Victims:
    """Return f and f'.

    Raises:
        CapganError: there is no such packaged pair or run; one is for other classes or has no gradient; f' is f itself,
            or is not there and a table needs it.
    """
    from capgan_edge import zoo
    from capgan_edge.training.runs import load_victim_run

    if config.victim in zoo.names():
        f: Any = zoo.load(config.victim).victim
        other: Any = zoo.surrogate(config.victim) if config.surrogate is None else None
    else:
        f, other = load_victim_run(Path(config.victim)), None
    if config.surrogate is not None:
        other = load_victim_run(config.surrogate)
    _check(f, "--victim", train)
    if other is None and any(_needs_surrogate(table) for table in config.tables):
        raise ConfigError("expected a surrogate for the threat model transfer, got none; name a victim's run with "
                          "--surrogate (capgan-edge train victim --seed 1)")  # fmt: skip
    if other is not None:
        _check(other, "--surrogate", train)
    classifier, surrogate = classifier_from(f), None if other is None else classifier_from(other)
    if surrogate is not None and surrogate.sha256 == classifier.sha256:
        raise ConfigError("expected a surrogate of other weights than the victim, got the victim; train one from "
                          "another seed: capgan-edge train victim --seed 1")  # fmt: skip
    return Victims(f=f, name=Path(config.victim).name, classifier=classifier, surrogate=surrogate)


def _needs_surrogate(table: str) -> bool:
    return any(threat == _TRANSFER for threat, _ in columns_of(table))


def _check(victim: Any, option: str, train: ImageSet) -> None:
    from capgan_edge.defences.thermometer import ThermometerResNet

    if isinstance(victim, ThermometerResNet):
        raise ConfigError(f"expected an ordinary victim for {option}, got one on a thermometer code, whose gradient is "
                          "0: nothing could be crafted on it; name another")  # fmt: skip
    if victim.num_classes != len(train.class_names):
        raise ConfigError(f"expected a victim of the {len(train.class_names)} classes of {train.name} for {option}, "
                          f"got one of {victim.num_classes}; name another, or other --data")  # fmt: skip
