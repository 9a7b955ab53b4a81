"""Try every fault on loop and server: `python -m capgan_benchmarks.endurance.faults`.

Each is run for real, in processes of its own where a process may die of it; one that is lost is exit 1.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from capgan_benchmarks.endurance import connection_faults, loop_faults, server_faults, source_faults
from capgan_benchmarks.endurance.bench import Running, set_up
from capgan_benchmarks.endurance.fault import Fault, Tried, try_out
from capgan_benchmarks.endurance.faults_record import FaultsRecord, summary_of
from capgan_benchmarks.endurance.packaged import bundle_or_packaged
from capgan_benchmarks.endurance.results import RESULTS
from capgan_benchmarks.latency.conditions import read_conditions
from capgan_benchmarks.records import made_now, record_name
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError
from capgan_edge.files import make_folder, write_json
from capgan_edge.hardware import num_cpus

FAULTS: tuple[Fault, ...] = (
    *source_faults.FAULTS, *loop_faults.FAULTS, *connection_faults.FAULTS, *server_faults.FAULTS,
)  # fmt: skip


def main(
    bundle: Annotated[Path | None, typer.Option(help="A bundle; signs-nano, exported anew, by default.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the record.")] = RESULTS,
    only: Annotated[list[str] | None, typer.Option(help="Faults with this in their name; again for more.")] = None,
    backend: Annotated[str, typer.Option(help="auto, tensorrt, cuda, openvino or cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, fp16, int8 or bf16.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of one call (a count).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of signs and arrivals.")] = 0,
) -> None:
    """Try faults, write faults_HARDWARE_DATE.json, and exit 1 where one is lost; --only writes no record."""
    faults = chosen(only or ())
    make_folder(out)
    running = Running(backend=backend, precision=precision, threads=threads)
    with bundle_or_packaged(bundle) as path:
        record = tried(path, running, faults, _tell, seed=seed)
    typer.echo(summary_of(record))
    if not only:  # the table is of all of them
        written = out / record_name("faults", record.model_dump(mode="json"))
        write_json(written, record.model_dump(mode="json"))
        typer.echo(f"wrote {written}", err=True)
    raise typer.Exit(1 if record.count("lost") else 0)


def chosen(only: Sequence[str]) -> list[Fault]:
    """Return the faults that have one of these texts in their names; all for none.

    Raises:
        ConfigError: there is none such.
    """
    held = [fault for fault in FAULTS if not only or any(text in fault.name for text in only)]
    if not held:
        names = ", ".join(dict.fromkeys(fault.name for fault in FAULTS))
        raise ConfigError(f"expected --only to be part of a fault's name ({names}), got {', '.join(only)}; choose one")
    return held


def tried(
    bundle: Path, running: Running, faults: Sequence[Fault], tell: Callable[[Tried], None], *, seed: int = 0
) -> FaultsRecord:
    """Try faults one after the other, and return the record."""
    came = []
    with tempfile.TemporaryDirectory() as folder:
        bench = set_up(bundle, running, Path(folder), seed=seed)
        for fault in faults:
            came.append(try_out(fault, bench))
            tell(came[-1])
    return FaultsRecord(
        **made_now(command="python -m capgan_benchmarks.endurance.faults",
                   environment=read_conditions(threads=running.threads or num_cpus(), has_gpu=bench.has_gpu)),
        bundle=bench.identity, seed=seed, settings=running.settings, n=len(came), faults=tuple(came),
    )  # fmt: skip


def _tell(each: Tried) -> None:
    typer.echo(f"{each.outcome:9} {each.where}, {each.fault}: {each.seen} ({each.seconds:.0f} s)")


if __name__ == "__main__":
    run_script(main)
