"""Every defence of the paper's tables by one name: what it is, whose it is, and how it is trained.

`capgan-edge train defence NAME` trains one; a recipe that wants all of a table goes through `CATALOGUE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from capgan_edge.errors import ConfigError

Scale = Literal["nano", "small", "paper"]
SCALES: tuple[Scale, ...] = ("nano", "small", "paper")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Defence:
    """One row of a table."""

    name: str
    what: str
    """In one line."""
    source: str
    kind: Literal["purifier", "victim", "transform"]
    """A trained image -> image network before the victim, a victim of its own, or an image -> image codec."""
    method: Literal["cap-gan", "ape-gan", "hgd", "victim"] | None
    """What trains it; None where there is nothing to train."""
    settings: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """Those of the method's that make it this defence; all others are the budget's and the scale's."""
    presets: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """A purifier's shape by scale, a name in `capgan_edge.models.presets`."""
    has_gradient: bool = True
    """False where the gradient to the image is 0 or missing, so that no attacker can follow it."""


_CAP_GAN, _TABLE_VI = "this paper (arXiv 2102.07304), Section III", "this paper, Table VI"
_OWN_SHAPES: Mapping[str, str] = MappingProxyType({scale: scale for scale in SCALES})
_ONE_SHAPE: Mapping[str, str] = MappingProxyType(dict.fromkeys(SCALES, "ape-gan"))
_HGD_SHAPES: Mapping[str, str] = MappingProxyType({scale: f"hgd-{scale}" for scale in SCALES})


def _cap_gan(name: str, what: str, source: str = _TABLE_VI, **settings: bool) -> Defence:
    return Defence(name=name, what=what, source=source, kind="purifier", method="cap-gan", presets=_OWN_SHAPES,
                   settings=MappingProxyType(settings))  # fmt: skip


_ALL = (
    Defence(name="jpeg", what="compress and decompress; the quality is chosen by clean accuracy", kind="transform",
            source="Dziugaite et al., arXiv 1608.00853", method=None, has_gradient=False),
    Defence(name="thermometer", what="a victim that is retrained on a thermometer code of 16 levels", kind="victim",
            source="Buckman et al., ICLR 2018", method="victim", has_gradient=False,
            settings=MappingProxyType({"encoding": "thermometer", "levels": 16})),
    Defence(name="ape-gan", what="a GAN that restores attacked images, by pixels", kind="purifier", method="ape-gan",
            source="Shen et al., arXiv 1707.05474", presets=_ONE_SHAPE),
    Defence(name="hgd", what="a denoiser that is guided by the victim's logits", kind="purifier", method="hgd",
            source="Liao et al., arXiv 1712.02976", presets=_HGD_SHAPES),
    Defence(name="adversarial-training", what="a victim that is trained on PGD-7 images", kind="victim",
            source="Madry et al., arXiv 1706.06083", method="victim", settings=MappingProxyType({"attack_steps": 7})),
    _cap_gan("cap-gan", "pixel, CAM and semantic losses with cycle", _CAP_GAN),
    _cap_gan("cap-gan-without-cycle", "the same without all that passes through the inverse", has_cycle=False),
    _cap_gan("pixel", "GAN, identity and cycle losses alone, behind a stage of L1", has_cam=False, has_semantic=False),
    _cap_gan("pixel-cam", "pixel and CAM losses", has_semantic=False),
    _cap_gan("pixel-semantic", "pixel and semantic losses", has_cam=False),
)  # fmt: skip
CATALOGUE: Mapping[str, Defence] = MappingProxyType({each.name: each for each in _ALL})


def defence(name: str) -> Defence:
    """Return a defence by name."""
    if name not in CATALOGUE:
        raise ConfigError(f"expected a defence among {', '.join(CATALOGUE)}, got {name!r:.60}; name one of these")
    return CATALOGUE[name]


def trainable(name: str) -> Defence:
    """Return a defence by name that there is something to train of.

    Raises:
        ConfigError: there is no such defence, or nothing to train of it.
    """
    found = defence(name)
    if found.method is None:
        raise ConfigError(
            f"expected a defence that is trained, got {name}, of which there is nothing to train; choose its quality "
            "with capgan_edge.defences.jpeg.choose_quality"
        )
    return found
