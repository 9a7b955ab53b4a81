"""End to end and transferred to the artifacts the frames are the same: each system is judged by them once.

The pair is judged end to end, an artifact in artifact-transfer, which is the threat model about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from capgan_benchmarks.robustness.fitting import ARTIFACT_TRANSFER, END_TO_END
from capgan_benchmarks.robustness.record import Cell

_ON_TWIN = "on_twin"
"""The one setting that artifact-transfer adds."""


def is_judged_elsewhere(
    cell: Cell, system: str, kind: Literal["victim", "pair", "artifact"], cells: Sequence[Cell]
) -> bool:
    """Return whether another cell has the same frames, and its threat model is about this system.

    Args:
        cell: of some attack.
        system: that was scored on it.
        kind: of the system.
        cells: of the same record. Frames are not in it; they are taken for the same where attack, epsilon, settings,
            images and the bits of the system's score are.
    """
    elsewhere = {END_TO_END: ARTIFACT_TRANSFER, ARTIFACT_TRANSFER: END_TO_END}.get(cell.scenario)
    if elsewhere is None or (kind == "artifact") == (cell.scenario == ARTIFACT_TRANSFER):
        return False
    return any(
        each.scenario == elsewhere and _attack(each) == _attack(cell) and each.score_of(system) == cell.score_of(system)
        for each in cells
    )


def _attack(cell: Cell) -> tuple[str, float | None, int, dict[str, Any]]:
    settings = {name: value for name, value in cell.settings.items() if name != _ON_TWIN}
    return cell.attack, cell.epsilon, cell.n, settings
