"""Purifier and classifier in torch as a benchmark attacks and scores them, and the surrogate f' of a transfer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.systems import System, pair_system, victim_system
from capgan_benchmarks.threats.defended import Defended
from capgan_edge.errors import ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.models.weights import weights_sha256

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.attacks.base import Model
    from capgan_edge.models.victim import SimpleResNet
    from capgan_edge.models.victims import Victim
    from capgan_export.source import Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Surrogate:
    """f': another classifier for the same classes."""

    model: Model
    sha256: str
    """Of its weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TorchPair:
    """f(T(.)) as it is exported, batch norms folded."""

    defended: Defended
    sha256: str
    """Of both their weights, and of the settings that the purifier is built with."""
    has_gradients: bool
    """False where the classifier is an ONNX file that does not convert to torch: it has outputs alone."""
    systems: tuple[System, System]
    """The classifier without its defence, and the pair."""


def pair_from_source(source: Source) -> TorchPair:
    """Return the pair that a run, a packaged pair or a bundle's twin is."""
    from capgan_export.bundling import purifier_identity
    from capgan_export.fused import inference_copy

    purifier, classify = inference_copy(source.purifier), _classify(source.victim)
    victim_sha256 = str(source.victim.identity["sha256"])
    identity = purifier_identity(source.purifier, source.name, source.size_px)
    settings = json.dumps(identity.config, sort_keys=True)  # of one state dict, two settings can make two purifiers
    sha256 = sha256_of_bytes(f"{identity.sha256} {settings} {victim_sha256}".encode())
    return TorchPair(
        defended=Defended(name=source.name, purify=purifier, classify=classify),
        sha256=sha256,
        has_gradients=source.victim.module is not None,
        systems=(victim_system(classify, victim_sha256), pair_system(purifier, classify, sha256)),
    )


def find_surrogate(path: Path | None, source: Source | None) -> Surrogate | None:
    """Return the victim of a run, or the one packaged beside a pair; None where there is neither.

    Raises:
        CheckpointError: the run is none of a victim.
        ConfigError: it is for other classes, it is the attacked classifier itself, or a run was named beside no pair.
    """
    from capgan_edge import zoo

    if source is None:
        if path is not None:
            raise ConfigError(
                f"expected --surrogate beside a torch pair, which transfer attacks, got {path} beside a bundle whose "
                "pair is not at hand; name the run that the bundle was exported from with --against, or leave "
                "--surrogate out"
            )
        return None
    model: SimpleResNet | None
    if path is not None:
        from capgan_edge.training.runs import load_victim_run

        model = load_victim_run(path)
    else:
        model = zoo.surrogate(source.name) if source.name in zoo.names() else None
    if model is None:
        return None
    if model.num_classes != len(source.labels):
        raise ConfigError(
            f"expected a surrogate for the {len(source.labels)} classes of {source.name}, got one for "
            f"{model.num_classes}; train one on the same data: capgan-edge train victim --seed 1"
        )
    sha256 = weights_sha256(model)
    own = source.victim.module
    if own is not None and sha256 == weights_sha256(own):
        raise ConfigError(
            f"expected a surrogate of other weights than {source.name}'s classifier, got that classifier; train one "
            "from another seed: capgan-edge train victim --seed 1"
        )
    from capgan_export.fused import inference_victim

    return Surrogate(model=inference_victim(model), sha256=sha256)


def _classify(victim: Victim) -> Model:
    """Return the classifier with gradients, or where it is an ONNX file alone, without them."""
    from capgan_export.fused import inference_victim

    if victim.module is not None:
        return inference_victim(victim.module)
    import torch

    from capgan_edge.models.onnx_victim import onnx_victim_from_bytes
    from capgan_export.reference import session_of_victim

    assert victim.onnx_model is not None
    described = onnx_victim_from_bytes(victim.onnx_model, str(victim.identity.get("name", "victim")))
    session = session_of_victim(victim.onnx_model)

    def classify(x_NCHW: Tensor) -> Tensor:
        given = {described.input_name: x_NCHW.detach().numpy()}
        return torch.from_numpy(session.run([described.output_name], given)[0])

    return classify
