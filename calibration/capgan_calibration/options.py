"""From the options of `calibrate`, which are text and numbers, to a checked request."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from capgan_calibration.adding import CalibrationConfig
from capgan_calibration.attacker import AttackConfig, AttackName
from capgan_calibration.mixture import mixture_from_text
from capgan_calibration.qdq import Rest
from capgan_calibration.range_cache import default_cache
from capgan_calibration.ranges import Method, RangeConfig
from capgan_calibration.sensitivity import DropLimits, Mode
from capgan_calibration.session import CalibrateRequest
from capgan_edge.errors import ConfigError


def request_from_options(
    *,
    bundle: Path,
    images: str | None,
    mix: str,
    n: int,
    method: str,
    percentile: float,
    attack: str,
    epsilon: float,
    steps: int,
    exclude: list[str],
    quantise_ends: bool,
    rest: str | None,
    mode: str | None,
    limits: tuple[float, float] | None,
    against: str | None,
    victim: str | None,
    victim_state: Path | None,
    num_check: int,
    num_rank: int,
    seed: int,
    resize: bool,
    has_cache: bool,
    force: bool,
) -> CalibrateRequest:
    """Return the request.

    Raises:
        ConfigError: an option is none of its choices, or out of range.
    """
    config = CalibrationConfig(
        mixture=mixture_from_text(mix),
        num_frames=n,
        ranges=RangeConfig(method=_one_of("--method", method, Method), percentile=percentile),
        exclude=tuple(exclude),
        keep_ends=not quantise_ends,
        rest=None if rest is None else _one_of("--rest", rest, Rest),
        sensitivity=None if mode is None else _one_of("--mode", mode, Mode),
        limits=None if limits is None else DropLimits(clean_points=limits[0], robust_points=limits[1]),
        seed=seed,
        cache=default_cache() if has_cache else None,
    )
    crafted = AttackConfig(name=_one_of("--attack", attack, AttackName), epsilon=epsilon, steps=steps, seed=seed)
    return CalibrateRequest(bundle=bundle, images=images, config=config, attack=crafted, against=against,
                            victim=victim, victim_state=victim_state, num_check=num_check, num_rank=num_rank,
                            is_resized=resize, overwrite=force)  # fmt: skip


def _one_of(option: str, text: str, choices: Any) -> Any:
    """Return the text where it is one of the choices of a Literal type."""
    if text not in get_args(choices):
        raise ConfigError(f"expected {option} {' or '.join(get_args(choices))}, got {text!r}; choose one of these")
    return text
