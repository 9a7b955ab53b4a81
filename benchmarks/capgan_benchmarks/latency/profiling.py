"""`benchmark profile`: the record of where a query's time goes, by kind of operator and by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, FiniteFloat

from capgan_benchmarks.headed_record import HeadedRecord
from capgan_benchmarks.latency.conditions import read_conditions
from capgan_benchmarks.latency.frames import draw_frames
from capgan_benchmarks.latency.operators import Operator, profile_operators
from capgan_benchmarks.latency.protocol import Positive
from capgan_benchmarks.latency.sample import Ms
from capgan_benchmarks.latency.subject import find_subject
from capgan_benchmarks.latency.victim_graph import deployed
from capgan_benchmarks.records import made_now, record_name
from capgan_edge.errors import ConfigError
from capgan_edge.files import make_folder, write_json
from capgan_edge.hardware import num_cpus
from capgan_edge.runtime.fields import Count, Listed, Name, Record

if TYPE_CHECKING:
    from rich.console import Console

_NUM_LAYERS = 12
Percent = Annotated[FiniteFloat, Field(ge=0, le=100.0001)]


class Part(Record):
    """A kind of operator, or one layer."""

    name: Name
    count: Annotated[int, Field(ge=1)]
    """Operators of the kind."""
    ms: Ms
    """Of a query, median."""
    time_percent: Percent
    macs_percent: Percent


class ProfileRecord(HeadedRecord):
    """One artifact in one runtime. Measuring each operator costs time itself: shares are said, latency is not."""

    kind: Literal["profile"] = "profile"
    subject: Name
    artifact: Name
    runtime: Literal["ort", "openvino"]
    batch: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1)]
    num_queries: Count
    total_ms: Positive
    kinds: Listed[Part]
    """All of them, the longest first."""
    layers: Listed[Part]
    """The longest."""


def parts_of(operators: Sequence[Operator], key: str) -> tuple[Part, ...]:
    """Return time and arithmetic by `kind` or by `name`, the longest first."""
    total_ms, total_macs = (sum(getattr(each, what) for each in operators) for what in ("ms", "macs"))
    groups: dict[str, list[Operator]] = {}
    for each in operators:
        groups.setdefault(getattr(each, key), []).append(each)
    parts = [Part(name=name, count=len(held), ms=sum(each.ms for each in held),
                  time_percent=100 * sum(each.ms for each in held) / total_ms,
                  macs_percent=100 * sum(each.macs for each in held) / max(total_macs, 1))
             for name, held in groups.items()]  # fmt: skip
    return tuple(sorted(parts, key=lambda part: -part.ms))


def profile(
    spec: str, *, artifact: str, runtime: Literal["ort", "openvino"], batch: int, threads: int | None, num_queries: int
) -> ProfileRecord:
    """Return the record of one artifact.

    Raises:
        CapganError: there is no such bundle or artifact, or the runtime does not run it.
    """
    subject = find_subject(spec, artifacts=(artifact,) if Path(spec).is_dir() else (), source=None)
    graph = next((each for each in subject.graphs if each.name == artifact), None)
    if graph is None:
        raise ConfigError(f"expected a graph among {', '.join(each.name for each in subject.graphs)}, got {artifact!r}")
    frames_NHWC, _ = draw_frames(subject.size_px, batch)
    used = threads or num_cpus()
    operators = profile_operators(runtime, deployed(graph.model_bytes), frames_NHWC[:batch], threads=used,
                                  num_queries=num_queries)  # fmt: skip
    layers = parts_of(operators, "name")[:_NUM_LAYERS]
    return ProfileRecord(
        **made_now(command="capgan-edge benchmark profile", environment=read_conditions(threads=used, has_gpu=False)),
        subject=subject.name, artifact=artifact, runtime=runtime, batch=batch, threads=used, num_queries=num_queries,
        total_ms=sum(each.ms for each in operators), kinds=parts_of(operators, "kind"), layers=layers,
    )  # fmt: skip


def write_profile(record: ProfileRecord, out: Path) -> Path:
    """Write the record into a folder."""
    make_folder(out)
    theme = f"profile-{record.subject}-{record.artifact.removesuffix('.onnx')}-{record.runtime}-{record.batch}"
    path = out / record_name(theme, record.model_dump(mode="json"))
    write_json(path, record.model_dump(mode="json"))
    return path


def print_profile(record: ProfileRecord, console: Console) -> None:
    """Print kinds and layers."""
    from rich.table import Table
    from rich.text import Text

    for title, parts in (("by kind of operator", record.kinds), ("the longest layers", record.layers)):
        table = Table(title=f"{record.artifact}, {record.runtime}, batch {record.batch}: {title}", title_justify="left")
        for name in ("", "n", "ms", "time %", "MACs %"):
            table.add_column(name, justify="right" if name else "left", overflow="fold")
        for part in parts:
            numbers = (f"{part.ms:.3f}", f"{part.time_percent:.1f}", f"{part.macs_percent:.1f}")
            table.add_row(Text(part.name), str(part.count), *numbers)
        console.print(table)
