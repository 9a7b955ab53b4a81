"""All that a record is held against in a baseline: accuracies, suspicion, self-checks."""

from __future__ import annotations

from capgan_benchmarks.robustness.baseline import compare
from capgan_benchmarks.robustness.gate_checks import compare_checks
from capgan_benchmarks.robustness.gate_detections import compare_detections
from capgan_benchmarks.robustness.judged import Judged
from capgan_benchmarks.robustness.record import RobustnessRecord


def held_against(baseline: RobustnessRecord, record: RobustnessRecord, *, max_drop: float) -> tuple[Judged, ...]:
    """Return every comparison of a record with a baseline; the gate fails where one's outcome is "failed".

    Args:
        baseline: the earlier one.
        record: the one of now.
        max_drop: in points: of accuracy that may be lost, and of unnoticed frames that may be added.

    Raises:
        CapganError: the records cannot be compared; the difference is named.
    """
    return (
        *compare(baseline, record, max_drop=max_drop),
        *compare_detections(baseline, record, max_rise=max_drop),
        *compare_checks(baseline, record),
    )
