"""What a benchmark says while it runs, on stderr: the plan, how far it is, and how long it still takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.pace import Pace
from capgan_benchmarks.robustness.planning import Job, Plan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Watch:
    """Told of every batch; says how long is left: once the first is, once every attack was, and beside the bar."""

    def __init__(self, jobs: Sequence[Job], console: Console, bar: Progress, task: TaskID) -> None:
        self._jobs, self._console, self._bar, self._task = jobs, console, bar, task
        self._pace, self._index, self._estimates = Pace(jobs=jobs), 0, set[bool]()

    def start(self, index: int) -> None:
        """Begin a job."""
        self._index = index
        self._bar.update(self._task, description=f"{index + 1}/{len(self._jobs)} {self._jobs[index].title}")

    def note(self, num_images: int, seconds: float | None) -> None:
        """Take down a batch of the job; seconds None where it came from the cache."""
        self._pace.note(self._index, num_images, seconds)
        left = f"{self._pace.left_text} left" if self._pace.is_known else ""
        self._bar.update(self._task, advance=num_images, left=left)
        if self._pace.left_s and self._pace.is_measured not in self._estimates:
            by = "a batch of each attack" if self._pace.is_measured else "the attacks timed so far"
            self._estimates.add(self._pace.is_measured)
            say(self._console, f"by {by}, attacks take {self._pace.left_text} more")

    def end(self, seconds: float, num_made: int) -> None:
        """Say that a job is done, `num_made` of its images now and the others from the cache."""
        job = self._jobs[self._index]
        kept = job.n - num_made
        how = f"{seconds:.1f} s" + (f" when it was made, {kept} of {job.n} from the cache" if kept else "")
        left = f"; {self._pace.left_text} left" if self._pace.is_known else ""
        say(self._console, f"[{self._index + 1}/{len(self._jobs)}] {job.title}, n={job.n}: {how}{left}")


@contextlib.contextmanager
def watching(jobs: Sequence[Job], console: Console) -> Iterator[Watch]:
    """Show a bar over all images of all jobs, where a person looks on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("attacks", total=sum(job.n for job in jobs), left="")
        yield Watch(jobs, console, bar, task)


def say_plan(plan: Plan, systems: Sequence[str], console: Console) -> None:
    """Print what will be run, one line a threat model, and what will not."""
    say(console, f"scored: {', '.join(systems)}")
    for scenario in dict.fromkeys(job.scenario for job in plan.jobs):
        own = [job for job in plan.jobs if job.scenario == scenario]
        attacks = ", ".join(dict.fromkeys(f"{job.attack} (n={job.n})" for job in own))
        places = "".join(dict.fromkeys(f" on {job.artifact}" for job in own if job.artifact is not None))
        say(console, f"{scenario}: {attacks}{places}: {len(own)} cell{'' if len(own) == 1 else 's'}")
    for each in plan.not_tested:
        say(console, f"not tested: {each.what}: {each.why}")


def say(console: Console, line: str) -> None:
    """Print one line as it is."""
    console.print(line, markup=False, highlight=False)
