"""The head of the page: what was measured, what came of it for each system, and whether the self-checks hold."""

from __future__ import annotations

from capgan_benchmarks.robustness.record import RobustnessRecord, SystemIdentity, Worst
from capgan_benchmarks.robustness.report import words
from capgan_benchmarks.robustness.report.markup import NONE, definitions, text
from capgan_benchmarks.robustness.report.reading import (
    WITH_EVERYTHING,
    WITHOUT_DEFENCE,
    attacks_of,
    cells_at,
    clean_score,
    is_same,
    lowest,
    main_epsilon,
    share_of,
    survivors,
)

_COLUMNS = ("Clean", "Attacker without the defence", "Attacker end to end", "Worst of all attacks")


def head(record: RobustnessRecord) -> str:
    """Return the title, the facts and the banner."""
    data = record.data
    return (
        f'<header><p class="mark">capgan-edge benchmark robustness</p><h1>How robust is {text(record.subject)}?</h1>'
        f'<p class="lead">{_summary(record)}</p>{banner(record)}<div class="card facts">'
        + definitions((
            ("Subject", record.subject),
            ("Date", record.date.replace("T", " ")),
            ("Data", f"{data.name}: n = {data.n} of {data.num_available}, drawn with seed {data.seed}"),
            ("Devices", words.listed(list(dict.fromkeys(system.device for system in record.systems)))),
            ("Code", record.code),
            ("Tier", f"{record.tier}, seed {record.seed}, {words.plural(record.batch, 'image')} attacked at once"),
        ))
        + "</div></header>"
    )  # fmt: skip


def _summary(record: RobustnessRecord) -> str:
    """Return the figures of the system that ships (else of the first) in a sentence, the hardest first."""
    epsilon, system = main_epsilon(record), _shipped(record)
    if system is None:
        return "The record names no system."
    widest, said = _widest(record, system, epsilon), list[str]()
    if widest is not None:
        said.append(f"{text(words.percent(widest.percent, widest.n))} under all attacks within it together "
                    f"(n = {widest.n})")  # fmt: skip
    said += [f"{text(words.percent(found[1].percent, found[1].n))} {what}" for scenarios, what in (
        (WITH_EVERYTHING, "against an attacker who knows everything"),
        (WITHOUT_DEFENCE, "against one who does not know the defence"),
    ) if (found := lowest(cells_at(record, epsilon, scenarios), system.name)) is not None]  # fmt: skip
    clean = clean_score(record, system.name)
    if clean is not None:
        said.append(f"{text(words.percent(clean.percent, clean.n))} unattacked")
    if not said:
        return f"The record scores {text(system.name)} on nothing."
    return f"Right verdicts of <strong>{text(system.name)}</strong> at {_budget(epsilon)}: {words.listed(said)}."


def _shipped(record: RobustnessRecord) -> SystemIdentity | None:
    order = ("artifact", "pair", "victim")
    return min(record.systems, key=lambda system: order.index(system.kind), default=None)


def _budget(epsilon: float | None) -> str:
    return "no bound on the perturbation" if epsilon is None else f"L-infinity {words.epsilon(epsilon)}"


def banner(record: RobustnessRecord) -> str:
    """Return what the self-checks say of every figure below."""
    states = [check.state for check in record.checks]
    num_failed, num_passed, num_idle = (states.count(state) for state in ("failed", "passed", "not run"))
    idle = f" {words.plural(num_idle, 'check')} not run." if num_idle else ""
    link = ' <a href="#checks">See the self-checks.</a>'
    if num_failed:
        names = "; ".join(text(check.name) for check in record.checks if check.state == "failed")
        return (
            f'<div class="banner bad" role="alert"><strong>{words.plural(num_failed, "self-check")} failed: do not '
            f"sign these figures.</strong> The attacks here may be weaker than an attacker: {names}.{idle}{link}</div>"
        )
    if not num_passed:
        return (
            '<div class="banner note"><strong>No self-check was run.</strong> Nothing says whether these attacks find '
            f"what there is to find.{idle}{link}</div>"
        )
    return (
        f'<div class="banner good"><strong>{num_passed} of {num_passed} self-checks that were run passed:</strong> '
        f"they found no sign that these figures are too good.{idle}{link}</div>"
    )


