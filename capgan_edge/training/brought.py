"""The victim of a purifier's run: the newest run, the one that an option names, or the one that the run holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from capgan_edge.data.images import ImageSet
from capgan_edge.defences.thermometer import ThermometerResNet
from capgan_edge.errors import ConfigError, DataError
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.checkpoint import Checkpoint
from capgan_edge.training.runs import load_victim_run, newest_finished, victim_state

RUNS = Path("runs")


def find_victim(spec: str, weights: Path | None, train: ImageSet) -> tuple[nn.Module, dict[str, Any]]:
    """Return the victim that `spec` names (empty is the newest finished run under ./runs), and its identity.

    Raises:
        ConfigError: there is none, it does not convert to torch, or its gradient is 0 by construction.
        DataError: its classes are not those of the images.
    """
    from capgan_edge.models.victims import load_victim

    spec = spec or _newest()
    brought = load_victim(spec, state=weights, size_px=train.size_px)
    if brought.module is None:
        raise ConfigError(
            f"{spec}: expected a victim that converts to torch, got one that can only be exported and run; give the "
            "model as module:factory or a .pt2 file"
        )
    if isinstance(brought.module, ThermometerResNet):
        raise ConfigError(
            f"{spec}: expected a victim whose gradient makes the images that a purifier is trained on, got one on a "
            "thermometer code, whose gradient is 0; name an ordinary victim with --victim"
        )
    if brought.num_classes != len(train.class_names):
        raise DataError(
            f"expected as many classes as the victim has ({brought.num_classes}), got {len(train.class_names)} in "
            f"{train.name}; name the data that the victim was trained on"
        )
    if brought.labels is not None and brought.labels != train.class_names:
        raise DataError(
            f"expected the victim's labels ({', '.join(brought.labels[:4])}, ...), got those of {train.name} "
            f"({', '.join(train.class_names[:4])}, ...); name the data that the victim was trained on"
        )
    path = Path(spec)
    if path.exists() and path.suffix not in (".onnx", ".pt2"):
        own = load_victim_run(path)
        return own, victim_state(own)
    return brought.module, dict(brought.identity)


def own_victim(own: SimpleResNet | None, checkpoint: Checkpoint, run_path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the victim that a resumed run holds, and its identity.

    Raises:
        ConfigError: the run was trained before a brought one, which stays outside.
    """
    if own is None:
        identity = checkpoint.state["victim"]
        known = str(identity.get("name") or identity.get("kind"))[:80]
        raise ConfigError(
            f"expected --victim, since {run_path} was trained before {known}, which it does not hold, got none; pass "
            "the same as when it was started"
        )
    return own, victim_state(own)


def _newest() -> str:
    newest = newest_finished(RUNS, "victim")
    if newest is None:
        raise ConfigError(
            "expected a victim, got no finished victim's run under ./runs; train one with `capgan-edge train victim`, "
            "or name one with --victim"
        )
    return str(newest)
