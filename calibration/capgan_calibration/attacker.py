"""Attacks on the pair that a bundle was made from: on the classifier f alone, and on f(T(.)) end to end.

Shapes: B batch, C channel, H height, W width, N frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from capgan_calibration.mixture import END_TO_END, PURIFIED
from capgan_calibration.progress import tracked
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks import LinfAttack
    from capgan_edge.runtime.manifest import Manifest
    from capgan_export.source import Source

AttackName = Literal["pgd", "fgsm"]
_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackConfig:
    """The attack that frames are crafted with, in L-infinity."""

    name: AttackName = "pgd"
    epsilon: float = 8 / 255
    """In the unit of the images, which lie in [0, 1]."""
    steps: int = 7
    """Of PGD; FGSM has one."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in get_args(AttackName):
            raise ConfigError(f"expected the attack pgd or fgsm, got {self.name!r}; choose one of the two")
        if not 0 <= self.epsilon <= 1 or self.steps < 1:
            raise ConfigError(f"expected epsilon in [0, 1] and at least one step, got {self.epsilon} and {self.steps}; "
                              f"8/255 is {8 / 255:.4f}")  # fmt: skip


class Attacker:
    """Craft frames against one pair; every frame is rounded to 8 bits, as a camera gives it."""

    def __init__(self, source: Source, config: AttackConfig | None = None) -> None:
        """Take purifier and victim of `source`, which needs torch.

        Raises:
            ConfigError: the victim is an ONNX file that does not convert to torch, so that it has no gradients.
        """
        from capgan_export.fused import inference_copy, inference_victim

        self.source = source
        self.config = config or AttackConfig()
        self._victim = inference_victim(source.victim.torch_module())
        self._purifier = inference_copy(source.purifier)

    def craft(self, kind: str, frames_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        """Return frames of a kind other than `clean`; without labels the attack is away from the victim's own."""
        import torch

        model: Callable[[Tensor], Tensor] = self._end_to_end if kind == END_TO_END else self._victim
        crafted = []
        for start in tracked(range(0, len(frames_NHWC), _BATCH), f"crafting {kind} frames"):
            x_BCHW = torch.from_numpy(frames_NHWC[start : start + _BATCH]).permute(0, 3, 1, 2).float() / 255
            y_B = None if labels_N is None else torch.from_numpy(labels_N[start : start + _BATCH])
            crafted.append(self._craft_batch(kind, model, x_BCHW, y_B, start // _BATCH))
        return np.concatenate(crafted) if crafted else frames_NHWC

    def settings(self, *, has_labels: bool) -> dict[str, str | int | float]:
        """Return what a record says of the attack."""
        c = self.config
        steps: dict[str, str | int | float] = {}
        if c.name == "pgd":
            steps = {"steps": c.steps, "step_size": c.epsilon / 4, "random_start": "yes"}
        label = "true" if has_labels else "the victim's own"
        return {"attack": c.name, "norm": "linf", "epsilon": c.epsilon, **steps, "seed": c.seed, "label": label}

    def _craft_batch(
        self, kind: str, model: Callable[[Tensor], Tensor], x_BCHW: Tensor, y_B: Tensor | None, number: int
    ) -> NDArray[np.uint8]:
        import torch

        from capgan_export.fused import rounded

        with torch.no_grad():
            y_B = model(x_BCHW).argmax(1) if y_B is None else y_B
        images_BCHW = self._attack(number)(model, x_BCHW, y_B).images_BCHW
        frames_BHWC = rounded(images_BCHW)
        if kind == PURIFIED:  # what a camera's attacked frame becomes, fed once more
            with torch.no_grad():
                frames_BHWC = rounded(self._purifier(frames_BHWC.permute(0, 3, 1, 2).float() / 255))
        return frames_BHWC.contiguous().numpy()

    def _attack(self, number: int) -> LinfAttack:
        """Return the attack on batch `number`, whose random start is its own."""
        from capgan_edge.attacks import FGSM, PGD

        c = self.config
        attack = PGD(epsilon=c.epsilon, steps=c.steps) if c.name == "pgd" else FGSM(epsilon=c.epsilon)
        return dataclasses.replace(attack, seed=1_000_003 * c.seed + number)

    def _end_to_end(self, x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self._victim(self._purifier(x_BCHW))
        return logits_BK


def check_same_pair(source: Source, manifest: Manifest) -> None:
    """Raise ConfigError where `source` is not the pair that the bundle was made from."""
    from capgan_export.bundling import other_settings, purifier_identity

    identity = purifier_identity(source.purifier, source.name, source.size_px)
    given = (identity.sha256, source.victim.identity["sha256"])
    held = (manifest.purifier.sha256, manifest.victim.sha256)
    for part, ours, theirs in zip(("purifier", "victim"), held, given, strict=True):
        if ours != theirs:
            raise ConfigError(
                f"expected the bundle's own pair to attack, whose {part} has the weights {ours[:12]}..., got "
                f"{source.name} with {theirs[:12]}...; name the run or zoo name it was exported from with --against, "
                "or calibrate on clean frames alone with --mix clean"
            )
    if differ := other_settings(identity, manifest.purifier):
        raise ConfigError(
            f"expected the bundle's own pair to attack, got {source.name}, another purifier of the same weights "
            f"({differ}); name the run or zoo name it was exported from with --against"
        )
