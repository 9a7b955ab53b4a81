"""Why a goal was missed: what the measured ceilings of the machine allow, and where the time went instead."""

from __future__ import annotations

from capgan_benchmarks.latency.goals import (
    FULL_HD,
    Finding,
    NotMeasuredError,
    fastest,
    named,
    pairs_in_one_engine,
    peer,
    record_at,
    rows_of,
)
from capgan_benchmarks.latency.newest import SpeedRecords
from capgan_benchmarks.latency.record import LatencyRecord, RoofShare, Row

_INTEGER_FEATURES = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")
_PEER_OF = {"best-1": ("torch-eager", 1), "best-64": ("torch-eager", 64), "compile": ("torch-compile", 1),
            "fused": ("torch-eager", 1), "bare-eager": ("torch-eager-victim", 1)}  # fmt: skip


def limit_of(finding: Finding, records: SpeedRecords) -> str | None:
    """Return one sentence on why a goal was missed; None where the records do not tell."""
    key = finding.goal.key
    try:
        if key in _PEER_OF:
            return _at_the_roof(finding, records, *_PEER_OF[key])
        if key in ("int8", "free"):
            return _int8(records, key)
        if key == "roof":
            return _hottest(records)
        if key == "classify":
            return _classify(records)
        return _training(records) if key == "training" else _cold(records)
    except NotMeasuredError:
        return None


def _at_the_roof(finding: Finding, records: SpeedRecords, name: str, batch: int) -> str | None:
    """Say what the ratio would be if the engine reached the ceiling."""
    record = record_at(records, batch)
    row = next(each for each in rows_of(record, batch, "purified") if named(each) == finding.judged[0].what)
    share, other = _share(record, row), peer(record, batch, name)
    if share is None:
        return None
    reached_ms = row.end_to_end.p50_ms - row.engine.p50_ms + share.roof_ms
    at_roof = other.end_to_end.p50_ms / reached_ms
    said = at_roof if finding.goal.is_least else 1 / at_roof
    return (f"{named(row)} takes {row.end_to_end.p50_ms:.2f} ms and {name} {other.end_to_end.p50_ms:.2f}; at the "
            f"measured roof it would take {reached_ms:.2f}, and the figure would be {said:.2f}")  # fmt: skip


def _int8(records: SpeedRecords, key: str) -> str | None:
    record = record_at(records, 1)
    rates: dict[str, float] = {each.kind: each.value for each in record.ceilings}
    said = []
    features = [name for name in _INTEGER_FEATURES if name in record.environment.get("cpu_features", ())]
    said.append(f"instructions for INT8 products here: {', '.join(features) or 'none (no VNNI, no AMX)'}")
    if {"int8", "fp32"} <= set(rates):
        said.append(f"the ceiling on INT8 products is {rates['int8'] / rates['fp32']:.2f} times that on FP32 products")
    if key == "free":
        for row, victim in pairs_in_one_engine(record, 1, "victim"):
            ours, theirs = _share(record, row), _share(record, victim)
            if ours is not None and theirs is not None:
                said.append(f"purified it multiplies {ours.macs / theirs.macs:.2f} times as much as the classifier")
                break
    return "; ".join(said + _against_fp32(records, "purified" if key == "int8" else "victim"))


def _against_fp32(records: SpeedRecords, role: str) -> list[str]:
    """Say at each batch size what INT8 and FP32 take in the engine where INT8 is fastest, and how near their roofs."""
    said = []
    for batch in sorted(records.latency):
        record = record_at(records, batch)
        row, other = next(pairs_in_one_engine(record, batch, role), (None, None))
        if row is None or other is None:
            continue
        ours, theirs = _share(record, row), _share(record, other)
        if ours is not None and theirs is not None:
            said.append(f"at batch {batch} in {row.runtime} INT8 takes {row.end_to_end.p50_ms:.2f} ms, "
                        f"{ours.percent:.0f} % of its roof, and FP32 ({role}) {other.end_to_end.p50_ms:.2f} ms, "
                        f"{theirs.percent:.0f} % of its own")  # fmt: skip
    return said


def _hottest(records: SpeedRecords) -> str | None:
    record = record_at(records, 64)
    row = fastest(record, 64)
    found = [each for each in records.profiles if (each.artifact, each.runtime) == (row.artifact, row.runtime)]
    if not found:
        return None
    held = max(found, key=lambda each: each.batch)
    parts = ", ".join(f"{part.name} {part.time_percent:.0f} % of the time and {part.macs_percent:.0f} % of the MACs"
                      for part in held.kinds[:4])  # fmt: skip
    return f"{named(row)}, batch {held.batch}: {parts}"


def _classify(records: SpeedRecords) -> str | None:
    record = record_at(records, 1)
    rates: dict[str, float] = {each.kind: each.value for each in record.ceilings}
    rows = rows_of(record, 1, "classify")
    if "copy" not in rates or not rows:
        return None
    height, width = FULL_HD
    read_ms = 1000 * height * width * 3 / rates["copy"]
    return (f"the engine runs for {rows[0].engine.p50_ms:.2f} ms, the rest takes {rows[0].host.p50_ms:.2f}: every "
            f"pixel counts towards the small image, and reading the frame once takes {read_ms:.2f} ms at the measured "
            f"bandwidth, {100 * read_ms / rows[0].engine.p50_ms:.0f} % of the run")  # fmt: skip


def _training(records: SpeedRecords) -> str | None:
    assert records.training is not None
    (row,) = [row for row in records.training["rows"] if row["preset"] == "nano"]
    fast, plain = row["loops"]["fast"], row["loops"]["plain"]
    at_roof = row["ratio"]["median"] * 100 / fast["roof_percent"]
    return (f"in {fast['precision']} it reaches {fast['roof_percent']:.0f} % of its roof, the plain loop "
            f"{plain['roof_percent']:.0f} %; at the roof it would be {at_roof:.2f} times as fast")  # fmt: skip


def _cold(records: SpeedRecords) -> str | None:
    assert records.cold is not None
    return "; ".join(
        f"{row.name}: "
        + ", ".join(f"{stage.replace('_', ' ')} {value:.2f} s" for stage, value in row.stages_p50_s.items())
        for row in records.cold.rows
    )


def _share(record: LatencyRecord, row: Row) -> RoofShare | None:
    return next((each for each in record.roof if (each.name, each.batch) == (row.name, row.batch)), None)
