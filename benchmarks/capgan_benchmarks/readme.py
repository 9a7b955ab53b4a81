"""Write README's table of figures from the cards of the packaged pairs: `python -m capgan_benchmarks.readme`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capgan_edge import zoo
from capgan_edge.errors import DataError
from capgan_edge.files import write_atomic

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- figures:", "<!-- end of figures -->"
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


def with_table(text: str) -> str:
    """Return README's text with the table between its markers."""
    start, end = text.find(BEGIN), text.find(END)
    if start < 0 or end < start:
        raise DataError(f"expected the markers {BEGIN!r} and {END!r} in README.md, in this order; put them back")
    head = text[: text.index("\n", start)]
    return f"{head}\n\n{table()}\n\n{text[end:]}"


def _named(figures: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(figure for figure in figures if figure["name"] == name)


def _cell(figure: dict[str, Any]) -> str:
    """Two decimals; the interval says more than they do."""
    low, high = figure["interval_95"]
    return f"{figure['value']:.2f} % [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    write_atomic(README, with_table(README.read_text()).encode())
