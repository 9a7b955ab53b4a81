"""The page is well formed, loads nothing, and says what it must."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
from tiny_signs import Run

from capgan_benchmarks.demo.charts import Bar, bar_chart, histogram
from capgan_benchmarks.demo.limits import NOT_TESTED, WHAT_IT_HOLDS

VOID = {"meta", "img", "br"}
ADDRESSES = {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}


class Page(HTMLParser):
    """Every element closed in order; addresses, identifiers of tags and text collected."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.alternatives: list[str | None] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ADDRESSES]
        if tag == "img":
            self.alternatives.append(dict(attrs).get("alt"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_well_formed_and_loads_nothing(finished: Run) -> None:
    text = (finished.out / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert page.addresses
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & set(page.tags)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert page.alternatives
    assert all(page.alternatives)


def test_the_page_tells_the_end_to_end_figure_and_what_was_not_tested(finished: Run) -> None:
    text = Page((finished.out / "report.html").read_text()).text
    end_to_end = finished.findings.end_to_end
    assert f"{end_to_end.value:.1f} %" in text
    assert f"n = {end_to_end.n}" in text
    assert "What this does not show" in text
    assert WHAT_IT_HOLDS in text
    for item in NOT_TESTED:
        assert item[1:] in text


def test_the_page_shows_each_chosen_row_and_names_failures(finished: Run) -> None:
    findings = finished.findings
    text = (finished.out / "report.html").read_text()
    rows = (*findings.grid, *findings.failures)
    assert rows
    assert text.count('<div class="card row">') == len(rows)
    assert text.count(">saved</span>") == sum(row.is_saved for row in rows)
    assert text.count(">not saved</span>") == sum(not row.is_saved for row in rows)


def test_the_hero_shows_five_pictures(finished: Run) -> None:
    text = (finished.out / "report.html").read_text()
    assert text.split('<div class="way">')[1].split("</div>")[0].count("<figure>") == 5


def test_a_chart_says_its_values_to_readers_and_escapes_names() -> None:
    bar = Bar(series="victim", label="<victim> & clean", value=97.25, interval=(95.5, 98.25), n=500)
    chart = bar_chart([("a < b", [bar])], title='"accuracy"')
    assert Page(chart).open == []
    assert "&lt;victim&gt; &amp; clean: 97.2 % (95 % interval 95.5 to 98.2, n = 500)" in chart
    assert "a &lt; b" in chart
    assert "&quot;accuracy&quot;" in chart


def test_a_histogram_puts_each_value_into_one_bin() -> None:
    chart = histogram([("clean", np.array([0.0, 0.01, 1.0, 0.5]))], title="suspicion", num_bins=4)
    shares = [float(share) for share in re.findall(r"clean: ([\d.]+) %", chart)]
    assert shares == [50, 25, 25]
