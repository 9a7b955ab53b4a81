"""Measured ranges kept on disk, and used again for the same graph, frames, method and tool, and for nothing else."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from capgan_calibration.frames import CalibrationSet
from capgan_calibration.ranges import RangeConfig, measure_ranges, tool_version
from capgan_edge.errors import CapganError
from capgan_edge.files import sha256_of_bytes, write_json

logger = logging.getLogger("capgan_edge")

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeKey:
    """What ranges are of; each field that differs makes them other ranges."""

    graph_sha256: str
    data_sha256: str
    method: str
    tool: str

    @property
    def file_name(self) -> str:
        """Where they lie in the cache."""
        return sha256_of_bytes(json.dumps([_FORMAT, *asdict(self).values()]).encode()) + ".json"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRanges:
    """Ranges, and whether they were measured now."""

    limit_of_node: dict[str, float]
    key: RangeKey
    is_cached: bool


def default_cache() -> Path:
    """Return the folder of ranges in the user's cache: CAPGAN_EDGE_CACHE, or `capgan-edge` where caches lie."""
    from capgan_edge.data.cache import cache_root

    return cache_root() / "ranges"


def ranges_of(model_bytes: bytes, held: CalibrationSet, config: RangeConfig, *, cache: Path | None) -> FoundRanges:
    """Return the ranges of the graph's layers on the frames: from the cache, or measured now and left there.

    An entry that is broken, or was made for anything else, is measured again. A cache that cannot be written is said
    and done without. None is no cache.
    """
    key = RangeKey(graph_sha256=sha256_of_bytes(model_bytes), data_sha256=held.sha256, method=config.description,
                   tool=tool_version())  # fmt: skip
    found = _read(cache / key.file_name, key) if cache is not None else None
    if found is not None:
        return FoundRanges(limit_of_node=found, key=key, is_cached=True)
    measured = measure_ranges(model_bytes, held.frames_NHWC, config)
    if cache is not None:
        try:
            write_json(cache / key.file_name, {"format": _FORMAT, "key": asdict(key), "ranges": measured})
        except CapganError as error:
            logger.warning("going on without a cache of ranges: %s", error)
    return FoundRanges(limit_of_node=measured, key=key, is_cached=False)


def _read(path: Path, key: RangeKey) -> dict[str, float] | None:
    """Return the ranges at `path`, where they are whole and of this very key."""
    try:
        entry = json.loads(path.read_bytes())
        ranges = entry["ranges"]
        is_ours = entry["format"] == _FORMAT and entry["key"] == asdict(key)
        is_whole = bool(ranges) and all(
            isinstance(name, str) and isinstance(limit, float) and 0 <= limit < math.inf
            for name, limit in ranges.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return ranges if is_ours and is_whole else None
