"""The verdict on one artifact: its checks, the card, the threshold of its suspicion, and the figures beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any, Literal

from pydantic import JsonValue

from capgan_edge.errors import CapganError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.backends import BF16
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card import RobustnessCard, SuspicionThreshold
from capgan_edge.runtime.card_check import FAILS_AT, LAXER, ONNX_RUNTIME, RUNTIME, TENSORRT
from capgan_edge.runtime.manifest import Figure
from capgan_export.gate.artifacts import Said, open_artifact, precision_of, run_set, runtime_of_artifact
from capgan_export.gate.checks import checks_of, is_right
from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates_file import ReadGates
from capgan_export.gate.power import failing_values
from capgan_export.gate.statistics import wilson_interval
from capgan_export.gate.stored import bytes_from_set
from capgan_export.gate.strictness import laxer_than_shipped
from capgan_export.gate.threshold import tuned_threshold

MADE_BY = "capgan-edge verify"
"""Marks the figures that a later `verify` replaces."""
Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What every artifact of a bundle is put through."""

    held: GateSet
    set_sha256: str
    """Names frames, labels and the twin's answers exactly."""
    gates: ReadGates
    false_alarms: float
    """Share of clean frames above the threshold that is asked for, in (0, 1)."""
    runtime: str = ONNX_RUNTIME
    """What computes the graphs, as cards call it."""
    has_class_head: bool = False
    """Whether the purifier has one to be attacked."""
    allow_host_code: bool = False
    """Whether the code that a version-compatible engine brings along may run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What came of one artifact."""

    artifact: str
    sha256: str
    precision: str
    runtime: str
    """What computed it, as cards call it."""
    verdict: Literal["passed", "failed", "not made"]
    reason: str = ""
    """Why there is no card."""
    card: RobustnessCard | None = None
    threshold: SuspicionThreshold | None = None
    untuned: str = ""
    """Why there is no threshold."""
    figures: tuple[Figure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        names = ("artifact", "sha256", "precision", "runtime", "verdict", "reason", "untuned")
        plain = {name: getattr(self, name) for name in names}
        return {
            **plain,
            "card": None if self.card is None else self.card.model_dump(mode="json"),
            "threshold": None if self.threshold is None else self.threshold.model_dump(mode="json"),
            "figures": [figure.model_dump(mode="json") for figure in self.figures],
        }


def trial_of(
    held: GateSet,
    gates: ReadGates,
    false_alarms: float,
    runtime: str = ONNX_RUNTIME,
    *,
    has_class_head: bool = False,
    allow_host_code: bool = False,
) -> Trial:
    """Bind a set to its hash."""
    return Trial(held=held, set_sha256=sha256_of_bytes(bytes_from_set(held)), gates=gates, false_alarms=false_alarms,
                 runtime=runtime, has_class_head=has_class_head, allow_host_code=allow_host_code)  # fmt: skip


def judge(bundle: Bundle, name: str, trial: Trial, advance: Advance) -> Judged:
    """Run one artifact on every frame of the trial and hold it to the gates of its precision.

    What does not load on this machine is not judged; what loads and then does not run has failed.
    """
    precision = precision_of(bundle.manifest, name, trial.runtime)
    runtime = runtime_of_artifact(bundle.manifest, name, trial.runtime)
    facts: dict[str, Any] = {"artifact": name, "sha256": bundle.manifest.files[name].sha256, "precision": precision,
                             "runtime": runtime}  # fmt: skip
    try:
        opened = open_artifact(bundle, name, trial.runtime, allow_host_code=trial.allow_host_code)
    except CapganError as error:
        return Judged(**facts, verdict="not made", reason=str(error))
    try:
        with opened.runner:
            said = run_set(opened, trial.held, advance)
    except CapganError as error:
        return Judged(**facts, verdict="failed", reason=str(error))
    limited = "fp16" if precision == BF16 else precision
    checks = checks_of(trial.held, said, trial.gates.gates.limits[limited])
    passed = all(check.passed for check in checks)
    card = RobustnessCard(
        artifact=name,
        artifact_sha256=facts["sha256"],
        against=trial.held.twin,
        against_sha256=trial.set_sha256,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        data=trial.held.data,
        seed=trial.held.seed,
        device=opened.device,
        settings={RUNTIME: runtime, **_settings(trial, limited, said if checks[0].passed else None)},
        checks=checks,
        passed=passed,
    )
    threshold, untuned = None, "its outputs are not finite"
    if checks[0].passed:
        threshold, untuned = _threshold(card, said[0], trial, runtime)
    figures = _figures(card, said, trial, threshold) if checks[0].passed else ()
    return Judged(**facts, verdict="passed" if passed else "failed", card=card, threshold=threshold, untuned=untuned,
                  figures=figures)  # fmt: skip


def _settings(trial: Trial, precision: str, said: Sequence[Said] | None) -> dict[str, JsonValue]:
    """Return what the card is to be read with; `said` is None where it is not finite, and fails for that alone."""
    gates = trial.gates.gates
    values = {} if said is None else failing_values(trial.held, said, gates.limits[precision])
    return {
        "gates": trial.gates.name,
        "gates_sha256": trial.gates.sha256,
        "purifier_sha256": trial.held.purifier_sha256,
        "victim_sha256": trial.held.victim_sha256,
        "attacks": [_attack_settings(kind) for kind in trial.held.attacked],
        "rule": "a loss fails above its limit where its 95 % interval excludes 0, agreement where all of its is below",
        LAXER: list(laxer_than_shipped(gates, trial.held, precision, has_class_head=trial.has_class_head)),
        FAILS_AT: dict(values),
    }


def _attack_settings(kind: JudgedFrames) -> dict[str, JsonValue]:
    """Return what a figure says of its attack."""
    assert kind.attack is not None
    return {"title": kind.title, **asdict(kind.attack), "num_frames": len(kind), "norm": "linf", "label": "true",
            "gradient": "the FP32 twin's", "rounded_to_bits": 8}  # fmt: skip


def _threshold(card: RobustnessCard, clean: Said, trial: Trial, runtime: str) -> tuple[SuspicionThreshold | None, str]:
    try:
        tuned = tuned_threshold(clean.suspicion_N, false_alarms=trial.false_alarms, seed=trial.held.seed)
    except ConfigError as error:
        return None, str(error)
    return SuspicionThreshold(
        artifact=card.artifact,
        artifact_sha256=card.artifact_sha256,
        threshold=tuned.threshold,
        false_alarm_rate=trial.false_alarms,
        measured_rate=tuned.measured_rate,
        n=tuned.n,
        seed=trial.held.seed,
        data=trial.held.data,
        runtime=runtime,
    ), ""


def _figures(
    card: RobustnessCard, said: Sequence[Said], trial: Trial, threshold: SuspicionThreshold | None
) -> tuple[Figure, ...]:
    """Return accuracy on every kind of frames, the twin's beside it, and how many attacked frames raise an alarm."""
    figures = []
    for kind, told in zip(trial.held.kinds, said, strict=True):
        settings = {} if kind.attack is None else _attack_settings(kind)
        n = len(kind)
        twin = int(is_right(kind.twin_logits_NK, kind.labels_N).sum())
        own = int(is_right(told.logits_NK, kind.labels_N).sum())
        figures.append(_figure(card, f"accuracy, {kind.title}", own, n, settings | {"twin_percent": 100 * twin / n}))
        if threshold is not None and kind.attack is not None:
            alarms = int((told.suspicion_N > threshold.threshold).sum())
            above = settings | {"threshold": threshold.threshold, "false_alarm_rate": threshold.false_alarm_rate}
            figures.append(_figure(card, f"detected, {kind.title}", alarms, n, above))
    return tuple(figures)


def _figure(card: RobustnessCard, name: str, num: int, n: int, settings: dict[str, JsonValue]) -> Figure:
    low, high = wilson_interval(num, n)
    runtime = card.settings[RUNTIME]
    bound: dict[str, JsonValue] = {"made_by": MADE_BY, "artifact": card.artifact,
                                   "artifact_sha256": card.artifact_sha256, RUNTIME: runtime}  # fmt: skip
    where = "" if runtime in (ONNX_RUNTIME, TENSORRT) else f", {runtime}"
    return Figure(name=f"{name}, {card.artifact}{where}", value=100 * num / n, unit="%", n=n, seed=card.seed,
                  settings=bound | settings, data=card.data, device=card.device,
                  interval_95=(100 * low, 100 * high))  # fmt: skip
