"""The FP32 twin: the torch pair that a bundle was exported from, known by its hashes, and the attacks made on it.

Shapes: N frames, B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.runtime.card_check import CLASS_HEAD
from capgan_edge.runtime.manifest import Manifest
from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates import FEWEST_FRAMES, AttackSpec, Gates
from capgan_export.source import RUNS, Source, find_source, packaged_source

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks import LinfAttack
    from capgan_edge.attacks.base import Model
    from capgan_edge.data.images import ImageSet

_BATCH = 32
Advance = Callable[[str, int], None]
"""Told what is being done, and how many more frames of it are done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TwinSearch:
    """What came of looking for a twin."""

    source: Source | None
    refusals: tuple[str, ...] = ()
    """Why each pair that might have been it is not, in one line each."""


def find_twin(manifest: Manifest) -> Source | None:
    """Return the pair that the bundle was made from, where it is at hand: a packaged one, or a run under ./runs.

    It is looked for by name and taken by hash; without torch there is none.
    """
    return search_twin(manifest).source


def search_twin(manifest: Manifest) -> TwinSearch:
    """Look for the pair as `find_twin` does, and remember why those that were looked at are not it."""
    from capgan_edge import zoo

    run = RUNS / Path(manifest.purifier.name).name
    names = [name for name in zoo.names() if _is_candidate(zoo.card(name), manifest)]
    candidates = {f"{name} of the zoo": partial(packaged_source, name, origin=f"{name} from the zoo") for name in names}
    if run.is_dir():
        candidates[str(run)] = partial(find_source, str(run))
    refusals = []
    for title, candidate in candidates.items():
        try:
            source = candidate()
        except CapganError as error:  # no torch here, a damaged file, a run before a victim that was brought
            refusals.append(f"{title}: {error}")
            continue
        if is_twin(source, manifest):
            return TwinSearch(source=source)
        refusals.append(f"{title}: has other weights or settings")
    return TwinSearch(source=None, refusals=tuple(refusals))


def _is_candidate(card: dict[str, Any], manifest: Manifest) -> bool:
    return bool(manifest.purifier.name == card["name"] or manifest.victim.sha256 == card["victim"].get("sha256"))


def is_twin(source: Source, manifest: Manifest) -> bool:
    """Whether a pair has the weights that the bundle was made from, in a purifier of the same settings."""
    from capgan_export.bundling import other_settings, purifier_identity

    size_px = (manifest.input.height, manifest.input.width)
    identity = purifier_identity(source.purifier, source.name, size_px)
    given = (identity.sha256, source.victim.identity["sha256"])
    is_same = given == (manifest.purifier.sha256, manifest.victim.sha256)
    return is_same and not other_settings(identity, manifest.purifier)


def is_robust(source: Source) -> bool:
    """Whether a pair's purifier, of the mode robust, decides the class by itself."""
    return getattr(source.purifier.config, "kind", None) == "robust"


def set_from_twin(source: Source, images: ImageSet, manifest: Manifest, gates: Gates, advance: Advance) -> GateSet:
    """Choose clean frames, attack them, round to 8 bits, and ask the twin about all of them.

    Args:
        source: the twin.
        images: test images of the bundle's size, with its labels.
        manifest: the bundle's.
        gates: which attacks, on how many frames, with which seed.
        advance: told of the progress.

    Raises:
        ConfigError: too few images, other labels or another size; a victim that cannot be attacked.
    """
    from capgan_export.reference import reference_of

    _require_labels(images, manifest)
    clean = images.take(gates.num_frames, seed=gates.seed)
    reference, described = reference_of(source.purifier, source.victim)
    kinds: list[tuple[AttackSpec | None, ImageSet, NDArray[np.uint8]]] = [(None, clean, clean.images_NHWC)]
    for spec in gates.attacks:
        chosen = clean.take(spec.num_frames, seed=gates.seed)
        kinds.append((spec, chosen, _attacked(source, spec, chosen, gates.seed, advance)))
    return GateSet(
        data=images.name,
        seed=gates.seed,
        labels=manifest.labels,
        purifier_sha256=manifest.purifier.sha256,
        victim_sha256=manifest.victim.sha256,
        twin=f"{source.name} in {described}",
        kinds=tuple(
            JudgedFrames(attack=spec, frames_NHWC=frames_NHWC, labels_N=chosen.labels_N,
                         twin_logits_NK=reference(frames_NHWC).logits_NK)
            for spec, chosen, frames_NHWC in kinds
        ),
    )  # fmt: skip


