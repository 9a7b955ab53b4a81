"""A table as Markdown: ours with its interval, the paper's, and the difference; made from its record alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from capgan_benchmarks.paper.plan import FIGURE_5, FIGURES
from capgan_benchmarks.paper.printed import PAPERS_RULE

TITLES: Mapping[str, str] = MappingProxyType({
    "I": "Table I: transfer, gradients of another classifier",
    "II": "Table II: queries, and BPDA through the classifier",
    "III": "Table III: white-box on the classifier, the defence unknown", "IV": "Table IV: end to end",
    "V": "Table V: temperature and alpha", "VI": "Table VI: terms of the loss",
    "1": "Figure 1: pixels and logits in the plane, clean and under FGSM of f",
    "3": "Figure 3: where the purifier looks, clean and under FGSM of f",
    "5": "Figure 5: accuracy over epsilon, transfer of FGSM"})  # fmt: skip


_LIMITS = (
    "A purifier that was trained on a fixed classifier's FGSM images of one size undoes that size, from attackers who "
    "do not know it, better than others (CW's is smaller), and falls to those who do know it (Table IV); JPEG and the "
    "thermometer give no gradient, which is no defence against who needs none (Table II)."
)


def page_of(record: Mapping[str, Any]) -> str:
    """Return the table of a record, with what it was made of."""
    table = record["table"]
    body = _over_epsilon(record) if table in FIGURES else _table(record)
    left_out = f" Left out: {', '.join(record['skipped'])}." if record["skipped"] else ""
    made = (f"{record['scale']}, {record['epochs']} epochs{of_images(record)} for every defence, "
            f"victim {record['victim']}; {record['data']}, n = {record['n']} unless said, seed {record['seed']}; "
            f"{record['environment']['cpu']}, {record['date'][:10]}.{left_out} ")  # fmt: skip
    has_paper = any("paper_percent" in cell for cell in record["cells"])
    beside = "" if table in FIGURES else "Percent classified rightly [95 % interval]." if not has_paper else (
        "Percent classified rightly [95 % interval]; behind the slash the paper's, and the difference: bold where the "
        "interval does not hold the paper's figure, whose own error is not printed; the difference's interval is ours "
        "less the paper's figure.")  # fmt: skip
    if table == FIGURE_5:
        beside = "What bare lacks of 100 is the attack's success; it is FGSM alone that was run."
    parts = [f"## {TITLES[table]}", body, f"{made}{beside}".rstrip() + _rows_said(record), _LIMITS]
    return "\n\n".join(parts) + "\n"


def _rows_said(record: Mapping[str, Any]) -> str:
    """Return what the budget does not say of single rows: what is a stage of its own, how a quality was chosen."""
    said = ""
    configs = [((system.get("trained") or {}).get("config") or {}) for system in record["systems"]]
    stages = {config["semantic_epochs"] for config in configs if config.get("semantic_epochs")}
    if stages:
        num = "/".join(str(each) for each in sorted(stages))
        said += f" Of the epochs of CAP-GAN and its variants {num} {'are' if num != '1' else 'is'} the semantic stage, "
        said += "which is ours and trains T alone, by the same terms but GAN, identity and cycle."
    for system in record["systems"]:
        settings = system.get("settings") or {}
        if "quality" in settings:
            said += f" JPEG's quality is {settings['quality']}, {settings.get('rule', PAPERS_RULE)}."
    return said


def of_images(record: Mapping[str, Any]) -> str:
    """Return how many training images there were, where not all, and how many a step took, where the record says."""
    images = f" of {record['train_images']} images" if record.get("train_images") else ""
    return images + (f", {record['batch_size']} a step" if record.get("batch_size") else "")


def _table(record: Mapping[str, Any]) -> str:
    cells = record["cells"]
    columns = list(dict.fromkeys((cell["threat"], cell["attack"]) for cell in cells))
    heads = [attack if threat == attack else f"{threat}: {attack}" for threat, attack in columns]
    lines = [_line(["", *heads]), f"|{'---|' * (1 + len(columns))}"]
    for system in record["systems"]:
        own = {(cell["threat"], cell["attack"]): cell for cell in cells if cell["system"] == system["name"]}
        lines.append(_line([system["name"], *(_words(own.get(column), record["n"]) for column in columns)]))
    return "\n".join(lines)


def _over_epsilon(record: Mapping[str, Any]) -> str:
    cells = record["cells"]
    keys = list(dict.fromkeys((cell["attack"], cell["epsilon"]) for cell in cells))
    heads = ["clean" if epsilon is None else f"{attack} {round(255 * epsilon)}/255" for attack, epsilon in keys]
    lines = [_line(["", *heads]), f"|{'---|' * (1 + len(keys))}"]
    for system in record["systems"]:
        own = {(cell["attack"], cell["epsilon"]): cell for cell in cells if cell["system"] == system["name"]}
        lines.append(_line([system["name"], *(_words(own.get(key), record["n"]) for key in keys)]))
    return "\n".join(lines)


def _words(cell: Mapping[str, Any] | None, usual_n: int) -> str:
    if cell is None:
        return "-"
    low, high = cell["interval_95"]
    n = "" if cell["n"] == usual_n else f", n = {cell['n']}"
    if cell["attack"].startswith("cw") and cell["mean_l2"] is not None:
        n += f", mean L2 {cell['mean_l2']:.2f}"
    ours = f"{cell['percent']:.2f} [{low:.2f}, {high:.2f}{n}]"
    if "paper_percent" not in cell:
        return ours
    difference = f"{cell['difference_points']:+.2f}"
    is_apart = not cell["difference_95"][0] <= 0 <= cell["difference_95"][1]
    return f"{ours} / {cell['paper_percent']:.2f}, {f'**{difference}**' if is_apart else difference}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
