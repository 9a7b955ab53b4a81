"""Whether a file's suspicion tells attacked frames from clean ones, from the newest records of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from capgan_benchmarks.newest_robustness import Row, line, of_most_images, percent_text, words_of
from capgan_benchmarks.robustness.record import Alarm, Detection, RobustnessRecord

_HEAD = """\
### Suspicion of {subject}

ROC-AUC of all attacked frames against the clean ones, by each system's own suspicion. Behind it, of the one that is
named (of the files that ship the one that is fooled most often without an alarm), the frames that fool it: how many of
them raise the alarm whose threshold 1 % or 5 % of the clean frames exceed, and how many of *all* attacked frames fool
it and raise none at 5 %. `stealthy` is the attack that also lowers the suspicion; no other attack here looks at it, and
a detector is worth what it holds there. Of each attack the record with the most images."""


def suspicion_section(subject: str, records: Sequence[RobustnessRecord]) -> str:
    """Return one row an attack; nothing where no detection was measured."""
    rows = [row for row in of_most_images(records) if row.cell.detections]
    if not rows:
        return ""
    names = list(dict.fromkeys(each.system for row in rows for each in row.cell.detections))
    lines = [line(["threat model", "attack", *(f"ROC-AUC, {name}" for name in names), "system",
                   "alarm at 1 %, of fooling frames", "at 5 %", "fooled without alarm, of all, at 5 %", "n"]),
             f"|{'---|' * (len(names) + 7)}"]  # fmt: skip
    lines += [_line(row, names) for row in rows]
    return "\n\n".join((_HEAD.format(subject=subject), "\n".join(lines)))


def _line(row: Row, names: Sequence[str]) -> str:
    by_name = {each.system: each for each in row.cell.detections}
    aucs = [f"{by_name[name].roc_auc:.3f}" if name in by_name else "-" for name in names]
    told = _told(row, by_name)
    return line([*words_of(row, is_size_said=True), *aucs, told.system, _of_fooling(told.at_1), _of_fooling(told.at_5),
                 percent_text(told.at_5.unnoticed), str(told.num_attacked)])  # fmt: skip


def _told(row: Row, by_name: dict[str, Detection]) -> Detection:
    """Return what is told of in full: of files that are targets, else of files, else of all, the one that is fooled
    most often without an alarm.
    """
    files = {system.name for system in row.record.systems if system.kind == "artifact"}
    choices = ([each for name, each in by_name.items() if name in files and name in row.cell.targets],
               [each for name, each in by_name.items() if name in files], list(by_name.values()))  # fmt: skip
    return max(next(each for each in choices if each), key=lambda each: each.at_5.unnoticed.num)


def _of_fooling(alarm: Alarm) -> str:
    return "none fools" if alarm.detected_of_fooling is None else percent_text(alarm.detected_of_fooling)
