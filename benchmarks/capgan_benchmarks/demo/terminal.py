"""What the demo says while it runs, and the table at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from capgan_benchmarks.demo.config import END_TO_END_NAME, FGSM_NAME, PGD_NAME
from capgan_benchmarks.demo.figures import ALONE, CLEAN, DEPLOYED
from capgan_benchmarks.demo.findings import Findings
from capgan_edge.runtime.manifest import Figure

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


class Narrator:
    """Say each step, with a progress bar where it takes long."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, line: str) -> None:
        """Print one line."""
        self.console.print(line, markup=False, highlight=False)

    @contextlib.contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar that the function given advances."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as bar:
            task = bar.add_task(title, total=total)
            yield lambda n: bar.advance(task, n)

    def conclude(self, findings: Findings, report: str) -> None:
        """Print the figures, the end-to-end line, the story and where the report is."""
        self.console.print()
        self.console.print(_accuracies(findings))
        end_to_end = findings.end_to_end
        low, high = end_to_end.interval_95 or (end_to_end.value, end_to_end.value)
        self.say(
            f"{END_TO_END_NAME} (the attacker knows the purifier): {end_to_end.value:.1f} % "
            f"({low:.1f} to {high:.1f}, n = {end_to_end.n})"
        )
        self.say(_latency(findings))
        self.console.print()
        self.say(findings.story)
        self.console.print(f"report: {report}", markup=False, highlight=False, soft_wrap=True)


def _accuracies(findings: Findings) -> Table:
    from rich.table import Table

    verdicts = {figure.name: (expectation, is_met) for expectation, figure, is_met in findings.expected}
    table = Table(title="Accuracy of the exported ONNX file, in percent")
    for name in ("", "measured", "95 % interval", "n", "expected", ""):
        table.add_column(name, justify="right" if name in ("measured", "n") else "left")
    for kind in (CLEAN, FGSM_NAME, PGD_NAME):
        for subject in ("victim", "purified"):
            figure = findings.named[f"{subject}, {kind}"]
            expected, verdict = "", ""
            if figure.name in verdicts:
                expectation, is_met = verdicts[figure.name]
                expected = f"{expectation.sense} {expectation.bound:g}"
                verdict = "[green]met[/]" if is_met else "[bold red]not met[/]"
            table.add_row(figure.name, f"{figure.value:.1f}", _interval(figure), str(figure.n), expected, verdict)
    return table


def _interval(figure: Figure) -> str:
    return "" if figure.interval_95 is None else f"{figure.interval_95[0]:.1f} to {figure.interval_95[1]:.1f}"


def _latency(findings: Findings) -> str:
    named = findings.named
    times = ", ".join(
        f"{name} {named[f'latency, {name}, p50'].value:.2f} ms (p90 {named[f'latency, {name}, p90'].value:.2f})"
        for name in (ALONE, DEPLOYED)
    )
    ratio = named["latency, ratio of medians"]
    return f"one frame: {times}; {ratio.value:.2f} times, n = {ratio.n} calls each, {findings.environment.device}"
