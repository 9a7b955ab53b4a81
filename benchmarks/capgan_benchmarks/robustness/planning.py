"""Which attacks are run in which threat model, at which epsilon, on how many images; and what is not run, with why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgan_benchmarks.robustness import attack_menu
from capgan_benchmarks.robustness.config import LEVELS, RobustnessConfig, epsilon_text
from capgan_benchmarks.robustness.fitting import (
    ARTIFACT_QUERY,
    MADE_ON_ANOTHER,
    OF_ARTIFACTS,
    OF_ONE_ARTIFACT,
    OUTPUTS_ALONE,
    QUERY,
    STEALTHY,
    TRANSFERRED,
)
from capgan_benchmarks.robustness.record import NotTested
from capgan_benchmarks.robustness.systems import PAIR, VICTIM
from capgan_benchmarks.threats.catalogue import THREATS
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_benchmarks.robustness.subject import Subject

USUAL_EPSILON = 8 / LEVELS


@dataclass(frozen=True, kw_only=True, slots=True)
class TierPlan:
    """What a tier runs where nothing else is asked for."""

    n: int | None
    """Images; None is all."""
    epsilons: tuple[float, ...]
    swept: frozenset[str]
    """Attacks that are run at every epsilon; the others at 8/255."""
    attacks: Mapping[str, tuple[str, ...]]
    """Of each threat model."""


def _levels(*levels: int) -> tuple[float, ...]:
    return tuple(level / LEVELS for level in levels)


_PAPERS_TABLES = {
    "transfer": ("fgsm", "mi-fgsm", "pgd-7", "pgd-40", "cw"),
    "white-box-victim": ("fgsm", "mi-fgsm", "pgd-7", "pgd-40", "cw"),
    "bpda": ("pgd-40",),
    "query": ("spsa-1", "spsa", "square", "square-r5"),
    "end-to-end": ("fgsm", "mi-fgsm", "pgd-7", "pgd-40"),
    "class-head": ("pgd-40",),
    "stealthy": ("pgd-40",),
    "artifact-transfer": ("fgsm", "pgd-40"),
    "artifact-query": ("square-1000",),
    "artifact-fake-quant": ("pgd-40",),
}
TIERS: Mapping[str, TierPlan] = {
    "quick": TierPlan(n=200, epsilons=_levels(4, 8, 16), swept=frozenset({"fgsm", "pgd-7"}), attacks={
        "transfer": ("fgsm", "pgd-7"), "white-box-victim": ("fgsm", "pgd-7"), "bpda": ("pgd-7",), "query": ("square",),
        "end-to-end": ("fgsm", "pgd-7"), "class-head": ("pgd-7",), "stealthy": ("pgd-40",),
        "artifact-transfer": ("pgd-7",), "artifact-query": ("square",), "artifact-fake-quant": ("pgd-7",)}),
    "paper": TierPlan(n=None, epsilons=_levels(4, 8, 12, 16, 32), swept=frozenset({"fgsm", "pgd-40"}),
                      attacks=_PAPERS_TABLES),
    "standard": TierPlan(n=None, epsilons=_levels(4, 8, 12, 16, 32), swept=frozenset({"fgsm", "pgd-40"}), attacks={
        **_PAPERS_TABLES, "end-to-end": (*_PAPERS_TABLES["end-to-end"], "autoattack")}),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One attack of one threat model at one epsilon: a cell of the record to be."""

    scenario: str
    attack: str
    """As the menu calls it."""
    epsilon: float | None
    n: int
    artifact: str | None
    """On which it is crafted, where a threat model is crafted on one."""
    passes: float
    """About how many passes of the model an image takes."""

    @property
    def title(self) -> str:
        """For people."""
        bound = "" if self.epsilon is None else f" {epsilon_text(self.epsilon)}"
        return f"{self.scenario}: {self.attack}{bound}{'' if self.artifact is None else f' on {self.artifact}'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that will be run, and what will not."""

    jobs: tuple[Job, ...]
    not_tested: tuple[NotTested, ...]


def num_images(config: RobustnessConfig) -> int | None:
    """Return how many images are attacked: those asked for, or the tier's; None is all."""
    return TIERS[config.tier].n if config.n is None else config.n


def plan(config: RobustnessConfig, subject: Subject, n: int) -> Plan:
    """Return the jobs of a benchmark on n images.

    Raises:
        ConfigError: what was asked for by name does not apply; the message says what would work.
    """
    attacks = attack_menu.distinct(config.attacks, config.tier)  # two cells of one attack could not be told apart
    tier, jobs = TIERS[config.tier], list[Job]()
    not_tested = [NotTested(what=name, why=why) for name, why in subject.left_out.items()]
    for name in (threat.name for threat in THREATS):
        if config.scenarios and name not in config.scenarios:
            not_tested.append(NotTested(what=name, why="not among the threat models asked for"))
            continue
        for artifact in _artifacts_of(subject, name):
            what = name if artifact is None else f"{name} on {artifact}"
            if why := subject.why_not(name, artifact):
                if config.scenarios and not _applies_anywhere(subject, name):
                    raise ConfigError(f"{name} expected something else than {subject.name}: {why}")
                not_tested.append(NotTested(what=what, why=why))
                continue
            for attack in attacks or tier.attacks.get(name, ()):
                if why := _why_not_attack(name, attack, subject):
                    not_tested.append(NotTested(what=f"{attack} in {what}", why=why))
                    continue
                for job in _jobs(config, name, attack, artifact, n):
                    if why := _why_not_epsilon(job):
                        not_tested.append(NotTested(what=f"{attack} at {epsilon_text(job.epsilon)} in {what}", why=why))
                    else:
                        jobs.append(job)
    unique = tuple({(each.what, each.why): each for each in not_tested}.values())
    _require_what_was_named((*config.scenarios, *attacks), jobs, subject, unique)
    return Plan(jobs=tuple(jobs), not_tested=(*unique, *_untried(jobs, config.tier, tuple(subject.artifacts))))


