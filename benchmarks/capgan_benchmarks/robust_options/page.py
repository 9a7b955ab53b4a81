"""The measured part of docs/robust-mode.md, from the newest records of the arms and of the alternative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capgan_benchmarks.newest_robustness import line
from capgan_benchmarks.packaged_weights import weights_note
from capgan_benchmarks.records import ROOT, newest_of_pairs
from capgan_benchmarks.right import right_of
from capgan_benchmarks.robust_options.adversarial_training import KIND as ALTERNATIVE
from capgan_benchmarks.robust_options.arms import GROUPS
from capgan_benchmarks.robust_options.curves import drawn
from capgan_benchmarks.robust_options.measuring import CLASS_HEAD
from capgan_benchmarks.robust_options.spent import KIND as SPENT
from capgan_benchmarks.statistics import paired_interval_points

RESULTS = ROOT / "benchmarks" / "results"
Record = Mapping[str, Any]
_READ_INTERVALS = (
    "Points are against the arm that is named without any, image by image; where their interval holds 0, no effect was "
    "seen. One seed: how far two trainings of the same arm lie apart is in none of these intervals."
)


def newest(theme: str) -> list[dict[str, Any]]:
    """Return the newest record of a theme by pair."""
    return newest_of_pairs(RESULTS, theme)


def measured_sections() -> str:
    """Return a section a group that has a record, then the alternative's; empty without records."""
    parts = [_group_section(record) for name in GROUPS for record in newest(f"robust-{name}")]
    parts += [_alternative_section(record) for record in newest(ALTERNATIVE)]
    return "\n\n".join(parts)


def _group_section(record: Record) -> str:
    what = "the class head alone" if record["is_head"] else "f(T(.))"
    if not record["is_head"] and any(_is_on_head(arm) for arm in record["arms"]):
        what = "f(T(.)) and on its class head, the worse for each image,"
    batch = next(arm["config"]["batch_size"] for arm in record["arms"] if arm["config"])
    budget = (
        f"`{record['command']} {record['group']} --pair {record['pair']}`: {record['num_images']} training images an "
        f"epoch in batches of {batch}; PGD-{record['steps']} at 8/255 on {what} with its own gradients, fp32, "
        f"{_origin(record)}."
    )
    baseline = next(arm for arm in record["arms"] if arm["name"] == record["baseline"])
    first = "width" if record["group"] == "width" else "arm"
    lines = [line([first, "what", "clean", "points", f"PGD-{record['steps']}", "points", "M MAC", "training, PFLOP"]),
             f"|{'---|' * 8}"]  # fmt: skip
    for arm in record["arms"]:
        cells = [arm["name"], arm["what"]]
        for figure, other in zip(arm["figures"], baseline["figures"], strict=True):
            cells += [_percent(figure), "" if arm is baseline else _points(figure, other)]
        macs = arm["macs"]["head"] if record["is_head"] else arm["macs"]["head"] + arm["macs"]["painter"]
        lines.append(line([*cells, f"{macs / 1e6:.1f}", _spent(arm)]))
    return "\n\n".join([f"### {record['question']}", budget, "\n".join(lines), _READ_INTERVALS, *_collapsed(record)])


def _spent(arm: Mapping[str, Any]) -> str:
    """Return the operations of an arm's training; of one with terms that are not counted, the least they can be."""
    config = arm["config"]
    if config is None:
        return "-"
    more = any(config.get(name) for name in ("gan_weight", "cycle_weight", "teacher"))
    return f"{'> ' if more else ''}{arm['pflop']:.3f}"


def _collapsed(record: Record) -> list[str]:
    names = [f"`{arm['name']}`" for arm in record["arms"] if arm["num_collapsed"]]
    return [f"Rolled back for catastrophic overfitting: {', '.join(names)}."] if names else []


def _alternative_section(record: Record) -> str:
    first, second = record["systems"]
    titles = [f"{figure['frames']}{_radius(figure)}" for figure in first["figures"]]
    header = line(["", *(each["name"] for each in (first, second)), "points, the second less the first", "n"])
    lines = [header, f"|{'---|' * 5}"]
    for title, own, other in zip(titles, first["figures"], second["figures"], strict=True):
        lines.append(line([title, _percent(own), _percent(other), _points(other, own), str(own["n"])]))
    for what, key, unit in (("training, 1e15 operations", "pflop", 1.0), ("training, seconds", "seconds", 1.0),
                            ("in use, M MAC", "macs", 1e6)):  # fmt: skip
        lines.append(line([what, *(f"{each[key] / unit:.2f}".rstrip("0").rstrip(".") for each in (first, second)),
                           "", ""]))  # fmt: skip
    return "\n\n".join(
        [
            f"### {record['pair']} beside the same classifier trained adversarially",
            f"`{record['command']} {record['pair']} RUN`; each is attacked with its own gradients"
            f"{', T also with those of its class head, the worse for each image' if _is_on_head(first) else ''}, fp32; "
            f"{_origin(record)}. Trained on attacks of {_trained_on(first)} and {_trained_on(second)}; T's weights are "
            "averaged, its gradient clipped and its best epoch by PGD-10 taken; the other's are those of its last "
            "epoch. Seconds are those that the two runs took, not always on the same machine; operations are counted "
            "in passes.",
            "\n".join(lines),
        ]
    )


def _is_on_head(system: Mapping[str, Any]) -> bool:
    """Whether the class head was attacked beside f(T(.))."""
    return any(CLASS_HEAD in figure.get("on", ()) for figure in system["figures"])


def _trained_on(system: Mapping[str, Any]) -> str:
    return f"{255 * system['config']['epsilon']:g}/255"


def _origin(record: Record) -> str:
    return (
        f"{record['data']}, n = {record['n']}, seed {record['seed']}, {record['environment']['cpu']}, "
        f"{record['date'][:10]}, code {record['code']}{weights_note(record)}"
    )


def _radius(figure: Mapping[str, Any]) -> str:
    epsilon = figure["settings"].get("epsilon")
    return "" if epsilon is None else f" at {255 * epsilon:g}/255"


def _percent(figure: Mapping[str, Any]) -> str:
    low, high = figure["interval_95"]
    return f"{figure['percent']:.1f} % [{low:.1f}, {high:.1f}]"


def _points(figure: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    own_N, other_N = right_of(figure), right_of(other)
    assert own_N is not None
    assert other_N is not None
    low, high = paired_interval_points(own_N, other_N)
    return f"{figure['percent'] - other['percent']:+.1f} [{low:+.1f}, {high:+.1f}]"


def curves_svg() -> str:
    """Return the picture of the newest records; empty without any."""
    widths, trainings = newest("robust-width"), newest(SPENT)
    return drawn(widths, trainings) if widths or trainings else ""
