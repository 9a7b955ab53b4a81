"""Packaged pairs of purifier and victim: safetensors and a card with how they were made and what they hold.

pair = zoo.load("signs-nano")
pair.purifier, pair.victim     # nn.Module: float32 NCHW RGB in [0, 1] in; an image, and logits, out
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_edge.errors import CheckpointError, ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.models.purifier import Purifier
    from capgan_edge.models.victim import SimpleResNet

DEFAULT = "signs-nano"
FOLDER = Path(__file__).parent
WEIGHTS, CARD = "weights.safetensors", "card.json"
SURROGATE_WEIGHTS, SURROGATE_CARD = "surrogate.safetensors", "surrogate.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A purifier and the victim before which it was trained, frozen, in eval mode, on the CPU."""

    name: str
    purifier: Purifier
    victim: SimpleResNet
    labels: tuple[str, ...]
    size_px: tuple[int, int]
    """Height and width of the images."""
    data: str
    """The source it was trained on, as `capgan_edge.data.load` takes it."""
    card: dict[str, Any]
    """How it was made and what it holds: recipe, device, seconds, seeds and figures, each with its n."""


def names() -> list[str]:
    """Return the names of the packaged pairs."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}"))


def card(name: str) -> dict[str, Any]:
    """Return the card of a packaged pair; needs no torch."""
    if name not in names():
        raise ConfigError(f"expected a packaged pair among {', '.join(names()) or 'none'}, got {name!r}")
    loaded: dict[str, Any] = json.loads((FOLDER / name / CARD).read_text())
    return loaded


def load(name: str = DEFAULT) -> Pair:
    """Load a packaged pair.

    Raises:
        ConfigError: there is no such pair.
        CheckpointError: the weights are not those that the card names.
        MissingDependencyError: torch is not installed.
    """
    found = card(name)
    try:
        from capgan_edge.models.presets import config_kind, purifier_from
        from capgan_edge.training.checkpoint import load_into, load_tensors
    except ImportError as error:
        raise MissingDependencyError(error.name or "torch", f"zoo.load({name!r})", "train") from error
    path = FOLDER / name / WEIGHTS
    tensors = load_tensors(path, sha256=found["weights_sha256"])
    purifier = purifier_from(config_kind(found["purifier"])(**found["purifier"])).eval().requires_grad_(False)
    load_into(purifier, tensors, "t_ac", str(path))
    victim = _victim(found["victim"], tensors, path)
    height_px, width_px = found["size_px"]
    return Pair(name=name, purifier=purifier, victim=victim, labels=tuple(found["labels"]),
                size_px=(height_px, width_px), data=found["data"], card=found)  # fmt: skip


def surrogate(name: str) -> SimpleResNet | None:
    """Load f', another classifier of the pair's architecture and data, trained from another seed; None without one.

    An attacker who has trained one of their own attacks by it (the paper's Table I); it protects nothing. Pairs of the
    same data and classes share one.

    Raises:
        ConfigError: there is no such pair.
        CheckpointError: the weights are not those that its card names.
        MissingDependencyError: torch is not installed.
    """
    path = _surrogate_path(name)
    if path is None:
        return None
    try:
        from capgan_edge.training.checkpoint import load_tensors
    except ImportError as error:
        raise MissingDependencyError(error.name or "torch", f"zoo.surrogate({name!r})", "train") from error
    found = json.loads(path.with_name(SURROGATE_CARD).read_text())
    return _victim(found["victim"], load_tensors(path, sha256=found["weights_sha256"]), path)


def _surrogate_path(name: str) -> Path | None:
    """Return the weights of the pair's surrogate, or of that of another pair for the same task."""
    task = _task(card(name))
    for each in (name, *names()):
        path = FOLDER / each / SURROGATE_WEIGHTS
        if path.exists() and _task(card(each)) == task:
            return path
    return None


def _task(found: dict[str, Any]) -> tuple[str, list[str], list[int]]:
    return found["data"], found["labels"], found["size_px"]


def _victim(shape: dict[str, Any], tensors: dict[str, Tensor], path: Path) -> SimpleResNet:
    """Return the classifier of a package, frozen and in eval mode."""
    from capgan_edge.models.victim import SimpleResNet
    from capgan_edge.training.checkpoint import load_into

    if shape["kind"] != "simple-resnet":
        raise CheckpointError(f"{path}: expected a simple-resnet victim, got {shape['kind']!r}")
    victim = SimpleResNet(shape["num_classes"], units_per_stage=shape["units_per_stage"])
    load_into(victim, tensors, "victim", str(path))
    return victim.eval().requires_grad_(False)