def targets_of(job: Job, subject: Subject) -> tuple[str, ...]:
    """Return the systems that a job's threat model is about."""
    if job.scenario in OF_ONE_ARTIFACT:
        assert job.artifact is not None
        return (job.artifact,)
    if job.scenario in OF_ARTIFACTS:
        return tuple(subject.artifacts)
    return (PAIR, VICTIM) if job.scenario == "white-box-victim" else (PAIR,)


def _artifacts_of(subject: Subject, scenario: str) -> Sequence[str | None]:
    return tuple(subject.artifacts) if scenario in OF_ONE_ARTIFACT else (None,)


def _applies_anywhere(subject: Subject, scenario: str) -> bool:
    return any(subject.why_not(scenario, artifact) is None for artifact in _artifacts_of(subject, scenario))


def _jobs(config: RobustnessConfig, scenario: str, attack: str, artifact: str | None, n: int) -> Iterator[Job]:
    tier = TIERS[config.tier]
    epsilons: Sequence[float | None] = config.epsilons or (
        tier.epsilons if attack in tier.swept and not config.attacks else (USUAL_EPSILON,)
    )
    if not attack_menu.has_epsilon(attack):
        epsilons = (None,)
    for epsilon in epsilons:
        yield Job(scenario=scenario, attack=attack, epsilon=epsilon, n=attack_menu.most_images(attack, n),
                  artifact=artifact, passes=attack_menu.passes_of(attack, config.tier))  # fmt: skip


def _why_not_attack(scenario: str, attack: str, subject: Subject) -> str | None:
    """Return why an attack cannot be run in a threat model that applies, and what can."""
    if scenario == ARTIFACT_QUERY and not attack_menu.is_square(attack):
        return "the file takes 8-bit frames and gives outputs alone; square works here"
    if scenario in OUTPUTS_ALONE and attack_menu.needs_gradients(attack):
        return "it needs gradients, and there are outputs alone; square and spsa work here"
    if scenario in MADE_ON_ANOTHER and attack_menu.stops_at_boundary(attack, is_transferred=scenario in TRANSFERRED):
        return ("it leaves an image as soon as that fools the model it is made on, and so says next to nothing of "
                "another; pgd-40, mi-fgsm and cw work here")  # fmt: skip
    if scenario == STEALTHY and attack_menu.kind_of(attack) != "PGD":
        return "it does not see the suspicion; pgd-7, pgd-40 or another pgd-N works here"
    fewest = attack_menu.fewest_classes(attack)
    if len(subject.labels) < fewest:
        return f"it needs {fewest} classes or more, and {subject.name} has {len(subject.labels)}"
    return None


def _why_not_epsilon(job: Job) -> str | None:
    """Return why an attack that fits a threat model cannot be run at an epsilon, and at which it can."""
    if job.scenario == ARTIFACT_QUERY and job.epsilon == 0:
        return "its queries are 8-bit frames of another level, and within epsilon 0 there is none; 1/255 and more work"
    return None


def _require_what_was_named(
    names: Sequence[str], jobs: Sequence[Job], subject: Subject, not_tested: Sequence[NotTested]
) -> None:
    """Raise where a threat model or an attack that was named is in no job."""
    ran = {job.scenario for job in jobs}, {job.attack for job in jobs}
    for name in names:
        if name in ran[0] or name in ran[1]:
            continue
        whys = [each.why for each in not_tested if each.what.startswith(f"{name} ") or each.what.endswith(f" {name}")
                or f" {name} on " in each.what]  # fmt: skip
        works = "" if subject.pair is not None and subject.pair.has_gradients else (
            f"; {subject.name} has no gradients: use {ARTIFACT_QUERY}{'' if subject.pair is None else f' or {QUERY}'} "
            "with square")  # fmt: skip
        why = "; ".join(dict.fromkeys(whys)) or "no threat model of this run takes it"
        raise ConfigError(f"expected {name} to fit what is benchmarked, but: {why}{works}")


def _untried(jobs: Sequence[Job], tier: str, artifacts: Sequence[str]) -> tuple[NotTested, ...]:
    """Return what no job of this run says anything about."""
    found = [NotTested(what="perturbations other than small ones of each pixel",
                       why="patches, rotations, blur, weather and prints on paper are other threats; none is in the "
                       "menu of attacks")]  # fmt: skip
    if not any(attack_menu.is_autoattack(job.attack, tier) for job in jobs):
        is_short = any(attack_menu.is_autoattack(job.attack, tier, is_standard=False) for job in jobs)
        found.append(NotTested(what="AutoAttack", why=f"{'only a shortened one' if is_short else 'not'} in this run; "
                               "--tier standard has it, or --attacks autoattack-100"))  # fmt: skip
    if not any(job.scenario == STEALTHY for job in jobs):
        found.append(NotTested(what="the detector under attack", why="no job of stealthy in this run, so detection was "
                               "measured on images that do not hide from it"))  # fmt: skip
    elif artifacts:
        found.append(NotTested(what=f"the suspicion of {', '.join(artifacts)} under attack", why="stealthy is crafted "
                               "on the torch pair alone: what a file's own suspicion holds is measured by transfer "
                               "from there"))  # fmt: skip
    return tuple(found)
