"""Comparisons as JUnit XML, which CI systems show: a suite per threat model, a case per attack, budget and system.

Suspicion and self-checks have suites of their own. What fails the gate is a failure; a comparison that cannot
tell, and a self-check that was not run, are skipped with what there is to say, so that they are seen and fail nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from capgan_benchmarks.robustness.judged import Judged
from capgan_benchmarks.robustness.record import RobustnessRecord

_HOST = "localhost"
"""The format asks for one; which machine it was is in the record's environment as far as figures need it."""


def junit_xml(judged: Sequence[Judged], record: RobustnessRecord) -> bytes:
    """Return the file's content, UTF-8.

    Args:
        judged: what came of holding the record against a baseline.
        record: the one of now; its n, seed, data and hashes are each suite's properties.
    """
    root = Element("testsuites", name="capgan-edge benchmark robustness")
    times_ms = _times_ms(judged)
    for number, name in enumerate(dict.fromkeys(each.suite for each in judged)):
        rows = [row for row in zip(judged, times_ms, strict=True) if row[0].suite == name]
        suite = SubElement(root, "testsuite", id=str(number), name=_plain(name), package="capgan_edge.robustness",
                           hostname=_HOST, timestamp=_timestamp(record.date))  # fmt: skip
        suite.attrib.update(_counts(rows))
        _add_properties(suite, record)
        for each, time_ms in rows:
            _add_case(suite, each, time_ms)
        lines = (f"{each.title}: {each.words}" for each, _ in rows)
        SubElement(suite, "system-out").text = "\n".join(map(_plain, lines))
        SubElement(suite, "system-err")
    root.attrib.update(_counts(zip(judged, times_ms, strict=True)))
    indent(root)
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add_case(suite: Element, judged: Judged, time_ms: int) -> None:
    case = SubElement(suite, "testcase", name=_plain(judged.title), time=_seconds(time_ms),
                      classname=f"robustness.{_plain(judged.suite)}")  # fmt: skip
    message = _plain(judged.words)
    if judged.outcome == "failed":
        failure = SubElement(case, "failure", message=message, type=judged.failure_type)
        failure.text = _plain(f"{judged.title}: {message}")
    elif judged.outcome == "skipped":
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


def _counts(rows: Iterable[tuple[Judged, int]]) -> dict[str, str]:
    rows = list(rows)
    states = Counter(judged.outcome for judged, _ in rows)
    return {"tests": str(len(rows)), "failures": str(states["failed"]), "errors": "0",
            "skipped": str(states["skipped"]), "time": _seconds(sum(time_ms for _, time_ms in rows))}  # fmt: skip


def _times_ms(judged: Sequence[Judged]) -> list[int]:
    """Share each attack's time among the systems that it was scored on, so that times add up to what was spent."""
    costs = [each.cost for each in judged]
    num_sharing = Counter(paid_for for paid_for, _ in costs)
    return [round(1000 * seconds / num_sharing[paid_for]) for paid_for, seconds in costs]


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
