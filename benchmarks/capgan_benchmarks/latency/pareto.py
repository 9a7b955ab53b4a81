"""Which artifacts are worth having: latency against robust accuracy, and those that no other beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capgan_benchmarks.latency.record import LatencyRecord, Row
from capgan_benchmarks.robustness.record import RobustnessRecord, SystemIdentity, Worst
from capgan_edge.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One artifact in one runtime, with both figures measured on these very bytes in this very runtime."""

    name: str
    is_victim: bool
    p50_ms: float
    p90_ms: float
    n_queries: int
    percent: float
    """Robust accuracy: images that survive every attack."""
    interval_95: tuple[float, float]
    n_images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pareto:
    """All points, and who is left out."""

    points: tuple[Point, ...]
    front: tuple[str, ...]
    """Names of the points that no other beats in latency and accuracy both."""
    left_out: tuple[str, ...]
    """Purified artifacts with a latency and without a robustness of their own."""
    attacks: str
    """What accuracy is under, in words."""


def pareto_of(latency: LatencyRecord, *robustness: RobustnessRecord, batch: int) -> Pareto:
    """Join records on the artifacts' hashes and what computed them: a figure of one runtime is not another's.

    Args:
        latency: of every artifact and runtime.
        robustness: one record a runtime, of the same images under the same attacks.
        batch: frames of a query.

    Raises:
        ConfigError: the records share no artifact, those of robustness are of other images or attacks, or the first
            has no such batch size.
    """
    rows = [row for row in latency.rows if row.batch == batch and row.role in ("victim", "purified")]
    if not rows:
        raise ConfigError(
            f"expected one of the batch sizes of the latency record, "
            f"{', '.join(map(str, latency.protocol.batches))}, got {batch}; name one of these"
        )
    _require_same_images(robustness)
    worsts = _worst_of_most(robustness)
    points, left_out = [], []
    for row in rows:
        each = [_worst_of(row, record, worst) for record, worst in zip(robustness, worsts, strict=True)]
        found = next(filter(None, each), None)
        if found is not None:
            points.append(_point(row, found))
        elif row.role == "purified":
            left_out.append(row.name)
    if not any(not point.is_victim for point in points):
        raise ConfigError(
            "expected records that share an artifact, got none of the same hash in the same runtime; "
            "measure both on one bundle"
        )
    some = next(iter(worsts[0].values()))
    attacks = f"{', '.join(some.attacks)} at epsilon {some.epsilon * 255:.3g}/255 ({', '.join(some.scenarios)})"
    return Pareto(points=tuple(points), front=front_of(points), left_out=tuple(left_out), attacks=attacks)


def front_of(points: Sequence[Point]) -> tuple[str, ...]:
    """Return the names of points that no other is at least as good as in both, and better in one; fastest first."""
    best = [
        point
        for point in points
        if not any(
            (other.p50_ms <= point.p50_ms and other.percent >= point.percent)
            and (other.p50_ms < point.p50_ms or other.percent > point.percent)
            for other in points
        )
    ]
    return tuple(point.name for point in sorted(best, key=lambda point: point.p50_ms))


def _require_same_images(records: Sequence[RobustnessRecord]) -> None:
    if len({record.data.sha256 for record in records}) > 1:
        said = " and ".join(f"{record.data.n} of {record.data.name}, seed {record.data.seed}" for record in records)
        raise ConfigError(f"expected robustness records of the same images, got {said}; run them with the same --data, "
                          "--n and --seed")  # fmt: skip


def _worst_of_most(records: Sequence[RobustnessRecord]) -> list[dict[str, Worst]]:
    """Return of each record the worst cases by system, of the scenarios and epsilon that all records and most systems
    have, then most attacks.
    """
    groups: dict[tuple[object, ...], list[dict[str, Worst]]] = {}
    for index, record in enumerate(records):
        for each in record.worst:
            held = groups.setdefault((each.epsilon, each.scenarios, each.attacks), [{} for _ in records])
            held[index][each.system] = each
    common = [held for held in groups.values() if all(held)]
    if not common:
        raise ConfigError(
            "expected robustness records with worst cases over the same attacks, got none that they share; run them "
            "with the same --scenarios, --attacks and --epsilons"
        )
    return max(common, key=lambda held: (sum(map(len, held)), *_breadth(next(iter(held[0].values())))))


def _worst_of(row: Row, record: RobustnessRecord, worst: Mapping[str, Worst]) -> Worst | None:
    system = _system_of(row, record.systems)
    return None if system is None else worst.get(system.name)


def _breadth(worst: Worst) -> tuple[int, float]:
    return len(worst.attacks), worst.epsilon


def _system_of(row: Row, systems: Sequence[SystemIdentity]) -> SystemIdentity | None:
    """Return the row's system: by hash and runtime; of the bare classifier its FP32 in ONNX Runtime, as in torch."""
    if row.role == "victim":
        is_bare = (row.runtime, row.precision) == ("ort", "fp32")
        return next((system for system in systems if system.kind == "victim"), None) if is_bare else None
    return next(
        (
            system
            for system in systems
            if (system.kind, system.sha256, _runtime_of(system)) == ("artifact", row.artifact_sha256, row.runtime)
        ),
        None,
    )


def _runtime_of(system: SystemIdentity) -> str:
    """Return the runtime that a system's device names, as latency records call it."""
    if "OpenVINO" in system.device:
        return "openvino-bf16" if system.precision == "bf16" else "openvino"
    return "ort" if "ONNX Runtime" in system.device else "tensorrt"


def _point(row: Row, worst: Worst) -> Point:
    held = row.end_to_end
    return Point(name=row.name, is_victim=row.role == "victim", p50_ms=held.p50_ms, p90_ms=held.p90_ms,
                 n_queries=held.n, percent=worst.percent, interval_95=worst.interval_95, n_images=worst.n)  # fmt: skip
