"""Tables of what a lower precision costs, from the newest record: all of it for docs, the defaults for README."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from capgan_calibration.adding import CalibrationConfig
from capgan_calibration.command import calibrate
from capgan_calibration.mixture import mixture_from_text
from capgan_edge.errors import DataError

RESULTS = Path(__file__).parents[1] / "results"
_SHOWN = {"capgan-edge": "percentile", "nvidia-modelopt": "entropy"}
"""Each quantiser's default method."""


def newest_record(name: str = "cifar10-nano") -> dict[str, Any]:
    """Return the newest record of `python -m capgan_benchmarks.precision NAME`."""
    records = [json.loads(path.read_text()) for path in RESULTS.glob(f"precision-{name}_*.json")]
    if not records:
        raise DataError(
            f"expected a record precision-{name}_*.json in {RESULTS}, got none; make one with "
            f"python -m capgan_benchmarks.precision {name}"
        )
    return max(records, key=lambda record: str(record["date"]))


def full_table(record: dict[str, Any]) -> str:
    """Return a row for every variant."""
    return _table(record, record["variants"])


def short_table(record: dict[str, Any]) -> str:
    """Return the float graphs, and INT8 by each quantiser's default method for every calibration set."""
    rows = []
    for row in record["variants"]:
        by = row.get("by", "").split(" ")[0]
        if row["precision"] != "int8" or row["calibration"]["method"] == _SHOWN[by]:
            rows.append(row)
    return _table(record, rows)


def adopted_row(record: dict[str, Any]) -> str:
    """Return what `capgan-edge calibrate` does where nothing else is asked for, and which row of the table that is.

    Raises:
        DataError: the record has no such row.
    """
    options = {name: option.default for name, option in inspect.signature(calibrate).parameters.items()}
    method, ratios = options["method"], dict(mixture_from_text(options["mix"]).ratios)
    mixture = {kind: ratio / sum(ratios.values()) for kind, ratio in ratios.items()}
    for row in record["variants"]:
        held = row.get("calibration") or {}
        if row.get("by") == "capgan-edge" and (held.get("method", "").split(" ")[0], held["mixture"]) == (
            method,
            mixture,
        ):
            rest = CalibrationConfig(mixture=mixture_from_text(options["mix"])).floats
            asked = f"`--method {method} --mix {options['mix']} --rest {rest}`"
            return (
                f"Adopted: `capgan-edge calibrate` does {asked} by itself, the row *{_maker(row)}; {_calibration(row)}*"
            )
    raise DataError(
        f"expected a variant of {method} on {options['mix']}, which calibrate does, got none; measure it too"
    )


def _table(record: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    frames = [each["frames"] for each in record["frames"]]
    head = ["precision", "quantiser, method", "calibrated on", *frames, f"labels as in FP32, {frames[1]}"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        scores = {score["frames"]: score for score in row["scores"]}
        cells = [_cell(scores[name]["accuracy"]) for name in frames]
        agreement = _cell(scores[frames[1]]["agreement_with_fp32"])
        lines.append(f"| {' | '.join([row['precision'], _maker(row), _calibration(row), *cells, agreement])} |")
    return "\n".join(lines)


def _maker(row: dict[str, Any]) -> str:
    return f"{row['by']}, {row['calibration']['method']}" if row["precision"] == "int8" else ""


def _calibration(row: dict[str, Any]) -> str:
    if row["precision"] != "int8":
        return ""
    held = row["calibration"]
    mixture = ", ".join(f"{100 * share:.0f} % {kind}" for kind, share in held["mixture"].items())
    return f"{mixture} (n={held['n']})"


def _cell(share: dict[str, Any]) -> str:
    low, high = share["interval_95"]
    return f"{share['percent']:.1f} % [{low:.1f}, {high:.1f}]"
