"""One split as decoded, with a report of what was left out; what is cached and what becomes an `ImageSet`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ConfigError, DataError

Split = Literal["train", "test"]

logger = logging.getLogger("capgan_edge")

NUM_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """One image that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """How many images were found, and which of them were skipped as corrupt."""

    num_found: int
    skipped: tuple[Skipped, ...] = ()

    @property
    def corrupt_percent(self) -> float:
        """Share of the images found that could not be read, in percent."""
        return 100.0 * len(self.skipped) / self.num_found if self.num_found else 0.0

    def check(self, name: str, max_corrupt_percent: float) -> None:
        """Log what was skipped; raise where its share is above `max_corrupt_percent`.

        Raises:
            DataError: more than `max_corrupt_percent` of the images are corrupt.
        """
        if not self.skipped:
            return
        first = "; ".join(f"{s.name} ({s.reason})" for s in self.skipped[:NUM_NAMES_SHOWN])
        more = f" and {len(self.skipped) - NUM_NAMES_SHOWN} more" if len(self.skipped) > NUM_NAMES_SHOWN else ""
        count = f"{len(self.skipped)} of {self.num_found} images ({self.corrupt_percent:.3g} %)"
        if self.corrupt_percent > max_corrupt_percent:
            raise DataError(
                f"{name}: expected at most {max_corrupt_percent:g} % of corrupt images, got {count}: {first}{more}; "
                "replace or delete these files (a Python program may allow more: data.load(..., max_corrupt_percent=))"
            )
        logger.warning("%s: skipped %s as corrupt: %s%s", name, count, first, more)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """The arrays of one split. Shapes: N images, H height, W width, K classes."""

    images_NHWC: NDArray[np.uint8]
    """RGB."""
    labels_N: NDArray[np.int64]
    class_names: tuple[str, ...]
    report: LoadReport


def check_max_corrupt_percent(max_corrupt_percent: float) -> None:
    """Refuse a share that is not in [0, 100]."""
    if not 0 <= max_corrupt_percent <= 100:
        raise ConfigError(
            f"max_corrupt_percent is in percent, in [0, 100], got {max_corrupt_percent}; for none at all pass 0"
        )
