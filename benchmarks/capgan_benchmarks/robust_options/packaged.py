"""The packaged pairs that the commands here take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_edge.training.robust_config import RobustConfig


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


def runs_of(card: dict[str, Any]) -> list[tuple[RobustConfig, list[dict[str, float]]]]:
    """Return settings and log of the runs that made a packaged pair of the mode robust, in the order of training."""
    from capgan_edge.training.robust_config import RobustConfig
    from capgan_edge.training.stored import settings_from

    recipe, training, name = card["recipe"], card["training"], card["name"]
    runs = [(recipe["first"]["purifier"], training["first"]["log"])] if recipe.get("first") else []
    runs.append((recipe["purifier"], training["purifier"]["log"]))
    return [(settings_from(RobustConfig, config, name), log) for config, log in runs]
