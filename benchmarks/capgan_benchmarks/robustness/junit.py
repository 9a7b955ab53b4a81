"""Comparisons as JUnit XML, which CI systems show: a suite per threat model, a case per attack, budget and system.

A drop is a failure; a comparison that cannot tell is skipped, with its figures, so that it is seen and fails nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from capgan_benchmarks.robustness.baseline import Comparison
from capgan_benchmarks.robustness.record import RobustnessRecord

_HOST = "localhost"
"""The format asks for one; which machine it was is in the record's environment as far as figures need it."""


def junit_xml(comparisons: Sequence[Comparison], record: RobustnessRecord) -> bytes:
    """Return the file's content, UTF-8.

    Args:
        comparisons: of the record with a baseline.
        record: the one of now; its n, seed, data and hashes are each suite's properties.
    """
    root = Element("testsuites", name="capgan-edge benchmark robustness")
    times_ms = _times_ms(comparisons)
    for number, scenario in enumerate(dict.fromkeys(each.scenario for each in comparisons)):
        rows = [row for row in zip(comparisons, times_ms, strict=True) if row[0].scenario == scenario]
        suite = SubElement(root, "testsuite", id=str(number), name=_plain(scenario), package="capgan_edge.robustness",
                           hostname=_HOST, timestamp=_timestamp(record.date))  # fmt: skip
        suite.attrib.update(_counts(rows))
        _add_properties(suite, record)
        for comparison, time_ms in rows:
            _add_case(suite, comparison, time_ms)
        lines = (f"{comparison.title}: {comparison.words}" for comparison, _ in rows)
        SubElement(suite, "system-out").text = "\n".join(map(_plain, lines))
        SubElement(suite, "system-err")
    root.attrib.update(_counts(zip(comparisons, times_ms, strict=True)))
    indent(root)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add_case(suite: Element, comparison: Comparison, time_ms: int) -> None:
    case = SubElement(suite, "testcase", name=_plain(comparison.title), time=_seconds(time_ms),
                      classname=f"robustness.{_plain(comparison.scenario)}")  # fmt: skip
    message = _plain(comparison.words)
    if comparison.state == "dropped":
        SubElement(case, "failure", message=message, type="drop").text = _plain(f"{comparison.title}: {message}")
    elif comparison.state == "inconclusive":
        SubElement(case, "skipped", message=message)


def _add_properties(suite: Element, record: RobustnessRecord) -> None:
    data = record.data
    facts = {
        "subject": record.subject, "code": record.code, "tier": record.tier, "seed": record.seed,
        "batch": record.batch, "data": data.name, "data.n": data.n, "data.seed": data.seed, "data.sha256": data.sha256,
        **{f"sha256 of {system.name}": system.sha256 for system in record.systems},
    }  # fmt: skip
    properties = SubElement(suite, "properties")
    for name, value in facts.items():
        SubElement(properties, "property", name=_plain(name), value=_plain(str(value)))


def _counts(rows: Iterable[tuple[Comparison, int]]) -> dict[str, str]:
    rows = list(rows)
    states = Counter(comparison.state for comparison, _ in rows)
    return {"tests": str(len(rows)), "failures": str(states["dropped"]), "errors": "0",
            "skipped": str(states["inconclusive"]), "time": _seconds(sum(time_ms for _, time_ms in rows))}  # fmt: skip


def _times_ms(comparisons: Sequence[Comparison]) -> list[int]:
    """Share each attack's time among the systems that it was scored on, so that times add up to what was spent."""
    attacks = [(each.scenario, each.attack, each.epsilon, each.variant) for each in comparisons]
    num_systems = Counter(attacks)
    return [round(1000 * each.seconds / num_systems[attack]) for each, attack in zip(comparisons, attacks, strict=True)]


def _seconds(time_ms: int) -> str:
    return f"{time_ms // 1000}.{time_ms % 1000:03d}"


def _timestamp(date: str) -> str:
    """Return an ISO 8601 date as UTC, to the second and without its zone, as the format has it."""
    moment = datetime.fromisoformat(date.replace("Z", "+00:00"))
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return moment.isoformat(timespec="seconds")


def _plain(text: str) -> str:
    """Return the text with what XML cannot hold, or a terminal would act upon, replaced by question marks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
