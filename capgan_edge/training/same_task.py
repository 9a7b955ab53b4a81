"""Whether another run is of the same task: before the same victim, of the same classes, of images of the same size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError


def check_same_task(
    state: Mapping[str, Any], victim: Mapping[str, Any], train: ImageSet, folder: Path, *, what: str
) -> None:
    """Raise ConfigError where a run is of another victim, of other classes or of another size.

    Args:
        state: of the run's checkpoint.
        victim: identity of the victim at hand.
        train: the images at hand.
        folder: of the run.
        what: the run is to be, for the message: "a teacher".
    """
    its_victim, classes, size_px = state["victim"], state.get("class_names"), state.get("size_px")
    other = [key for key in its_victim if key in victim and its_victim[key] != victim[key]]
    if other:
        of, wanted, found = "victim", *(", ".join(f"{key} {str(one[key])[:12]}" for key in other)
                                        for one in (victim, its_victim))  # fmt: skip
    elif classes != list(train.class_names):
        of, wanted, found = "classes", _names(train.class_names, classes), _names(classes, train.class_names)
    elif size_px != list(train.size_px):
        of, wanted, found = "size in px", str(list(train.size_px)), f"{size_px!r:.40}"
    else:
        return
    raise ConfigError(
        f"expected {what} of the same {of} ({wanted}), got {folder}, of {found}; train one before this victim on "
        "these images, or name another"
    )


def _names(values: Any, others: Any) -> str:
    """Return class names for a message, those first that the others do not have."""
    if not isinstance(values, (list, tuple)) or not isinstance(others, (list, tuple)):
        return f"{values!r:.100}"
    return ", ".join(str(name) for name in sorted(values, key=lambda name: name in others))[:100]
