"""`report.json`: every figure of a run, for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from capgan_benchmarks.demo import limits
from capgan_benchmarks.demo.config import MADE_BY
from capgan_benchmarks.demo.findings import Findings
from capgan_benchmarks.demo.folder import BUNDLE
from capgan_benchmarks.demo.rows import Row

SCHEMA_VERSION = 1


def record_of(findings: Findings) -> dict[str, Any]:
    """Return a run as plain values."""
    manifest = findings.manifest
    return {
        "made_by": MADE_BY,
        "schema_version": SCHEMA_VERSION,
        "created": findings.created,
        "seconds": round(findings.seconds, 1),
        "settings": asdict(findings.config),
        "weights": {
            "origin": findings.origin,
            "purifier": manifest.purifier.model_dump(mode="json"),
            "victim": manifest.victim.model_dump(mode="json"),
        },
        "bundle": {"path": BUNDLE, "artifact": findings.artifact,
                   **manifest.files[findings.artifact].model_dump(mode="json")},
        "verification": {"passed": findings.verification.passed,
                         "checks": [asdict(check) for check in findings.verification.checks]},
        "parity": [parity.model_dump(mode="json") for parity in manifest.parity],
        "environment": asdict(findings.environment),
        "figures": [figure.model_dump(mode="json") for figure in findings.figures],
        "expectations": [
            {"figure": figure.name, "sense": expectation.sense, "bound": expectation.bound, "unit": figure.unit,
             "value": figure.value, "is_met": is_met}
            for expectation, figure, is_met in findings.expected
        ],
        "story": findings.story,
        "shown": {
            "rule": findings.choice.rule,
            "hero_rule": findings.choice.hero_rule,
            "hero": _row(findings.hero),
            "grid": [_row(row) for row in findings.grid],
            "failures": [_row(row) for row in findings.failures],
        },
        "limits": limits.sentences(findings),
        "not_tested": list(limits.NOT_TESTED),
    }  # fmt: skip


def _row(row: Row) -> dict[str, Any]:
    return {
        "index": row.index,
        "truth": row.truth,
        "victim_clean": asdict(row.victim_clean),
        "victim_attacked": asdict(row.victim_attacked),
        "purified": asdict(row.purified),
        "suspicion_clean": row.suspicion_clean,
        "suspicion_attacked": row.suspicion_attacked,
        "is_fooled": row.is_fooled,
        "is_saved": row.is_saved,
    }
