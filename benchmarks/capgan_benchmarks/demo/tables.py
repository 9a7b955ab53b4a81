"""The figures on the page: four large ones, the bar chart, expectations, suspicion, latencies."""

from __future__ import annotations

from html import escape

from capgan_benchmarks.demo.charts import Bar, bar_chart, histogram
from capgan_benchmarks.demo.config import END_TO_END_NAME, FGSM_NAME, PGD_NAME
from capgan_benchmarks.demo.figures import ALONE, CLEAN, DEPLOYED
from capgan_benchmarks.demo.findings import Findings
from capgan_edge.runtime.manifest import Figure


def large_figures(findings: Findings) -> str:
    """Return the four figures that matter, the least flattering one among them."""
    named = findings.named
    cards = (
        ("Victim, clean", named[f"victim, {CLEAN}"], "without attack"),
        (f"Victim, {PGD_NAME}", named[f"victim, {PGD_NAME}"], "attacked, no purifier"),
        (f"Purified, {PGD_NAME}", named[f"purified, {PGD_NAME}"], "the same frames, through the ONNX file"),
        ("Purified, end-to-end", findings.end_to_end, "the attacker knows the purifier"),
    )
    return '<div class="figures">' + "".join(_card(*card) for card in cards) + "</div>"


def _card(title: str, figure: Figure, caption: str) -> str:
    low, high = figure.interval_95 or (figure.value, figure.value)
    return (
        f'<div class="card"><small>{escape(title)}</small><b>{figure.value:.1f} %</b><small>{low:.1f} to {high:.1f}, '
        f"n = {figure.n}</small><small>{escape(caption)}</small></div>"
    )


def accuracy(findings: Findings) -> str:
    """Return the bar chart and what was expected."""
    groups = []
    for name in (CLEAN, FGSM_NAME, PGD_NAME, END_TO_END_NAME):
        held = [(series, findings.named.get(f"{series}, {name}")) for series in ("victim", "purified")]
        groups.append((name, [_bar(series, figure) for series, figure in held if figure is not None]))
    key = '<div class="key">' + _key("victim", "victim alone") + _key("purified", "behind the purifier") + "</div>"
    chart = bar_chart(groups, title="Accuracy of the exported ONNX file in percent, with 95 % intervals")
    return (
        f"<h2>Accuracy</h2><p>Right verdicts of the exported ONNX file on 8-bit frames, in percent; whiskers are 95 % "
        f"Wilson intervals.</p>"
        f'<div class="card">{key}<div class="scroll">{chart}</div></div><br>{_expected(findings)}'
        f'<p class="soft">{escape(_rounding(findings))}</p>'
    )


def _bar(series: str, figure: Figure) -> Bar:
    assert figure.interval_95 is not None
    return Bar(series=series, label=figure.name, value=figure.value, interval=figure.interval_95, n=figure.n)


def _key(kind: str, words: str) -> str:
    return f'<span><i style="background:var(--{kind})"></i>{escape(words)}</span>'


def _expected(findings: Findings) -> str:
    rows = []
    for expectation, figure, is_met in findings.expected:
        sign = {">=": "at least", "<=": "at most"}[expectation.sense]
        badge = '<span class="badge good">met</span>' if is_met else '<span class="badge bad">not met</span>'
        rows.append(_cells(figure, f"{sign} {expectation.bound:g} %", badge))
    rows.append(_cells(findings.end_to_end, "whatever it is", '<span class="badge note">reported</span>'))
    head = '<tr><th>Figure</th><th class="number">Measured</th><th>95 % interval, n</th><th>Expected</th><th></th></tr>'
    return f'<div class="card scroll"><table>{head}{"".join(rows)}</table></div>'


def _cells(figure: Figure, expected: str, badge: str) -> str:
    low, high = figure.interval_95 or (figure.value, figure.value)
    return (
        f'<tr><td>{escape(figure.name)}</td><td class="number">{figure.value:.1f} %</td><td>{low:.1f} to {high:.1f}, '
        f"n = {figure.n}</td><td>{escape(expected)}</td><td>{badge}</td></tr>"
    )


def _rounding(findings: Findings) -> str:
    said = []
    for subject, kind in (("victim", FGSM_NAME), ("victim", PGD_NAME), ("purified", END_TO_END_NAME)):
        before, after = findings.named[f"{subject}, {kind}, before rounding"], findings.named[f"{subject}, {kind}"]
        said.append(f"{kind} {before.value:.1f} % before and {after.value:.1f} % after")
    return (
        "An attacked frame is rounded to 8 bits before it is scored, as a camera or a file would. What rounding costs "
        f"the attacker (accuracy in torch before it, of the ONNX file after it): {'; '.join(said)}."
    )


def suspicion(findings: Findings) -> str:
    """Return how suspicious clean and attacked frames look to the purifier."""
    scored = findings.scored
    series = [("clean", scored[CLEAN].suspicion_N), ("attacked", scored[PGD_NAME].suspicion_N)]
    chart = histogram(series, title=f"Suspicion of clean frames and of frames under {PGD_NAME}, in percent of each")
    area = findings.named[f"suspicion, {PGD_NAME}, area under ROC"]
    medians = {kind: findings.named[f"suspicion, {kind}, median"].value for kind in (CLEAN, PGD_NAME)}
    key = '<div class="key">' + _key("clean", "clean") + _key("attacked", f"attacked, {PGD_NAME}") + "</div>"
    return (
        f"<h2>Suspicion</h2><p>The graph's second output. Median {medians[CLEAN]:.2f} for clean frames and "
        f"{medians[PGD_NAME]:.2f} under {PGD_NAME}; an attacked frame looks more suspicious than a clean one in "
        f"{100 * area.value:.1f} % of pairs ({len(series[0][1])} clean, {len(series[1][1])} attacked).</p>"
        f'<div class="card">{key}<div class="scroll">{chart}</div></div>'
    )


def latency(findings: Findings) -> str:
    """Return what the purifier costs on this machine."""
    named, ratio = findings.named, findings.named["latency, ratio of medians"]
    alone = findings.manifest.victim.macs
    macs = {ALONE: alone, DEPLOYED: None if alone is None else alone + findings.manifest.purifier.macs}
    rows = []
    for name in (ALONE, DEPLOYED):
        cells = "".join(
            f'<td class="number">{named[f"latency, {name}, {k}"].value:.2f}</td>' for k in ("min", "p50", "p90")
        )
        count = macs[name]
        millions = "not counted" if count is None else f"{count / 1e6:.1f} M"
        rows.append(f'<tr><td>{name}</td>{cells}<td class="number">{millions}</td></tr>')
    head = (
        '<tr><th>One frame</th><th class="number">min, ms</th><th class="number">p50, ms</th>'
        '<th class="number">p90, ms</th><th class="number">multiply-accumulates</th></tr>'
    )
    return (
        f"<h2>Latency</h2><p>With the purifier a frame takes {ratio.value:.2f} times as long as without (ratio of "
        f"medians).</p>"
        f'<div class="card scroll"><table>{head}{"".join(rows)}</table></div><p class="soft">Batch 1, '
        f"n = {ratio.n} calls each, in turn, after a warm-up; ONNX Runtime, fp32, uint8 frame in, logits out, "
        f"resizing not included. "
        f"{escape(findings.environment.device)}. On another machine, or a busy one, these figures are others.</p>"
    )
