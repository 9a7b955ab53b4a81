"""What the numbers of the German Traffic Sign Recognition Benchmark mean (Stallkamp et al. 2012).

Its folders are called 00000 to 00042. A verdict that says 00014 is of no use to a driver, one that says stop is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

NAMES = (
    "speed limit 20", "speed limit 30", "speed limit 50", "speed limit 60", "speed limit 70", "speed limit 80",
    "end of speed limit 80", "speed limit 100", "speed limit 120", "no passing", "no passing for trucks",
    "right of way at the next crossing", "priority road", "yield", "stop", "no vehicles", "no trucks", "no entry",
    "danger", "curve left", "curve right", "double curve", "bumpy road", "slippery road", "road narrows on the right",
    "road works", "traffic lights", "pedestrians", "children", "bicycles", "ice or snow", "wild animals",
    "end of all limits", "turn right ahead", "turn left ahead", "straight ahead", "straight ahead or right",
    "straight ahead or left", "keep right", "keep left", "roundabout", "end of no passing",
    "end of no passing for trucks",
)  # fmt: skip
"""By label, in the order of the folders."""
_FOLDERS = tuple(f"{label:05d}" for label in range(len(NAMES)))


def is_gtsrb(source: str | Path) -> bool:
    """Whether a source is called after the benchmark."""
    return Path(source).name.lower().startswith("gtsrb")


def readable_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the signs' names for the benchmark's own 43 folders, in their order; anything else as it is."""
    return NAMES if tuple(class_names) == _FOLDERS else tuple(class_names)
