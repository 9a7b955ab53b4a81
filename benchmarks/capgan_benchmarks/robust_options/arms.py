"""What is compared: groups of arms, each arm one training, of which one is what the others are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from capgan_edge.errors import ConfigError

Start = Literal["package", "package-head", "cap-gan", "plain", "new"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One training."""

    name: str
    what: str
    """In a few words."""
    start: Start = "package"
    """Weights to begin with: the packaged robust pair's, those but for its painter's, the packaged CAP-GAN pair's, a
    purifier's that is trained first without cycle and GAN, or none."""
    settings: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """Of `RobustConfig`, beside the group's."""
    width: float = 1.0
    """Channels of a new network, by those of robust-nano."""
    shape: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    """Of `RobustPurifierConfig`: what differs from robust-nano's, of a new network or of a new painter."""
    teacher_width: float = 0.0
    """Channels of a teacher that is trained first, by those of robust-nano; 0 is none."""
    is_trained: bool = True
    """False measures the weights to begin with as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Arms that answer one question."""

    name: str
    question: str
    settings: Mapping[str, Any]
    """Of `RobustConfig`, shared by all."""
    arms: tuple[Arm, ...]
    baseline: str
    """Name of the arm that the others are held against."""
    is_head: bool = False
    """Whether the class head by itself is measured, or f(T(.))."""


def _stages(head: int = 0, draw: int = 0, painter: int = 0, whole: int = 0, **others: Any) -> Mapping[str, Any]:
    return MappingProxyType({"head_epochs": head, "draw_epochs": draw, "painter_epochs": painter, "whole_epochs": whole}
                            | others)  # fmt: skip


def _option(name: str, what: str, *, start: Start = "package", **settings: Any) -> Arm:
    return Arm(name=name, what=what, start=start, settings=MappingProxyType(settings))


_LAST_STAGE = Group(
    name="last-stage",
    question="The last stage once more, from the packaged weights, with one option at a time",
    settings=_stages(whole=1, init="run", head_small_crop_epochs=0),
    baseline="none",
    arms=(
        Arm(name="packaged", what="as packaged, without one more stage", is_trained=False),
        _option("none", "no option"),
        _option("beta=6", "TRADES' weight of the KL term", beta=6.0),
        _option("awp_gamma=0.005", "adversarial weight perturbation", awp_gamma=0.005),
        _option("has_cutmix=true", "CutMix", has_cutmix=True),
        _option("label_smoothing=0.1", "smoothed labels", label_smoothing=0.1),
        _option("attack=pgd-2", "two steps of PGD for N-FGSM", attack="pgd-2"),
        _option("gan_weight=cycle_weight=0.05", "CAP-GAN's GAN and cycle", gan_weight=0.05, cycle_weight=0.05),
    ),
)
_START = Group(
    name="start",
    question="Four ways to begin, at about the same cost",
    settings=_stages(),
    baseline="head",
    arms=(
        Arm(name="head", what="from nothing: a class head first, then the painter", start="new",
            settings=_stages(head=6, draw=1, painter=2, head_small_crop_epochs=6)),
        Arm(name="identity", what="from nothing: the same network end to end, from the identity", start="new",
            settings=_stages(whole=2, init="identity", head_small_crop_epochs=0, whole_learning_rate=0.2)),
        Arm(name="cap-gan", what="the packaged CAP-GAN purifier, whose own training is not counted, end to end",
            start="cap-gan", settings=_stages(whole=2, init="run", head_small_crop_epochs=0)),
        Arm(name="plain", what="a purifier without cycle and GAN, whose own two epochs are not counted, end to end",
            start="plain", settings=_stages(whole=2, init="run", head_small_crop_epochs=0)),
    ),
)  # fmt: skip
_WIDTH = Group(
    name="width",
    question="The first stage alone at other widths, with the same images: crops of 24 px",
    settings=_stages(head=4, head_small_crop_epochs=4),
    baseline="1",
    is_head=True,
    arms=tuple(Arm(name=f"{width:g}", what=f"{width:g} times robust-nano's channels", start="new", width=width)
               for width in (0.5, 1.0, 2.0)),
)  # fmt: skip
_FIRST_STAGE = Group(
    name="first-stage",
    question="The first stage alone, from nothing, with one option at a time: crops of 24 px",
    settings=_stages(head=6, head_small_crop_epochs=6),
    baseline="usual",
    is_head=True,
    arms=(
        Arm(name="usual", what="as packaged pairs are trained: N-FGSM, crops, flips, average of the weights",
            start="new"),
        _option("ema_decay=0", "the weights themselves, not their average", start="new", ema_decay=0.0),
        _option("is_mirrored=false", "no flips", start="new", is_mirrored=False),
        _option("small_crop_px=32", "no crops: whole images, of the cost of 1.8 crops", start="new", small_crop_px=32),
        _option("has_cutmix=true", "CutMix", start="new", has_cutmix=True),
        _option("label_smoothing=0.1", "smoothed labels", start="new", label_smoothing=0.1),
        _option("awp_gamma=0.005", "adversarial weight perturbation", start="new", awp_gamma=0.005),
        _option("attack=pgd-2", "two steps of PGD for N-FGSM", start="new", attack="pgd-2"),
        _option("head_epochs=18", "three times as long", start="new", head_epochs=18, head_small_crop_epochs=18),
        Arm(name="teacher", what="taught by a head of twice the width that was trained in the same way", start="new",
            teacher_width=2.0),
        Arm(name="deep", what="robust-nano-deep's encoder: more layers of fewer channels", start="new",
            shape=MappingProxyType({"num_first_blocks": 3, "num_middle_blocks": 4, "middle_channels": 32,
                                    "num_blocks": 4, "feature_channels": 64})),
    ),
)  # fmt: skip
_DRAW = Group(
    name="draw",
    question="A new painter before the packaged head, as its first stage leaves it: what of a class it draws",
    settings=_stages(draw=3, init="run", head_small_crop_epochs=0),
    baseline="vector",
    arms=(
        Arm(name="vector", what="over the frame, from features and one vector a class", start="package-head"),
        Arm(
            name="map",
            what="the same with a map of 8 px a class",
            start="package-head",
            shape=MappingProxyType({"class_map_px": 8}),
        ),
        Arm(
            name="prototypes",
            what="in the frame's place, from an image a class alone",
            start="package-head",
            shape=MappingProxyType({"paints": "decision", "class_map_px": 32}),
        ),
    ),
)
GROUPS: Mapping[str, Group] = MappingProxyType(
    {each.name: each for each in (_FIRST_STAGE, _LAST_STAGE, _DRAW, _START, _WIDTH)}
)


def group_of(name: str) -> Group:
    """Return a group by name."""
    if name not in GROUPS:
        raise ConfigError(f"expected a group among {', '.join(GROUPS)}, got {name!r}; name one of these")
    return GROUPS[name]


def arms_of(group: Group, names: Sequence[str]) -> tuple[Arm, ...]:
    """Return the arms of a group that are named, in the group's order; all of them where none is."""
    known = [arm.name for arm in group.arms]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"expected an arm of {group.name} among {', '.join(known)}, got {unknown[0]!r:.60}; name one "
                          "of these")  # fmt: skip
    return tuple(arm for arm in group.arms if not names or arm.name in names)
