"""The group `benchmark`: what is measured of what ships."""

from __future__ import annotations

import typer

from capgan_benchmarks.latency.command import cold_start, goals, latency, pareto, profile
from capgan_benchmarks.paper.command import paper
from capgan_benchmarks.robustness.command import robustness
from capgan_benchmarks.training_command import training

app = typer.Typer()
benchmark = typer.Typer(no_args_is_help=True)
app.add_typer(benchmark, name="benchmark", help="Measure what ships: how robust, how fast.")
benchmark.command()(robustness)
benchmark.command()(latency)
benchmark.command()(pareto)
benchmark.command()(profile)
benchmark.command()(cold_start)
benchmark.command()(goals)
benchmark.command()(training)
benchmark.command()(paper)


@benchmark.callback()
def _group() -> None:
    """Measure what ships: how robust, how fast."""
