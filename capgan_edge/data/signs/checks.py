"""What the arguments of the sign generator must be; every refusal is one line."""

from __future__ import annotations

import functools
import importlib.util
import numbers

from capgan_edge.errors import ConfigError, MissingDependencyError

SMALLEST_PX = 16
LARGEST_PX = 512


@functools.lru_cache(maxsize=1)
def require_pillow() -> None:
    """Refuse to draw without Pillow."""
    if importlib.util.find_spec("PIL") is None:
        raise MissingDependencyError("Pillow", "drawing road signs", "cpu")


def check_integer(name: str, value: object, smallest: int, largest: int | None = None) -> None:
    """Refuse anything but a whole number in [smallest, largest]."""
    number = None if isinstance(value, bool) or not isinstance(value, numbers.Integral) else int(value)
    if number is not None and smallest <= number and (largest is None or number <= largest):
        return
    allowed = f"of at least {smallest}" if largest is None else f"in [{smallest}, {largest}]"
    raise ConfigError(f"expected {name} to be a whole number {allowed}, got {value!r}; pass a number in that range")


def check_share(name: str, value: float) -> None:
    """Refuse anything but a number in [0, 1]."""
    if not 0 <= value <= 1:
        raise ConfigError(f"expected {name} in [0, 1], got {value}; 0 is none of it, 1 all of it")
