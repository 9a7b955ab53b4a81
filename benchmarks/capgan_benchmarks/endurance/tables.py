"""Faults and soak as Markdown: the table of README, and docs/endurance.md, from the newest records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capgan_benchmarks.endurance.answers import Tally
from capgan_benchmarks.endurance.faults_record import FaultsRecord, summary_of
from capgan_benchmarks.endurance.memory import Memory
from capgan_benchmarks.endurance.over_time import OverTime
from capgan_benchmarks.endurance.results import newest_faults, newest_soak
from capgan_benchmarks.endurance.soak_record import SoakRecord

_PAGE = """\
# Endurance

Written by `python -m capgan_benchmarks.readme` from the newest records in `benchmarks/results/`, not by hand. Every
command takes `--bundle BUNDLE`; without it the packaged pair `signs-nano` is exported anew and run.

    python -m capgan_benchmarks.endurance.soak --minutes 20    # the loop for 20 minutes, then the server for 10
    python -m capgan_benchmarks.endurance.faults

Both run `capgan-edge run` and `capgan-edge serve` as processes of their own and end with 1 where something is not as
it must be. They need Linux and the extras `cpu`, `camera`, `serve` and `train` (the packaged pair, the figure).

## How answers are checked

Signs are drawn, and the bundle is asked once, one frame at a time, what it says of each; only signs are kept whose
answers cannot be taken for one another. An answer is *right*, *mixed* (right for another question), *wrong* (right for
none), *refused* (503) or *lost*. In the video each frame shows another sign, so that a neighbour's verdict is no right
one, and a frame that has neither an event nor a place among the counted drops has vanished.

A server's load is open loop: a Poisson process asks whether or not earlier answers came, at 70 % of what a closed loop
of clients on the same machine got from it just before, and a latency runs from when its question was due. Every batch
size was asked for once before, since an engine keeps what it prepared for it, and the queue was filled once. The
capacity is measured again behind the load, and what other processes took of the machine meanwhile is told: a queue that
fills at 70 % means that one of the two changed, or that the server wastes time, and the soak is not passed where it
refuses over 1 %.

Memory is that of the process (resident). The first fifth of a run is warm-up, and is told apart. Behind it a slope is
fitted to the means of up to 20 blocks, with a 95 % interval that counts related neighbours as fewer. Memory grows where
that whole interval is above zero, the line rises by 1 MiB or more (what Python's allocator takes at once), and a
quarter of the rise or more is in the second half: what levels off is no leak. Runs under 5 minutes say nothing of
it."""


def faults_table(record: FaultsRecord | None = None, *, has_seen: bool = False) -> str:
    """Return a row for each fault of the newest record, and a line with the counts that says where it is from.

    Args:
        record: another than the newest.
        has_seen: say also what was seen.

    Raises:
        DataError: there is no record.
    """
    record = newest_faults() if record is None else record
    seen = ["what happened"] if has_seen else []
    lines = [_line(["where", "fault", "must happen", *seen, "survived"]), f"|{'---|' * (4 + len(seen))}"]
    said = {"survived": "yes", "lost": "**lost**", "not tried": "not tried"}
    for tried in record.faults:
        # what was lost or not tried says why, always
        reason = "" if has_seen or tried.outcome == "survived" else f": {tried.seen}"
        seen = [tried.seen] if has_seen else []
        lines.append(_line([tried.where, tried.fault, tried.must, *seen, said[tried.outcome] + reason]))
    return "\n".join([*lines, "", summary_of(record)])


def endurance_page() -> str:
    """Return docs/endurance.md."""
    soak, figure = newest_soak()
    return "\n\n".join([_PAGE, "## Soak", soak_section(soak, figure), "## Faults", faults_table(has_seen=True)]) + "\n"


def soak_section(record: SoakRecord, figure: Path) -> str:
    """Return what came of a soak, and its figure; `figure` lies in benchmarks/results."""
    command = " ".join((record.command, *record.arguments))
    origin = (f"`{command}`, {record.date[:10]}, code {record.code}, seed {record.seed}, {record.bundle['purifier']}, "
              f"{record.bundle['artifact']} ({record.bundle['sha256'][:12]}) by {record.bundle['backend']}, "
              f"{record.environment['cpu']}, {record.environment['num_cpus']} processors.")  # fmt: skip
    lines = [_line(["", "camera loop", "server"]), f"|{'---|' * 3}"]
    columns = (_camera_cells(record), _server_cells(record))
    lines += [_line([name, *(column.get(name, "-") for column in columns)]) for name in columns[0] | columns[1]]
    passed = f"{record.verdict[0].upper()}{record.verdict[1:]}."
    if record.problems:
        passed = f"**Not passed**: {'; '.join(record.problems)}."
    picture = f"![Frame age, latency and memory over time](../benchmarks/results/{figure.name})"
    return "\n\n".join([origin, "\n".join(lines), passed, picture])


def _camera_cells(record: SoakRecord) -> dict[str, str]:
    held = record.camera
    if held is None:
        return {}
    return {
        "minutes": f"{held.minutes:.1f}",
        "asked": f"video at {held.fps:g} frames a second",
        "used by other processes": f"{held.others_processors:.2f} processors",
        "answers": f"{held.frames} verdicts: {_said(held.verdicts)}",
        "not answered, and told": f"{held.dropped} frames dropped for newer ones",
        "vanished": f"{held.uncounted} frames, {held.missing_events} events",
        "age of a frame, or latency": _durations(held.age),
        "memory": _memory(held.memory),
        "exit code after SIGTERM": str(held.exit_code),
    }


def _server_cells(record: SoakRecord) -> dict[str, str]:
    held = record.server
    if held is None:
        return {}
    return {
        "minutes": f"{held.minutes:.1f}",
        "asked": f"{held.rate_per_s:.0f} requests/s, {held.load_percent:.0f} % of {held.capacity_per_s:.0f} "
        f"({held.capacity_after_per_s:.0f} afterwards)",
        "used by other processes": f"{held.others_processors:.2f} processors",
        "answers": f"{held.answers.asked}: {_said(held.answers)}",
        "not answered, and told": f"{held.answers.refused} requests refused with 503",
        "vanished": f"{held.answers.lost} requests",
        "age of a frame, or latency": _durations(held.latency),
        "memory": _memory(held.memory),
        "exit code after SIGTERM": str(held.exit_code),
    }


def _said(tally: Tally) -> str:
    return f"{tally.right} right, {tally.mixed} mixed, {tally.wrong} wrong, {tally.lost} lost"


def _durations(held: OverTime) -> str:
    if held.whole is None:
        return "-"
    named = {"median": held.whole.p50_ms, "p90": held.whole.p90_ms, "p99": held.whole.p99_ms,
             "p99.9": held.whole.p99_9_ms, "largest": held.whole.max_ms}  # fmt: skip
    return ", ".join(f"{name} {value:.1f} ms" for name, value in named.items() if value is not None)


def _memory(held: Memory) -> str:
    return (f"warm-up of {held.warm_up_s / 60:.1f} min {held.started_mib:.1f} to {held.first_mib:.1f} MiB, then to "
            f"{held.last_mib:.1f}, at most {held.largest_mib:.1f}; {held.slope_said}")  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
