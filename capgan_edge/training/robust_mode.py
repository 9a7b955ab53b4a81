"""The two modes of training a purifier, and which of the command line's options belong to which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capgan_edge.errors import ConfigError
from capgan_edge.models.purifier import PurifierConfig
from capgan_edge.models.robust_purifier import RobustPurifierConfig
from capgan_edge.training.device import Precision
from capgan_edge.training.robust_start import is_robust_run, refuse_other_start, robust_config, start_robust
from capgan_edge.training.runs import has_started
from capgan_edge.training.start import Summary, cap_gan_config, preset_of, start_purifier


@dataclass(frozen=True, kw_only=True, slots=True)
class PurifierOptions:
    """What `capgan-edge train purifier` was given of a run's settings; None and empty are options left out."""

    mode: str | None
    """cap-gan or robust; None is the resumed run's, or cap-gan."""
    settings: tuple[str, ...]
    """NAME=VALUE of `RobustConfig`."""
    init_from: Path | None
    preset: str | None
    weights: str | None
    epochs: int | None
    semantic_epochs: int | None
    learning_rate: float | None
    schedule: str | None
    smallest_epsilon: float | None
    """In levels of 255."""
    batch_size: int
    is_mirrored: bool
    seed: int

    @property
    def shared(self) -> dict[str, Any]:
        """The settings that both modes have."""
        return {"batch_size": self.batch_size, "is_mirrored": self.is_mirrored, "seed": self.seed}


def start_mode(
    options: PurifierOptions,
    victim: str,
    weights: Path | None,
    source: str,
    out: Path,
    *,
    precision: Precision | None,
    devices: int | None,
    is_resumed: bool,
) -> Summary | None:
    """Start, or go on with, a purifier's run in its mode; return the summary (of the first process).

    Raises:
        ConfigError: an option belongs to the other mode, or the run to resume is of the other mode.
    """
    if _is_robust(options, out, is_resumed=is_resumed):
        _refuse(options, "robust", ("weights", "epochs", "semantic_epochs", "learning_rate", "schedule",
                                    "smallest_epsilon"))  # fmt: skip
        config = robust_config(options.settings, **options.shared)
        if is_resumed and has_started(out):
            refuse_other_start(out, options.settings, config, options.init_from)
        return start_robust(config, options.preset, victim, weights, source, out, init_from=options.init_from,
                            precision=precision, devices=devices, is_resumed=is_resumed)  # fmt: skip
    _refuse(options, "cap-gan", ("settings", "init_from"))
    o, epochs = options, 6 if options.epochs is None else options.epochs
    preset = o.preset or "nano"
    shape = preset_of(preset)
    if type(shape) is not PurifierConfig and not is_resumed:
        robust = isinstance(shape, RobustPurifierConfig)
        instead = "add --mode robust" if robust else "train it with `capgan-edge train defence`"
        raise ConfigError(f"expected a preset of the mode cap-gan (paper, small, nano), got {preset}; {instead}")
    gan = cap_gan_config(
        preset, o.weights or "paper", epochs=epochs, schedule=o.schedule or "one-cycle",
        semantic_epochs=epochs // 2 if o.semantic_epochs is None else o.semantic_epochs,
        learning_rate=2e-3 if o.learning_rate is None else o.learning_rate,
        smallest_epsilon=(o.smallest_epsilon or 0) / 255, **o.shared,
    )  # fmt: skip
    return start_purifier(gan, preset, victim, weights, source, out, precision=precision, devices=devices,
                          is_resumed=is_resumed)  # fmt: skip


def _is_robust(options: PurifierOptions, out: Path, *, is_resumed: bool) -> bool:
    if not (is_resumed and has_started(out)):
        return options.mode == "robust"
    its_mode = "robust" if is_robust_run(out) else "cap-gan"
    if options.mode not in (None, its_mode):
        raise ConfigError(
            f"expected --mode {its_mode}, in which {out} was started, got {options.mode}; leave --mode out, or start "
            "in a new folder"
        )
    return its_mode == "robust"


def _refuse(options: PurifierOptions, mode: str, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(options, name) not in (None, ())]
    if given:
        flag = "--set" if given[0] == "settings" else f"--{given[0].replace('_', '-')}"
        instead = "; pass its settings with --set NAME=VALUE" if mode == "robust" else "; add --mode robust"
        raise ConfigError(f"expected no {flag} in the mode {mode}, got one{instead}")
