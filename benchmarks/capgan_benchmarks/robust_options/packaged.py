"""The packaged pairs that the commands here take."""

from __future__ import annotations

from typing import Any

from capgan_edge.errors import ConfigError


def robust_card(name: str) -> dict[str, Any]:
    """Return the card of a packaged pair of the mode robust.

    Raises:
        ConfigError: there is no such pair, or it is of the other mode.
    """
    from capgan_edge import zoo

    card = zoo.card(name)
    if card.get("mode") != "robust":
        known = [each for each in zoo.names() if zoo.card(each).get("mode") == "robust"]
        raise ConfigError(f"expected a packaged pair of the mode robust, got {name}; name one of {', '.join(known)}")
    return card
