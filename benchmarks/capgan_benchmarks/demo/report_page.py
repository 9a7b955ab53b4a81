"""`report.html`: one self-contained page; no script, and nothing that is loaded from anywhere."""

from __future__ import annotations

from html import escape

from capgan_benchmarks.demo import gallery, limits, tables
from capgan_benchmarks.demo.config import PGD_NAME
from capgan_benchmarks.demo.findings import Findings
from capgan_benchmarks.demo.style import CSS

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Browsers refuse anything else, should it ever slip in."""


def page_of(findings: Findings) -> str:
    """Return the page."""
    body = "".join(
        (
            _head(findings),
            gallery.hero(findings),
            tables.large_figures(findings),
            _limits(findings),
            tables.accuracy(findings),
            gallery.grid(findings),
            tables.suspicion(findings),
            tables.latency(findings),
            _not_tested(),
            _provenance(findings),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>capgan-edge: a purified verdict</title><style>{CSS}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _head(findings: Findings) -> str:
    row = findings.hero
    is_good = row.is_fooled and row.is_saved
    title = "Fooled, purified, right again" if is_good else "Attacked, purified, and looked at"
    return (
        f'<header><p class="mark">capgan-edge demo</p><h1>{title}</h1><p class="lead">'
        f"{escape(findings.story[0].upper() + findings.story[1:])}. "
        f"Verdicts are those of one ONNX file, exported and verified on this machine.</p></header>"
    )


def _limits(findings: Findings) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in limits.sentences(findings))
    return f'<h2>What this does not show</h2><div class="card limits"><ul>{items}</ul></div>'


def _not_tested() -> str:
    items = "".join(f"<li>{escape(item[0].upper() + item[1:])}.</li>" for item in limits.NOT_TESTED)
    return f'<h2>What was not tested</h2><div class="card limits"><ul>{items}</ul></div>'


def _provenance(findings: Findings) -> str:
    config, environment, manifest = findings.config, findings.environment, findings.manifest
    artifact = manifest.files[findings.artifact]
    worst = max(parity.max_abs_logits for parity in manifest.parity)
    checks = ", ".join(f"{check.name} {check.verdict}" for check in findings.verification.checks)
    facts = {
        "Made": findings.created,
        "Took": f"{findings.seconds:.0f} s, training included" if config.is_trained else f"{findings.seconds:.0f} s",
        "Weights": findings.origin,
        "Data": f"{findings.data}: {config.n} signs drawn by code, seed {config.seed}",
        "Attacks": f"FGSM and {PGD_NAME} on the bare victim, L-infinity 8/255 (PGD: step 2/255, one random start), "
        f"true labels, gradients by torch in float32; end to end the same {PGD_NAME} through purifier and victim",
        "Purifier": f"{manifest.purifier.preset}, {manifest.purifier.parameters / 1e6:.2f} M parameters, "
        f"SHA-256 {manifest.purifier.sha256[:16]}…",
        "Victim": f"{manifest.victim.name}, SHA-256 {manifest.victim.sha256[:16]}…",
        "ONNX file": f"bundle/{findings.artifact}, {artifact.size_bytes / 1e6:.1f} MB, SHA-256 {artifact.sha256[:16]}…",
        "Parity": f"logits at most {worst:.1e} from torch, on {' and '.join(p.frames for p in manifest.parity)} frames",
        "Verified": checks,
        "Machine": f"{environment.device}, {environment.system}",
        "Versions": ", ".join(f"{name} {version}" for name, version in environment.tools.items()),
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return (
        f'<h2>Where this came from</h2><div class="card"><dl>{items}</dl></div><p class="soft">Every figure with its '
        "settings is in <code>report.json</code> beside this page; the bundle is in <code>bundle/</code>.</p>"
    )
