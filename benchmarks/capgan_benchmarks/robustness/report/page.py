"""`report.html` of a robustness record: one self-contained page, no script, nothing loaded from anywhere."""

from __future__ import annotations

from pathlib import Path

from capgan_benchmarks.demo.style import CSS
from capgan_benchmarks.robustness.record import RobustnessRecord
from capgan_benchmarks.robustness.report import closing, comparisons, verdict
from capgan_benchmarks.robustness.report.curves import curves
from capgan_benchmarks.robustness.report.gallery import gallery
from capgan_benchmarks.robustness.report.inputs import ReportInputs
from capgan_benchmarks.robustness.report.look import LOOK
from capgan_benchmarks.robustness.report.markup import text
from capgan_benchmarks.robustness.report.neighbours import neighbours
from capgan_benchmarks.robustness.report.threat_tables import threats
from capgan_edge.files import write_atomic

__all__ = ["ReportInputs", "write_report"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Browsers refuse anything else, should it ever slip in."""
_CONTENTS = (
    ("threats", "Threat models"), ("curves", "Curves"), ("worst", "Worst accuracy"), ("flips", "Flips"),
    ("detector", "Detector"), ("images", "Images"), ("tsne", "Pixels and logits"), ("checks", "Self-checks"),
    ("not-tested", "Not tested"), ("meaning", "What it does not mean"), ("reproduce", "Reproduce"),
)  # fmt: skip


def write_report(path: Path, record: RobustnessRecord, inputs: ReportInputs | None) -> None:
    """Write the page, atomically; the same record and inputs give the same bytes.

    Args:
        path: of the HTML file.
        record: every figure is taken from it, or counted from its bits.
        inputs: images to show; without them their sections say so.
    """
    write_atomic(path, page_of(record, inputs).encode())


def page_of(record: RobustnessRecord, inputs: ReportInputs | None) -> str:
    """Return the page."""
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name in _CONTENTS)
    body = "".join(
        (
            verdict.head(record),
            verdict.strip(record),
            f'<nav aria-label="Contents">{links}</nav>',
            threats(record),
            curves(record),
            comparisons.worst(record),
            comparisons.flips(record),
            comparisons.detector(record),
            gallery(record, inputs),
            neighbours(record, inputs),
            closing.checks(record),
            closing.not_tested(record),
            closing.meaning(),
            closing.reproduce(record),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Robustness of {text(record.subject)}</title><style>{CSS}{LOOK}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )
