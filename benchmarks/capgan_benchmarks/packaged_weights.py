"""Whether a record is of the pair that is packaged now: a pair that is packaged anew leaves records of the old one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capgan_edge import zoo


def weights_note(record: Mapping[str, Any]) -> str:
    """Return what a page adds to a record's origin: nothing where its weights are the package's, else whose they are.

    Args:
        record: with `pair`, a packaged pair's name, and `weights_sha256`, of its file.
    """
    held = str(record["weights_sha256"])
    is_packaged = record["pair"] in zoo.names() and held == zoo.card(record["pair"])["weights_sha256"]
    return "" if is_packaged else f", of weights packaged before ({held[:12]})"
