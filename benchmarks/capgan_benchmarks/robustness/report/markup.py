"""Text and pieces of HTML: everything that comes from a record or a data set passes through `text`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

NONE = "\N{EN DASH}"
"""Stands where there is no figure."""
_FEW = 4
"""Columns that fit a phone."""


def text(said: object) -> str:
    """Return anything as text that is safe within an element or an attribute, on one line."""
    return escape("".join(letter if letter.isprintable() else "�" for letter in str(said)))


def section(key: str, title: str, lead: str, body: str) -> str:
    """Return a section that `#key` leads to; `lead` and `body` are HTML."""
    return f'<section id="{key}"><h2>{text(title)}</h2><p>{lead}</p>{body}</section>'


def absent(why: str) -> str:
    """Return a card for what cannot be shown."""
    return f'<div class="card empty">{text(why)}</div>'


def badge(kind: str, said: str) -> str:
    """Return a coloured word; `kind` is good, bad, note or none."""
    return f'<span class="badge {kind}">{text(said)}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: frozenset[int] = frozenset()) -> str:
    """Return a table whose first cell of a row names it; cells are HTML, columns in `numbers` end flush right."""
    kind = [' class="number"' if i in numbers else "" for i in range(len(head))]
    titles = "".join(f'<th scope="col"{kind[i]}>{each}</th>' for i, each in enumerate(head))
    body = "".join(
        "<tr>" + f'<th scope="row">{row[0]}</th>'
        + "".join(f"<td{kind[i]}>{cell}</td>" for i, cell in enumerate(row) if i) + "</tr>"
        for row in rows
    )  # fmt: skip
    kind_of = ' class="few"' if len(head) <= _FEW else ""
    return f'<div class="scroll"><table{kind_of}><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(summary: str, body: str, *, is_open: bool = False) -> str:
    """Return what a reader may unfold; on paper it always is."""
    return f"<details{' open' if is_open else ''}><summary>{text(summary)}</summary>{body}</details>"


def definitions(facts: Iterable[tuple[str, object]]) -> str:
    """Return names with what they stand for."""
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts) + "</dl>"
