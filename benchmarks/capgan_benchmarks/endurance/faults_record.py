"""The record of all faults that were tried."""

from __future__ import annotations

from typing import Any, Literal

from capgan_benchmarks.endurance.fault import Tried
from capgan_benchmarks.headed_record import HeadedRecord
from capgan_edge.runtime.fields import Count, Listed


class FaultsRecord(HeadedRecord):
    """All of it."""

    kind: Literal["faults"] = "faults"
    bundle: dict[str, str]
    """What was run: artifact, hash, precision, backend."""
    seed: int
    settings: dict[str, Any]
    n: Count
    """Faults, tried or not."""
    faults: Listed[Tried]

    def count(self, outcome: str) -> int:
        """Return how many ended so."""
        return sum(tried.outcome == outcome for tried in self.faults)


def summary_of(record: FaultsRecord) -> str:
    """Return the counts, and where they are from, in a line."""
    held = record.bundle
    num_tried = record.n - record.count("not tried")
    not_tried = f", {record.count('not tried')} not tried here" if num_tried < record.n else ""
    return (f"{num_tried} tried, {record.count('survived')} survived, {record.count('lost')} lost{not_tried}: "
            f"{held['purifier']}, {held['artifact']} by {held['backend']}, {record.environment['cpu']}, "
            f"{record.date[:10]}, `{record.command}`.")  # fmt: skip
