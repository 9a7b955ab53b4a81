"""The table of docs/results.md on purifiers before another classifier, from the newest record of each pair."""

from __future__ import annotations

from typing import Any

from capgan_benchmarks.other_victim import THEME
from capgan_benchmarks.packaged_weights import weights_note
from capgan_benchmarks.records import ROOT, newest_of_pairs

RESULTS = ROOT / "benchmarks" / "results"


def newest_records() -> list[dict[str, Any]]:
    """Return the newest record of each pair."""
    return newest_of_pairs(RESULTS, THEME)


def other_victim_section() -> str:
    """Return the section: of each pair and set of frames both classifiers, bare and behind T; empty without records."""
    records = newest_records()
    if not records:
        return ""
    systems = list(dict.fromkeys(figure["system"] for record in records for figure in record["figures"]))
    lines = [f"| pair | frames | {' | '.join(systems)} | n |", f"|{'---|' * (3 + len(systems))}"]
    for record in records:
        for frames in dict.fromkeys(figure["frames"] for figure in record["figures"]):
            found = {figure["system"]: figure for figure in record["figures"] if figure["frames"] == frames}
            cells = [record["pair"], frames, *(_cell(found[system]) for system in systems), str(record["n"])]
            lines.append(f"| {' | '.join(cells)} |")
    origins = "; ".join(
        f"{record['pair']}: {record['data']}, seed {record['seed']}, {record['environment']['cpu']}, "
        f"{record['date'][:10]}, code {record['code']}{weights_note(record)}"
        for record in records
    )
    return "\n\n".join(
        [
            "## Before another classifier",
            "f is the classifier that T was trained before, f' the surrogate, which T never saw "
            f"(`{records[0]['command']} NAME`). PGD at 8/255, gradients in fp32, frames rounded to 8 bits. {origins}.",
            "\n".join(lines),
        ]
    )


def _cell(figure: dict[str, Any]) -> str:
    low, high = figure["interval_95"]
    return f"{figure['value']:.2f} % [{low:.2f}, {high:.2f}]"