def _require_labels(images: ImageSet, manifest: Manifest) -> None:
    size_px = (manifest.input.height, manifest.input.width)
    if images.class_names != manifest.labels or images.size_px != size_px:
        raise ConfigError(
            f"expected test images of the bundle's {len(manifest.labels)} classes "
            f"({', '.join(manifest.labels[:3])}, ...) at {size_px[0]}x{size_px[1]} px, got {images.name} with "
            f"{', '.join(images.class_names[:3])}, ... at {images.size_px[0]}x{images.size_px[1]}; use --data"
        )
    if len(images) < FEWEST_FRAMES:
        raise ConfigError(
            f"expected at least {FEWEST_FRAMES} test images, got {len(images)} in {images.name}; name more with --data"
        )


def _attacked(source: Source, spec: AttackSpec, images: ImageSet, seed: int, advance: Advance) -> NDArray[np.uint8]:
    """Attack every image with its true label, batch by batch; a batch's random start has a seed of its own."""
    import torch

    model, attack = _attacked_model(source, spec), _attack(spec, seed)
    parts = []
    for start in range(0, len(images), _BATCH):
        x_BHWC = torch.from_numpy(images.images_NHWC[start : start + _BATCH])
        x_BCHW = x_BHWC.permute(0, 3, 1, 2).float() / 255  # stays channels last, in which convolutions are fastest
        y_B = torch.from_numpy(images.labels_N[start : start + _BATCH])
        seeded = dataclasses.replace(attack, seed=1_000_003 * seed + start // _BATCH)
        levels_BCHW = (seeded(model, x_BCHW, y_B).images_BCHW * 255).round().to(torch.uint8)
        parts.append(levels_BCHW.permute(0, 2, 3, 1).contiguous().numpy())
        advance(spec.title, len(y_B))
    return np.concatenate(parts)


def _attack(spec: AttackSpec, seed: int) -> LinfAttack:
    from capgan_edge.attacks import FGSM, PGD

    if spec.method == "fgsm":
        return FGSM(epsilon=spec.epsilon, seed=seed)
    return PGD(epsilon=spec.epsilon, seed=seed, steps=spec.steps)


def _attacked_model(source: Source, spec: AttackSpec) -> Model:
    """Return what the attacker differentiates: the classifier, both, or the purifier's class head."""
    from capgan_edge.models.robust_purifier import RobustPurifier
    from capgan_export.fused import inference_copy, inference_victim

    if spec.on == CLASS_HEAD:
        purifier = inference_copy(source.purifier)
        if not isinstance(purifier, RobustPurifier):
            raise ConfigError(f"{source.name}: expected a purifier of the mode robust, whose class head {spec.title} "
                              "differentiates, got one without; leave that attack out of the gates")  # fmt: skip
        return purifier.class_logits
    if source.victim.module is None:
        raise ConfigError(
            f"{source.name}: expected a classifier that {spec.title} can differentiate, got an ONNX file that does not "
            "convert to torch; judge it without attacks (attacks = [] in a --gates file): its card then does not count"
        )
    victim = inference_victim(source.victim.module)
    if spec.on == "f":
        return victim
    purifier = inference_copy(source.purifier)

    def both(x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = victim(purifier(x_BCHW))
        return logits_BK

    return both
