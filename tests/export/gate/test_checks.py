"""Each check on verdicts made by hand: what passes, what fails, and which check it is that does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from capgan_edge.runtime.runner import Outputs
from capgan_export.gate.artifacts import Opened, Said, run_set
from capgan_export.gate.checks import checks_of
from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates import AttackSpec, Limits

N, K = 200, 4
LIMITS = Limits(max_abs_logits=0.1, cosine=0.99, top1_agreement=0.98, clean_drop_points=1.0, attacked_drop_points=2.0)
ATTACK = AttackSpec(method="pgd", on="f", steps=7)


def logits_of(labels_N: np.ndarray) -> np.ndarray:
    return (10 * np.eye(K)[labels_N]).astype(np.float32)


def kind(attack: AttackSpec | None, num_wrong: int) -> JudgedFrames:
    labels_N = np.arange(N) % K
    said_N = np.where(np.arange(N) < num_wrong, (labels_N + 1) % K, labels_N)
    return JudgedFrames(attack=attack, frames_NHWC=np.zeros((N, 2, 2, 3), np.uint8), labels_N=labels_N,
                        twin_logits_NK=logits_of(said_N))  # fmt: skip


HELD = GateSet(data="made by hand", seed=0, labels=tuple("abcd"), purifier_sha256="a" * 64, victim_sha256="b" * 64,
               twin="made by hand", kinds=(kind(None, 0), kind(ATTACK, 100)))  # fmt: skip


def as_twin() -> list[Said]:
    return [Said(logits_NK=k.twin_logits_NK.copy(), suspicion_N=np.full(N, 0.5, np.float32)) for k in HELD.kinds]


def failed(said: list[Said]) -> list[str]:
    return [check.name for check in checks_of(HELD, said, LIMITS) if not check.passed]


def test_the_twin_itself_passes_everything() -> None:
    checks = checks_of(HELD, as_twin(), LIMITS)
    assert [check.kind for check in checks] == ["numeric", "numeric", "numeric", "task", "task", "robustness"]
    assert all(check.passed for check in checks)
    assert [check.value for check in checks] == [0, 0, 1, 100, 0, 0]


class Change(NamedTuple):
    name: str
    frames: slice
    on: int
    """Index of the kind of frames."""
    fails: list[str]


CHANGES = [
    Change("two clean frames lost are luck", slice(0, 2), 0, []),
    Change("twelve are not", slice(0, 12), 0, ["top-1 agreement, clean", "loss of accuracy, clean"]),
    Change("three attacked frames lost are luck", slice(100, 103), 1, []),
    Change("twenty are not", slice(100, 120), 1, ["loss of accuracy, PGD-7 on f"]),
    Change("attacked frames that were lost anyway cost nothing", slice(0, 100), 1, []),
]


@pytest.mark.parametrize("case", CHANGES, ids=lambda case: case.name)
def test_a_loss_fails_where_it_is_no_luck(case: Change) -> None:
    said = as_twin()
    lost_NK = said[case.on].logits_NK
    lost_NK[case.frames] = np.roll(lost_NK[case.frames], 2, axis=1)
    numeric = ("logits, largest difference", "logits, mean cosine")
    assert [name for name in failed(said) if name not in numeric] == case.fails


def test_logits_that_are_off_fail_the_numeric_checks_while_the_labels_stay() -> None:
    said = as_twin()
    said[0].logits_NK[3] *= 1.2
    assert failed(said) == ["logits, largest difference"]
    for told in said:
        told.logits_NK[:] += 3
    assert failed(said) == ["logits, largest difference", "logits, mean cosine"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_fails_and_nothing_else_is_said(value: float) -> None:
    said = as_twin()
    said[1].logits_NK[7, 2] = value
    (check,) = checks_of(HELD, said, LIMITS)
    assert (check.name, check.value, check.n, check.passed) == ("not finite", 1, 2 * N, False)


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.1])
def test_so_does_a_suspicion_that_is_none(value: float) -> None:
    said = as_twin()
    said[0].suspicion_N[0] = value
    assert failed(said) == ["not finite"]


class Echo:
    """A runner whose logits are the frames' first pixels; it takes so many frames at once and no others."""

    def __init__(self, fewest: int, most: int) -> None:
        self.fewest, self.most, self.sizes = fewest, most, list[int]()
        self._logits_NK = np.empty((most, 3), np.float32)

    def __call__(self, frames_NHWC: np.ndarray) -> Outputs:
        n = len(frames_NHWC)
        assert self.fewest <= n <= self.most
        self.sizes.append(n)
        self._logits_NK[:n] = frames_NHWC[:, 0, 0]
        return Outputs(logits_NK=self._logits_NK[:n], suspicion_N=self._logits_NK[:n, 0])

    def close(self) -> None: ...

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def test_an_engine_gets_batches_within_its_profile_and_every_frame_is_counted_once() -> None:
    rng = np.random.default_rng(0)
    frames_NHWC = rng.integers(0, 256, (21, 2, 2, 3), dtype=np.uint8)
    one = JudgedFrames(attack=None, frames_NHWC=frames_NHWC, labels_N=np.zeros(21, np.int64),
                       twin_logits_NK=np.zeros((21, 3), np.float32))  # fmt: skip
    held = GateSet(data="noise", seed=0, labels=("a",), purifier_sha256="", victim_sha256="", twin="", kinds=(one,))
    runner, counted = Echo(4, 8), []
    (said,) = run_set(Opened(runner=runner, device="a double", batch_range=(4, 8)), held, counted.append)
    assert runner.sizes == [8, 8, 5]
    assert sum(counted) == 21
    np.testing.assert_array_equal(said.logits_NK, frames_NHWC[:, 0, 0])
    runner = Echo(8, 8)
    (said,) = run_set(Opened(runner=runner, device="a double", batch_range=(8, 8)), held, counted.append)
    assert runner.sizes == [8, 8, 8], "the last one filled up"
    np.testing.assert_array_equal(said.logits_NK, frames_NHWC[:, 0, 0])
