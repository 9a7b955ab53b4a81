"""What a run tells while it goes: a progress bar for people, a CSV for later, TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from capgan_edge.files import write_atomic

SECONDS_BETWEEN_LINES = 60.0
"""Where there is no terminal for a bar, a log gets a line in this many seconds."""


class Journal:
    """Context manager around a run; silent on all processes but the first."""

    def __init__(self, run_path: Path, *, total_steps: int, done_steps: int = 0, is_silent: bool = False) -> None:
        self.csv_path = run_path / "log.csv"
        self.is_silent = is_silent
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console,
            disable=is_silent or not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("training", total=total_steps, completed=done_steps, note="")
        self._tensorboard = None if is_silent else _tensorboard_writer(run_path)
        self._console = console
        self._total_steps, self._done_steps, self._said_s = total_steps, done_steps, time.monotonic()

    def __enter__(self) -> Journal:
        self._progress.start()
        if self._done_steps >= self._total_steps and not self.is_silent:
            text = f"{self.csv_path.parent} is trained to its last epoch: nothing is left to do"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._tensorboard is not None:
            self._tensorboard.close()

    def step(self, note: dict[str, float]) -> None:
        """Advance the bar by one step and show the newest losses."""
        self._done_steps += 1
        self._progress.update(self._task, advance=1, note=_one_line(note))
        if self._progress.disable and not self.is_silent and time.monotonic() - self._said_s > SECONDS_BETWEEN_LINES:
            self._said_s = time.monotonic()
            line = f"step {self._done_steps} of {self._total_steps}  {_one_line(note)}"
            self._console.print(line, highlight=False, soft_wrap=True)

    def epoch(self, epoch: int, row: dict[str, float]) -> None:
        """Add one row to the CSV (written whole or not at all), to TensorBoard, and to the terminal."""
        if self.is_silent:
            return
        kept = self._rows_before(epoch)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(["epoch", *(key for old in kept for key in old), *row])))
        writer.writeheader()
        writer.writerows([*kept, {"epoch": epoch, **{key: f"{value:.6g}" for key, value in row.items()}}])
        write_atomic(self.csv_path, text.getvalue().encode())
        if self._tensorboard is not None:
            for key, value in row.items():
                self._tensorboard.add_scalar(key, value, epoch)
        self._console.print(f"epoch {epoch:3d}  {_one_line(row)}", highlight=False, soft_wrap=True)

    def _rows_before(self, epoch: int) -> list[dict[str, str]]:
        """A resumed run repeats the epoch that was cut off; its old row goes."""
        if not self.csv_path.exists():
            return []
        with self.csv_path.open(newline="") as file:
            return [row for row in csv.DictReader(file) if int(row["epoch"]) < epoch]


def _one_line(values: dict[str, float]) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in values.items())


def _tensorboard_writer(run_path: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run_path / "tensorboard"))
