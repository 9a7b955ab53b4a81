"""One call of `benchmark paper`: what is asked for is checked, run or priced, and told."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from capgan_benchmarks.paper.plan import PaperConfig
from capgan_benchmarks.paper.running import costs_of, run_paper
from capgan_edge.allocator import keep_freed_memory

if TYPE_CHECKING:
    from rich.console import Console

    from capgan_benchmarks.paper.cells import Done
    from capgan_benchmarks.paper.costs import Cost


def run_command(config: PaperConfig, *, is_dry: bool, is_json: bool) -> None:
    """Run the recipes, or say what they will cost.

    Raises:
        CapganError: data, victim or a run does not fit, or there is no attack of a name that is to be left out.
    """
    import torch
    from rich.console import Console

    keep_freed_memory()
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    console = Console(stderr=True, soft_wrap=True)
    if is_dry:
        costs = list(costs_of(config))
        sys.stdout.write(json.dumps([_plain(cost) for cost in costs], indent=2) + "\n" if is_json else _table(costs))
        return
    written = run_paper(config, lambda line: console.print(line, markup=False, highlight=False),
                        lambda: _attacking(console))  # fmt: skip
    if is_json:
        records = [json.loads(path.read_text()) for path in written]
        sys.stdout.write(json.dumps(records, indent=2, allow_nan=False) + "\n")
        return
    for path in written:
        sys.stdout.write(path.with_suffix(".md").read_text() + "\n")


@contextlib.contextmanager
def _attacking(console: Console) -> Iterator[Done]:
    """Show which attack is on, and how many images of it are done."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    with Progress(TextColumn("{task.description}"), TextColumn("{task.completed:.0f} images"), TimeElapsedColumn(),
                  console=console, transient=True) as bar:  # fmt: skip
        task, titles = bar.add_task("attacking"), [""]

        def done(title: str, num: int, seconds: float | None) -> None:
            if title != titles[-1]:
                titles.append(title)
                bar.reset(task, description=title)
            bar.update(task, advance=num)

        yield done


def _plain(cost: Cost) -> dict[str, object]:
    return {**asdict(cost), "hours": cost.hours}


def _table(costs: Sequence[Cost]) -> str:
    lines = [f"{'':48} {'images':>9} {'PFLOP':>10} {'images/s':>9} {'hours':>8}"]
    for cost in costs:
        lines.append(f"{cost.what:48} {cost.images:9} {cost.pflop:10.4f} {cost.images_per_s:9.2f} {cost.hours:8.2f}")
    total = sum(cost.pflop for cost in costs), sum(cost.hours for cost in costs)
    lines.append(f"{'in all, attacks without stopping early':48} {'':9} {total[0]:10.4f} {'':9} {total[1]:8.2f}")
    return "\n".join(lines) + "\n"