def strip(record: RobustnessRecord) -> str:
    """Return four large figures a system, all of one size."""
    epsilon = main_epsilon(record)
    rows = "".join(_system(record, system, epsilon) for system in record.systems)
    heads = "".join(f"<span>{name}</span>" for name in _COLUMNS)
    return (
        f'<section id="verdict"><h2>The verdict at {_budget(epsilon)}</h2><p>Right verdicts in percent with 95 % '
        "Wilson intervals. An attacker <em>without the defence</em> makes gradients of classifier or surrogate, "
        "<em>end to end</em> of defence and classifier together. <em>Worst</em> counts an image only if it is right "
        'clean and under every attack of this budget or a smaller one.</p><div class="strip">'
        f'<div class="heads" aria-hidden="true"><span></span>{heads}</div>{rows}</div></section>'
    )


def _system(record: RobustnessRecord, system: SystemIdentity, epsilon: float | None) -> str:
    clean, is_victim = clean_score(record, system.name), system.kind == "victim"
    parts = [
        _large(_COLUMNS[0], "clean", clean.percent, clean.interval_95, clean.n, "no attack")
        if clean else _none(_COLUMNS[0], "not scored"),
        _lowest(record, system, epsilon, 1, WITHOUT_DEFENCE),
        _none(_COLUMNS[2], "it has no defence to know") if is_victim
        else _lowest(record, system, epsilon, 2, WITH_EVERYTHING),
        _worst(record, system, epsilon),
    ]  # fmt: skip
    kind = {"victim": "no defence", "pair": "purifier and classifier in torch", "artifact": "the file that ships"}
    return (
        f'<div class="card system"><h3>{text(system.name)}<small>{kind[system.kind]}, {text(system.precision)}</small>'
        f"</h3>{''.join(parts)}</div>"
    )


def _lowest(
    record: RobustnessRecord, system: SystemIdentity, epsilon: float | None, column: int, scenarios: tuple[str, ...]
) -> str:
    found = lowest(cells_at(record, epsilon, scenarios), system.name)
    if found is None:
        return _none(_COLUMNS[column], "not run")
    cell, score = found
    return _large(_COLUMNS[column], "attacked", score.percent, score.interval_95, score.n, cell.title)


def _worst(record: RobustnessRecord, system: SystemIdentity, epsilon: float | None) -> str:
    widest = _widest(record, system, epsilon)
    if widest is not None:
        said = f"{words.plural(len(widest.attacks), 'attack')} in {words.plural(len(widest.scenarios), 'threat model')}"
        return _large(_COLUMNS[3], "attacked", widest.percent, widest.interval_95, widest.n, said)
    if epsilon is not None:
        return _none(_COLUMNS[3], "not attacked")
    cells = cells_at(record, epsilon)  # without a bound: a record has no worst case of these
    surviving_N = survivors(record, cells, system.name)
    if surviving_N is None:
        return _none(_COLUMNS[3], "not attacked")
    share = share_of(surviving_N)
    said = words.plural(len(attacks_of(cells)), "attack")
    return _large(_COLUMNS[3], "attacked", share.percent, share.interval_95, share.n, said)


def _widest(record: RobustnessRecord, system: SystemIdentity, epsilon: float | None) -> Worst | None:
    """Return a system's worst case over most threat models."""
    held = [worst for worst in record.worst if worst.system == system.name and is_same(worst.epsilon, epsilon)]
    return max(held, key=lambda worst: (len(worst.scenarios), len(worst.attacks)), default=None)


def _large(column: str, kind: str, value: float, ends: tuple[float, float], n: int, said: str) -> str:
    low, high = ends
    place = f"--v:{value:.2f}%;--lo:{low:.2f}%;--span:{high - low:.2f}%"
    return (
        f'<div class="large"><small class="what">{column}</small><b>{text(words.percent(value, n))}</b>'
        f'<i class="gauge {kind}" style="{place}"></i><small>{words.interval(ends, n)}, '
        f'<span class="whole">n = {n}</span></small>'
        f"<small>{text(said)}</small></div>"
    )


def _none(column: str, why: str) -> str:
    return f'<div class="large none"><small class="what">{column}</small><b>{NONE}</b><small>{text(why)}</small></div>'
