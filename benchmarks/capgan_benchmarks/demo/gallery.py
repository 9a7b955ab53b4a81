"""The part of the page that shows images: one sign large, then rows chosen by a rule."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.demo.config import PGD_NAME
from capgan_benchmarks.demo.findings import Findings
from capgan_benchmarks.demo.pictures import NOISE_GAIN, data_uri, heat_over, magnified_noise
from capgan_benchmarks.demo.rows import Row, Said


def hero(findings: Findings) -> str:
    """Return the way of one sign through the system."""
    row = findings.hero
    noise_HWC = magnified_noise(row.clean_HWC, row.attacked_HWC)
    tiles = (
        _figure(row.clean_HWC, "Clean", "as drawn", _badge(row.victim_clean, row.truth)),
        _figure(noise_HWC, "The attack", f"{PGD_NAME}, at most 8 of 255 levels", f'<span class="badge note">'
                f'shown {NOISE_GAIN} times as strong</span>'),
        _figure(row.attacked_HWC, "Attacked", "what the bare victim sees", _badge(row.victim_attacked, row.truth)),
        _figure(row.purified_HWC, "Purified", "what it sees behind the purifier", _badge(row.purified, row.truth)),
        _figure(heat_over(row.attacked_HWC, row.heat_HW), "Attention", "where the purifier looked",
                f'<span class="badge note">suspicion {row.suspicion_attacked:.2f}</span>', is_smooth=True),
    )  # fmt: skip
    return (
        f'<div class="card opening"><div class="way">{"".join(tiles)}</div></div>'
        f'<p class="soft">Image {row.index} of those drawn, a <em>{escape(row.truth)}</em> sign: '
        f"{escape(findings.choice.hero_rule)}. Chosen to show how it works; how often it works is below.</p>"
    )


def grid(findings: Findings) -> str:
    """Return the rows, the failures last and called so."""
    rows = "".join(_row(row) for row in (*findings.grid, *findings.failures))
    num_fooled, num_saved = findings.num_fooled_and_saved
    if not num_fooled:
        said = f"{PGD_NAME} fooled the victim on no image that it gets right clean, so there is nothing to show here."
        return f"<h2>Image by image</h2><p>{said}</p>"
    heading = "Not every image is saved" if num_saved < num_fooled else "Image by image"
    return (
        f"<h2>{heading}</h2><p>{PGD_NAME} fools the victim on {num_fooled} images that it gets right "
        f"clean; behind the purifier {num_saved} of these are right again, {num_fooled - num_saved} stay wrong. "
        f"{escape(findings.choice.rule)}</p>"
        f'<div class="rows">{rows}</div>'
    )


def _row(row: Row) -> str:
    verdict = '<span class="badge good">saved</span>' if row.is_saved else '<span class="badge bad">not saved</span>'
    pictures = (
        _figure(row.clean_HWC, "", "clean", _badge(row.victim_clean, row.truth)),
        _figure(row.attacked_HWC, "", "attacked", _badge(row.victim_attacked, row.truth)),
        _figure(row.purified_HWC, "", "purified", _badge(row.purified, row.truth)),
        _figure(heat_over(row.attacked_HWC, row.heat_HW), "", "attention", f'<span class="badge note">suspicion '
                f'{row.suspicion_attacked:.2f}</span>', is_smooth=True),
    )  # fmt: skip
    title = f"{escape(row.truth)} <small>image {row.index}</small>"
    return f'<div class="card row"><h3><span>{title}</span>{verdict}</h3><div>{"".join(pictures)}</div></div>'


def _figure(image_HWC: NDArray[np.uint8], title: str, caption: str, badge: str, *, is_smooth: bool = False) -> str:
    kind = "smooth" if is_smooth else "pixels"
    heading = f"<strong>{escape(title)}</strong>" if title else ""
    alt = escape(f"{title}: {caption}" if title else caption)
    return (
        f'<figure><img class="{kind}" alt="{alt}" src="{data_uri(image_HWC)}"><figcaption>{heading}{escape(caption)}'
        f"</figcaption>{badge}</figure>"
    )


def _badge(said: Said, truth: str) -> str:
    is_right = said.label == truth
    mark, kind, word = ("✓", "good", "right") if is_right else ("✗", "bad", "wrong")
    return f'<span class="badge {kind}" title="{word}">{mark} {escape(said.label)} <span>{said.score:.2f}</span></span>'
