"""On how many frames the precisions of a bundle label differently, from the newest records of the benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from capgan_benchmarks.newest_robustness import Row, line, of_most_images, percent_text, words_of
from capgan_benchmarks.robustness.record import Flips, RobustnessRecord

_HEAD = """\
### Precisions of {subject}, apart

Frames that a file labels otherwise than the FP32 file; those that one of them alone gets right; McNemar's exact p that
neither is right more often (not corrected for the number of rows). AutoAttack, Square and SPSA stop as soon as the one
file that they ask is fooled: in their rows a difference says what carries over to the other file, and not that this
one is more robust. Of each attack the record with the most images."""


def precisions_apart_section(subject: str, records: Sequence[RobustnessRecord]) -> str:
    """Return one row an attack and a pair of files; nothing where no two were compared."""
    found = [(row, flips) for row in of_most_images(records) for flips in _against_fp32(row.record)
             if _is_of(flips, row)]  # fmt: skip
    if not found:
        return ""
    lines = [line(["threat model", "attack", "file", "against", "labels differ", "it alone right", "the other alone",
                   "p", "n"]), f"|{'---|' * 9}"]  # fmt: skip
    lines += [line([*words_of(row, is_size_said=True), each.other, each.reference, percent_text(each),
                    str(each.num_only_other_right), str(each.num_only_reference_right), f"{each.p_value:.2g}",
                    str(each.n)]) for row, each in found]  # fmt: skip
    return "\n\n".join((_HEAD.format(subject=subject), "\n".join(lines)))


def _against_fp32(record: RobustnessRecord) -> list[Flips]:
    precise = {system.name for system in record.systems if system.precision == "fp32"}
    return [flips for flips in record.flips if flips.reference in precise]


def _is_of(flips: Flips, row: Row) -> bool:
    cell = row.cell
    return (flips.scenario, flips.attack, flips.epsilon) == (cell.scenario, cell.attack, cell.epsilon)
