"""The JUnit file: what CI systems' schemas ask for, counts and times that add up, and names that are no markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paired_records import INT8, PAIR, cell, clean, record, rights

from capgan_benchmarks.robustness.baseline import Comparison, compare
from capgan_benchmarks.robustness.junit import junit_xml
from capgan_benchmarks.robustness.paired import Pairs
from capgan_benchmarks.robustness.record import RobustnessRecord

N = 200


class Rule(NamedTuple):
    """Of an element, as in the schemas of Ant's and Jenkins' JUnit files: what it must have, may have, and holds."""

    required: set[str]
    optional: set[str]
    children: str
    """A regular expression over the names of its children, each followed by a space."""


RULES = {
    "testsuites": Rule(set(), {"name", "tests", "failures", "errors", "skipped", "time"}, r"(testsuite )*"),
    "testsuite": Rule({"id", "name", "package", "hostname", "timestamp", "tests", "failures", "errors", "time"},
                      {"skipped"}, r"properties (testcase )*system-out system-err "),
    "properties": Rule(set(), set(), r"(property )*"),
    "property": Rule({"name", "value"}, set(), ""),
    "testcase": Rule({"name", "classname", "time"}, set(), r"((failure|error|skipped) )?"),
    "failure": Rule({"type"}, {"message"}, ""),
    "skipped": Rule(set(), {"message"}, ""),
    "system-out": Rule(set(), set(), ""),
    "system-err": Rule(set(), set(), ""),
}  # fmt: skip


def assert_follows_the_schema(element: Element) -> None:
    rule, names = RULES[element.tag], set(element.attrib)
    assert rule.required <= names <= rule.required | rule.optional, element.tag
    assert re.fullmatch(rule.children, "".join(f"{child.tag} " for child in element)), element.tag
    for name in names & {"tests", "failures", "errors", "skipped", "id"}:
        assert element.attrib[name].isdecimal()
    if "time" in names:
        assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
    if "timestamp" in names:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", element.attrib["timestamp"])
    for name in names & {"name", "classname"}:
        assert element.attrib[name]
    for child in element:
        assert_follows_the_schema(child)


def assert_adds_up(element: Element) -> None:
    cases = list(element.iter("testcase"))
    assert element.attrib["tests"] == str(len(cases))
    assert element.attrib["failures"] == str(len(list(element.iter("failure"))))
    assert element.attrib["skipped"] == str(len(list(element.iter("skipped"))))
    assert element.attrib["errors"] == "0"
    assert sum(_ms(case) for case in cases) == _ms(element)
    assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)


def _ms(element: Element) -> int:
    return int(element.attrib["time"].replace(".", ""))


def held(num_pair: int, num_int8: int, **changes: Any) -> RobustnessRecord:
    right = {PAIR: rights(N, num_pair), INT8: rights(N, num_int8)}
    cells = (cell(right), cell(right, attack="FGSM", seconds=0.5), cell(right, scenario="bpda"))
    return record(clean({PAIR: rights(N, 190), INT8: rights(N, 190)}), *cells, **changes)


def written(before: RobustnessRecord, now: RobustnessRecord) -> Element:
    return fromstring(junit_xml(compare(before, now, max_drop=1.0), now))


def test_the_file_follows_the_schema_and_its_counts_and_times_add_up() -> None:
    root = written(held(150, 150), held(130, 146))
    assert_follows_the_schema(root)
    for element in (root, *root.iter("testsuite")):
        assert_adds_up(element)
    assert [suite.attrib["name"] for suite in root] == ["clean", "end-to-end", "bpda"]
    assert [suite.attrib["tests"] for suite in root] == ["2", "4", "2"]
    assert (root.attrib["failures"], root.attrib["skipped"], root.attrib["time"]) == ("3", "3", "6.500")


def test_a_drop_is_a_failure_with_its_figures_and_what_cannot_be_told_is_skipped_with_them() -> None:
    root = written(held(150, 150), held(130, 146))
    cases = {(case.attrib["classname"], case.attrib["name"]): case for case in root.iter("testcase")}
    failure = cases[("robustness.end-to-end", f"PGD-40, epsilon 8/255: {PAIR}")][0]
    assert failure.tag == "failure"
    assert failure.attrib["message"].startswith("dropped: 75.00 % before, 65.00 % now, drop 10.00 points [")
    assert f"n = {N}, 20 lost, 0 won, p = 1.9e-06" in failure.attrib["message"]
    skipped = cases[("robustness.end-to-end", f"FGSM, epsilon 8/255: {INT8}")][0]
    assert skipped.tag == "skipped"
    assert "inconclusive, n too small" in skipped.attrib["message"]
    assert "the smallest drop that fails is 3.00 points" in skipped.attrib["message"]
    assert not list(cases[("robustness.clean", f"clean: {PAIR}")])


def test_every_suite_says_which_images_and_which_files_and_shows_the_figures_of_all_its_cases() -> None:
    now = held(150, 150, sha256="b" * 64, subject="road signs", date="2026-01-02T05:04:05+02:00")
    for suite in written(held(150, 150), now).iter("testsuite"):
        told = {each.attrib["name"]: each.attrib["value"] for each in suite.iter("property")}
        assert (told["subject"], told["data"], told["data.n"]) == ("road signs", "signs-32/test", str(N))
        assert (told["seed"], told["tier"], told["data.sha256"]) == ("0", "quick", "d" * 64)
        assert told[f"sha256 of {INT8}"] == "b" * 64
        lines = (suite.findtext("system-out") or "").splitlines()
        assert len(lines) == int(suite.attrib["tests"])
        assert all("passed: " in line for line in lines)
        assert suite.attrib["timestamp"] == "2026-01-02T03:04:05"


@pytest.mark.parametrize("date", ["2026-01-02", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678901"])
def test_every_date_of_a_record_becomes_a_timestamp(date: str) -> None:
    assert_follows_the_schema(written(held(1, 1), held(1, 1, date=date)))


names = st.text(
    st.characters(codec="utf-8") | st.sampled_from("\x00\x0b\x1b\x85\u2028\ufffe\uffff<>&\"']\n\t"), min_size=1
)


def _comparisons(texts: Sequence[str], *, num_lost: int) -> tuple[Comparison, ...]:
    pairs = Pairs(num_both=100 - num_lost, num_first=num_lost, num_second=0, num_neither=0)
    scenario, attack, system, variant = texts
    return (Comparison(scenario=scenario, attack=attack, epsilon=None, variant=variant, system=system, pairs=pairs,
                       seconds=0.1, max_drop=1.0),)  # fmt: skip


@given(names, names, names, names, st.sampled_from([0, 5, 50]))
def test_names_that_are_hostile_stay_names(scenario: str, attack: str, system: str, variant: str, lost: int) -> None:
    content = junit_xml(_comparisons((scenario, attack, system, variant), num_lost=lost), held(1, 1))
    root = fromstring(content)
    assert_follows_the_schema(root)
    (case,) = root.iter("testcase")
    assert case.attrib["name"].isprintable()
    assert len(case.attrib["name"]) == len(f"{attack}, {variant}: {system}")
    assert (root.findtext("testsuite/system-out") or "").isprintable()


def test_markup_in_names_is_text_and_control_characters_are_question_marks() -> None:
    bad = ("a\x00b", '"><failure/>', "]]>\x1b[2J", "&amp;")
    root = fromstring(junit_xml(_comparisons(bad, num_lost=50), held(1, 1)))
    (case,) = root.iter("testcase")
    assert case.attrib["name"] == '"><failure/>, &amp;: ]]>?[2J'
    assert case.attrib["classname"] == "robustness.a?b"
    assert len(list(root.iter("failure"))) == 1


def test_times_of_an_attack_are_shared_by_the_systems_that_it_was_scored_on() -> None:
    (one,) = _comparisons(("s", "a", "x", ""), num_lost=0)
    rows = [replace(one, seconds=1.0), replace(one, system="y", seconds=1.0), replace(one, attack="b", seconds=2.0)]
    root = fromstring(junit_xml(rows, held(1, 1)))
    assert [case.attrib["time"] for case in root.iter("testcase")] == ["0.500", "0.500", "2.000"]
    assert root.attrib["time"] == "3.000"
