"""What a plan runs, on how many images, and what it says of the rest; what was named and does not apply is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from capgan_benchmarks.robustness.config import RobustnessConfig
from capgan_benchmarks.robustness.pair import pair_from_source
from capgan_benchmarks.robustness.planning import Job, Plan, plan, targets_of
from capgan_benchmarks.robustness.running import attack_of, cell_name
from capgan_benchmarks.robustness.subject import FP32, Subject, find_subject
from capgan_benchmarks.robustness.systems import PAIR, VICTIM
from capgan_benchmarks.threats.catalogue import THREATS
from capgan_edge.attacks import APGDCE
from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.models.purifier import Purifier
from capgan_export.gate.twin import is_twin

INT8 = "model.int8.onnx"
EVERY = {threat.name for threat in THREATS}
EPSILON = 8 / 255


def planned(subject: Subject, n: int = 5000, **options: Any) -> Plan:
    return plan(RobustnessConfig(subject="signs", **options), subject, n)


def whys(found: Plan) -> dict[str, str]:
    return {each.what: each.why for each in found.not_tested}


def test_a_bundle_with_its_pair_is_put_through_every_threat_model(subject: Subject) -> None:
    for tier in ("quick", "paper", "standard"):
        found = planned(subject, tier=tier)
        assert {job.scenario for job in found.jobs} | _without_surrogate(subject) == EVERY - {"class-head"}
        assert "it decides no class by itself" in whys(found)["class-head"], "its purifier has no class head"


def _without_surrogate(subject: Subject) -> set[str]:
    return set() if subject.surrogate is not None else {"transfer"}


def test_slow_attacks_have_their_own_n_and_fast_ones_every_image(subject: Subject) -> None:
    jobs = planned(subject, tier="standard").jobs
    numbers = {job.attack: job.n for job in jobs}
    assert [numbers[name] for name in ("fgsm", "pgd-40", "autoattack", "square", "spsa")] == [
        5000, 5000, 1000, 1000, 256]  # fmt: skip
    assert {job.n for job in planned(subject, 32, tier="standard").jobs} == {32}


def test_cw_has_no_epsilon_and_the_others_all_that_were_asked_for(subject: Subject) -> None:
    jobs = planned(subject, attacks=("cw", "pgd-7"), scenarios=("white-box-victim",), epsilons=(0.01, 0.02)).jobs
    assert [(job.attack, job.epsilon) for job in jobs] == [("cw", None), ("pgd-7", 0.01), ("pgd-7", 0.02)]


def test_what_is_crafted_on_one_artifact_is_run_for_each(subject: Subject) -> None:
    jobs = planned(subject, scenarios=("artifact-query",), attacks=("square-10",), epsilons=(EPSILON,)).jobs
    assert [job.artifact for job in jobs] == [FP32, INT8]
    assert [targets_of(job, subject) for job in jobs] == [(FP32,), (INT8,)]


class Aimed(NamedTuple):
    scenario: str
    targets: tuple[str, ...]


AIMED = [Aimed("end-to-end", (PAIR,)), Aimed("white-box-victim", (PAIR, VICTIM)), Aimed("bpda", (PAIR,)),
         Aimed("artifact-transfer", (FP32, INT8))]  # fmt: skip


@pytest.mark.parametrize("case", AIMED, ids=lambda case: case.scenario)
def test_a_threat_model_is_about_its_own_systems(subject: Subject, case: Aimed) -> None:
    job = Job(scenario=case.scenario, attack="fgsm", epsilon=EPSILON, n=1, artifact=None, passes=3)
    assert targets_of(job, subject) == case.targets


STOPPING = ("apgd-t", "fab-t", "autoattack", "square-20", "spsa-1")


@pytest.mark.parametrize("scenario", ["white-box-victim", "artifact-transfer"])
def test_an_attack_that_stops_at_its_models_boundary_is_not_shown_to_another(subject: Subject, scenario: str) -> None:
    found = planned(subject, scenarios=(scenario, "end-to-end"), attacks=("pgd-7", *STOPPING), epsilons=(EPSILON,))
    assert [job.attack for job in found.jobs if job.scenario == scenario] == ["pgd-7"]
    for name in STOPPING:
        assert "leaves an image as soon as" in whys(found)[f"{name} in {scenario}"]
    with pytest.raises(ConfigError, match="pgd-40, mi-fgsm and cw work here"):
        planned(subject, scenarios=(scenario,), attacks=STOPPING[:1], epsilons=(EPSILON,))


def test_an_attack_goes_on_past_the_boundary_where_it_is_meant_for_another(subject: Subject) -> None:
    config = RobustnessConfig(subject="signs", attacks=("apgd-ce",), epsilons=(EPSILON,),
                              scenarios=("white-box-victim", "end-to-end"))  # fmt: skip
    jobs = plan(config, subject, 8).jobs
    assert {job.scenario: attack_of(job, config) for job in jobs} == {
        "white-box-victim": APGDCE(epsilon=EPSILON, steps=20, stops_early=False),
        "end-to-end": APGDCE(epsilon=EPSILON, steps=20)}  # fmt: skip


def test_every_name_of_pgd_can_be_stealthy(subject: Subject) -> None:
    found = planned(subject, scenarios=("stealthy",), attacks=("pgd", "pgd-7"), epsilons=(EPSILON,))
    assert [job.attack for job in found.jobs] == ["pgd", "pgd-7"]


def test_what_a_tier_cannot_run_is_told_with_the_reason(subject: Subject, lone_subject: Subject) -> None:
    told = whys(planned(subject))
    assert "needs an INT8 graph" in told[f"artifact-fake-quant on {FP32}"]
    told = whys(planned(lone_subject))
    for name in EVERY - {"artifact-query", "artifact-fake-quant"}:
        assert "torch pair" in told[name], name
        assert "other weights" in told[name], name
    assert "AutoAttack" in told
    assert "the detector under attack" in told


class Run(NamedTuple):
    name: str
    options: dict[str, Any]
    why: str | None


RUN = [
    Run("none", {"attacks": ("pgd-7",)}, "not in this run"),
    Run("quick", {"attacks": ("autoattack",)}, "only a shortened one"),
    Run("quick at full length", {"attacks": ("autoattack-100",)}, None),
    Run("shorter by name", {"attacks": ("autoattack-99",), "tier": "standard"}, "only a shortened one"),
    Run("standard", {"attacks": ("autoattack",), "tier": "standard"}, None),
]


@pytest.mark.parametrize("case", RUN, ids=lambda case: case.name)
def test_autoattack_is_tested_where_its_settings_are_the_standard_s(subject: Subject, case: Run) -> None:
    why = whys(planned(subject, scenarios=("end-to-end",), **case.options)).get("AutoAttack")
    assert why is None if case.why is None else why is not None and why.startswith(case.why)


def test_the_suspicion_of_files_is_told_as_attacked_by_transfer_alone(subject: Subject) -> None:
    told = whys(planned(subject, scenarios=("stealthy",)))
    assert "by transfer" in told[f"the suspicion of {FP32}, {INT8} under attack"]
    assert "the detector under attack" not in told
    assert not any("the suspicion of" in what for what in whys(planned(subject, scenarios=("bpda",))))


def test_what_was_not_asked_for_is_told(subject: Subject) -> None:
    told = whys(planned(subject, scenarios=("bpda",)))
    assert {name for name in EVERY if told.get(name) == "not among the threat models asked for"} == EVERY - {"bpda"}


def test_a_named_attack_is_run_where_it_can_be_and_told_where_not(subject: Subject) -> None:
    found = planned(subject, scenarios=("end-to-end", "query", "stealthy"), attacks=("pgd-7", "square"))
    assert {(job.scenario, job.attack) for job in found.jobs} == {
        ("end-to-end", "pgd-7"), ("end-to-end", "square"), ("query", "square"), ("stealthy", "pgd-7")}  # fmt: skip
    assert "square and spsa work here" in whys(found)["pgd-7 in query"]
    assert "pgd-N works here" in whys(found)["square in stealthy"]


class Refused(NamedTuple):
    name: str
    options: dict[str, Any]
    message: str
    is_lone: bool = False


REFUSED = [
    Refused("unknown attack", {"attacks": ("deepfool",)}, "attack among fgsm.*got 'deepfool'"),
    Refused("gradients of outputs", {"scenarios": ("query",), "attacks": ("pgd-7",)}, "square and spsa work here"),
    Refused("file and no square", {"scenarios": ("artifact-query",), "attacks": ("spsa",)}, "square works here"),
    Refused("blind to suspicion", {"scenarios": ("stealthy",), "attacks": ("fgsm",)}, "pgd-7, pgd-40"),
    Refused("no pair, scenario", {"scenarios": ("end-to-end",)}, "artifact-query needs the file alone", is_lone=True),
    Refused("no pair, attack", {"attacks": ("pgd-40",)}, "no gradients: use artifact-query with square", is_lone=True),
    Refused("no INT8", {"scenarios": ("artifact-fake-quant",)}, "needs an INT8 graph", is_lone=True),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_was_named_and_does_not_apply_is_refused_with_what_would(
    subject: Subject, lone_subject: Subject, case: Refused
) -> None:
    with pytest.raises(ConfigError, match=case.message) as caught:
        planned(lone_subject if case.is_lone else subject, **case.options)
    assert "\n" not in str(caught.value)


def test_a_classifier_without_gradients_is_attacked_by_its_outputs(subject: Subject) -> None:
    assert subject.pair is not None
    blind = replace(subject, pair=replace(subject.pair, has_gradients=False))
    with pytest.raises(ConfigError, match="query and artifact-query need outputs alone"):
        planned(blind, scenarios=("bpda",))
    with pytest.raises(ConfigError, match="use artifact-query or query with square"):
        planned(blind, scenarios=("query",), attacks=("pgd-40",))
    assert {"query", "artifact-query"} <= {job.scenario for job in planned(blind).jobs}
    assert "ONNX file that does not convert" in whys(planned(blind))["end-to-end"]


def test_targeted_attacks_need_four_classes(subject: Subject) -> None:
    few = replace(subject, labels=subject.labels[:3])
    for name in ("autoattack", "autoattack-100", "apgd-t", "apgd-t-20"):
        with pytest.raises(ConfigError, match="needs 4 classes or more"):
            planned(few, scenarios=("end-to-end",), attacks=(name,))


def test_an_attack_that_is_named_twice_by_other_lengths_of_the_same_is_run_once(subject: Subject) -> None:
    names = ("square", "square-200", "fgsm", "square-r5", "square-100", "pgd-40")
    jobs = planned(subject, scenarios=("end-to-end",), attacks=names).jobs
    assert [job.attack for job in jobs] == ["square", "fgsm", "square-r5", "square-100", "pgd-40"]
    config = RobustnessConfig(subject="signs")
    assert len({(cell_name(job, config), job.epsilon) for job in jobs}) == len(jobs)
    assert len(planned(subject, scenarios=("end-to-end",), attacks=names, tier="paper").jobs) == len(names)


def test_a_query_to_a_file_within_epsilon_0_is_told_as_not_run_and_stops_nothing(subject: Subject) -> None:
    found = planned(subject, scenarios=("artifact-query",), attacks=("square-10",), epsilons=(0.0, EPSILON))
    assert [(job.artifact, job.epsilon) for job in found.jobs] == [(FP32, EPSILON), (INT8, EPSILON)]
    assert "1/255 and more work" in whys(found)[f"square-10 at 0/255 in artifact-query on {INT8}"]
    with pytest.raises(ConfigError, match=r"artifact-query to fit.*1/255 and more work"):
        planned(subject, scenarios=("artifact-query",), attacks=("square-10",), epsilons=(0.0,))


def test_transfer_without_a_surrogate_says_how_to_train_one(subject: Subject) -> None:
    with pytest.raises(ConfigError, match=r"train victim --seed 1.*--surrogate"):
        planned(replace(subject, surrogate=None), scenarios=("transfer",))


class Unfound(NamedTuple):
    name: str
    options: dict[str, Any]
    message: str


UNFOUND = [
    Unfound("no such thing", {"spec": "nothing-here"}, "zoo .*got 'nothing-here'"),
    Unfound("no such artifact", {"artifacts": ("model.int4.onnx",)}, "artifact of the bundle, .*got 'model.int4.onnx'"),
    Unfound("another pair", {"against": "cifar10-nano"}, "other weights"),
    Unfound("a pair beside its own", {"spec": "signs-nano", "against": "signs-nano"}, "leave it out"),
    Unfound("an artifact of a pair", {"spec": "signs-nano", "artifacts": (INT8,)}, f"expected {FP32}, .*got '{INT8}'"),
]


@pytest.mark.parametrize("case", UNFOUND, ids=lambda case: case.name)
def test_a_subject_that_is_not_there_is_refused_in_one_line(subject: Subject, case: Unfound) -> None:
    assert subject.bundle is not None
    with pytest.raises(CapganError, match=case.message) as caught:
        find_subject(**{"spec": str(subject.bundle.path), **case.options})
    assert "\n" not in str(caught.value)


def test_a_surrogate_beside_no_pair_is_refused_and_not_ignored(lone_subject: Subject, tmp_path: Path) -> None:
    assert lone_subject.bundle is not None
    with pytest.raises(ConfigError, match=r"whose pair is not at hand; name the run .*--against"):
        find_subject(str(lone_subject.bundle.path), data="signs", surrogate=tmp_path)


def test_a_pair_of_the_same_weights_and_other_settings_is_another_pair(subject: Subject) -> None:
    source = subject.source
    assert source is not None
    assert subject.bundle is not None
    assert subject.pair is not None
    config = replace(source.purifier.config, output="direct")
    assert config != source.purifier.config
    direct = Purifier(config).eval()
    direct.load_state_dict(source.purifier.state_dict())
    other = replace(source, purifier=direct)
    assert pair_from_source(other).sha256 != subject.pair.sha256 == pair_from_source(source).sha256
    assert is_twin(source, subject.bundle.manifest)
    assert not is_twin(other, subject.bundle.manifest)


def test_a_bundle_without_its_pair_needs_images_to_be_named(lone_subject: Subject) -> None:
    assert lone_subject.bundle is not None
    with pytest.raises(ConfigError, match="name them with --data"):
        find_subject(str(lone_subject.bundle.path))
