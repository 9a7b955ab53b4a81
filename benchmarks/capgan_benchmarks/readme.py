"""Write README's tables, docs/precision.md, results.md, endurance.md and the figures, the goals of docs/latency.md
and what is measured in docs/robust-mode.md, from the packages' cards and the newest records.

python -m capgan_benchmarks.readme
"""

from __future__ import annotations

from typing import Any

from capgan_benchmarks.endurance.tables import endurance_page, faults_table
from capgan_benchmarks.latency.goals_table import goals_section, goals_table
from capgan_benchmarks.latency.peers_table import peers_table
from capgan_benchmarks.packaged_weights import weights_note
from capgan_benchmarks.paper.extract import extract
from capgan_benchmarks.paper.figures import picture_of
from capgan_benchmarks.paper.section import newest_tables, pictures
from capgan_benchmarks.precision_table import adopted_row, full_table, newest_record, short_table
from capgan_benchmarks.records import ROOT
from capgan_benchmarks.robust_options.page import curves_svg, measured_sections
from capgan_benchmarks.robustness_table import readme_table, results_page
from capgan_edge import zoo
from capgan_edge.errors import DataError
from capgan_edge.files import write_atomic

README, PRECISION, RESULTS = ROOT / "README.md", ROOT / "docs" / "precision.md", ROOT / "docs" / "results.md"
ROBUST_MODE, ROBUST_COST = ROOT / "docs" / "robust-mode.md", ROOT / "docs" / "robust-cost.svg"
ENDURANCE, LATENCY = ROOT / "docs" / "endurance.md", ROOT / "docs" / "latency.md"
BEGIN, END = "<!-- figures:", "<!-- end of figures -->"
BEGIN_PRECISION, END_PRECISION = "<!-- precisions:", "<!-- end of precisions -->"
BEGIN_THREATS, END_THREATS = "<!-- threats:", "<!-- end of threats -->"
BEGIN_FAULTS, END_FAULTS = "<!-- faults:", "<!-- end of faults -->"
BEGIN_GOALS, END_GOALS = "<!-- goals:", "<!-- end of goals -->"
BEGIN_DEFENCES, END_DEFENCES = "<!-- defences:", "<!-- end of defences -->"
BEGIN_OPTIONS, END_OPTIONS = "<!-- options:", "<!-- end of options -->"
BEGIN_PEERS, END_PEERS = "<!-- peers:", "<!-- end of peers -->"
ARTIFACT = "purified, model.fp32.onnx, 8-bit frames"
VICTIM = "bare classifier, raw_logits of model.fp32.onnx, 8-bit frames"


def table() -> str:
    """Return one row an attack and a packaged pair: the bare victim's accuracy, the artifact's, interval and n."""
    lines = ["| pair | data | attack | bare classifier | purified (ONNX) | n |", "|---|---|---|---|---|---|"]
    for name in zoo.names():
        figures = zoo.card(name)["figures"]
        for attack in dict.fromkeys(figure["name"].split(": ")[0] for figure in figures):
            bare, purified = (_named(figures, f"{attack}: {what}") for what in (VICTIM, ARTIFACT))
            cells = [name, purified["data"], attack, _cell(bare), _cell(purified), str(purified["n"])]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """Return README's text with the tables between their markers."""
    text = _between(text, BEGIN, END, table())
    text = _between(text, BEGIN_THREATS, END_THREATS, readme_table())
    text = _between(text, BEGIN_FAULTS, END_FAULTS, faults_table())
    if BEGIN_DEFENCES in text:
        text = _between(text, BEGIN_DEFENCES, END_DEFENCES, extract(newest_tables()))
    if BEGIN_GOALS in text:
        text = _between(text, BEGIN_GOALS, END_GOALS, goals_table())
    record = newest_record()
    return _between(text, BEGIN_PRECISION, END_PRECISION, f"{_origin(record)}.\n\n{short_table(record)}")


def with_goals(text: str) -> str:
    """Return docs/latency.md's text with the goals of speed, why some were missed, and the peers, between markers."""
    return _between(_between(text, BEGIN_GOALS, END_GOALS, goals_section()), BEGIN_PEERS, END_PEERS, peers_table())


def with_options(text: str) -> str:
    """Return docs/robust-mode.md's text with what each option buys between its markers."""
    return _between(text, BEGIN_OPTIONS, END_OPTIONS, measured_sections())


def precision_page() -> str:
    """Return docs/precision.md: every variant of the newest record."""
    record = newest_record()
    attacks = "; ".join(f"{each['frames']}: {_settings(each)}" for each in record["frames"] if each["settings"])
    command = f"{record['command']} {record['pair']}"
    return f"""# What FP16 and INT8 cost

Written by `python -m capgan_benchmarks.readme` from the newest record of `{command}`, not by hand.

{_origin(record)}. Every variant sees the same 8-bit frames; attacks were made
on the FP32 twin. In brackets the 95 % interval. {attacks}.

{full_table(record)}

{adopted_row(record)}.
"""


def _origin(record: dict[str, Any]) -> str:
    n, day = record["frames"][0]["n"], record["date"][:10]
    origin = (
        f"{record['pair']}, {record['data']}, n = {n}, seed {record['seed']}, {record['environment']['cpu']}, {day}"
    )
    return f"{origin}{weights_note(record)}"


def _settings(frames: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in frames["settings"].items() if name != "seconds")


def _between(text: str, begin: str, end: str, content: str) -> str:
    first, last = text.find(begin), text.find(end)
    if first < 0 or last < first:
        raise DataError(f"expected the markers {begin!r} and {end!r} in the page, in this order; put them back")
    head = text[: text.index("\n", first)]
    return f"{head}\n\n{content}\n\n{text[last:]}"


def _named(figures: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(figure for figure in figures if figure["name"] == name)


def _cell(figure: dict[str, Any]) -> str:
    """Two decimals; the interval says more than they do."""
    low, high = figure["interval_95"]
    return f"{figure['value']:.2f} % [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    write_atomic(README, with_tables(README.read_text()).encode())
    write_atomic(PRECISION, precision_page().encode())
    write_atomic(RESULTS, results_page().encode())
    for name, record in pictures().items():
        write_atomic(ROOT / "docs" / name, picture_of(record))
    write_atomic(ROBUST_MODE, with_options(ROBUST_MODE.read_text()).encode())
    if picture := curves_svg():
        write_atomic(ROBUST_COST, picture.encode())
    write_atomic(ENDURANCE, endurance_page().encode())
    write_atomic(LATENCY, with_goals(LATENCY.read_text()).encode())
