"""Gates from TOML: the shipped ones, a user's file over them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.card import CardCheck
from capgan_export.gate.artifacts import Said
from capgan_export.gate.checks import checks_of
from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates import AttackSpec, Limits
from capgan_export.gate.gates_file import load_gates


def test_the_shipped_gates_attack_the_classifier_alone_and_both_together() -> None:
    gates = load_gates().gates
    assert [attack.title for attack in gates.attacks] == [
        "FGSM on f", "PGD-40 on f", "PGD-40 on f(T(.))", "PGD-40 on the class head"]  # fmt: skip
    assert {attack.epsilon for attack in gates.attacks} == {8 / 255}
    assert (
        gates.limits["fp32"].max_abs_logits < gates.limits["fp16"].max_abs_logits < gates.limits["int8"].max_abs_logits
    )


def test_a_users_file_is_laid_over_the_shipped_one_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('num_frames = 40\n[limits.int8]\nclean_drop_points = 3\n[[attacks]]\nmethod = "fgsm"\non = "f"\n')
    read, shipped = load_gates(path), load_gates()
    assert read.gates.num_frames == 40
    assert read.gates.limits["int8"].clean_drop_points == 3
    assert read.gates.limits["int8"].cosine == shipped.gates.limits["int8"].cosine
    assert read.gates.limits["fp16"] == shipped.gates.limits["fp16"]
    assert read.gates.attacks == (AttackSpec(method="fgsm", on="f"),), "attacks are replaced, not added to"
    assert (read.name, read.sha256 != shipped.sha256) == ("mine.toml", True)


def test_attacks_may_be_left_out_altogether(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    path.write_text("attacks = []")
    assert load_gates(path).gates.attacks == ()


class Bad(NamedTuple):
    name: str
    text: str
    says: str


FGSM = '[[attacks]]\nmethod = "fgsm"\non = "f"\n'
BAD = [
    Bad("not TOML", "limits = = 3", "expected TOML"),
    Bad("unknown key", "epsilon = 0.1", "got 'epsilon'"),
    Bad("unknown limit", "[limits.int8]\naccuracy = 0.9", "limits.int8: expected only"),
    Bad("unknown precision", "[limits.int4]\ncosine = 0.9", "got 'int4'"),
    Bad("limits are no table", "limits = 3", "expected [limits.fp32]"),
    Bad("agreement in percent", "[limits.fp32]\ntop1_agreement = 99.9", "top1_agreement is a finite number in [0, 1]"),
    Bad("negative drop", "[limits.fp16]\nclean_drop_points = -1", "clean_drop_points"),
    Bad("NaN", "[limits.fp16]\nmax_abs_logits = nan", "max_abs_logits"),
    Bad("infinity", "[limits.fp16]\nmax_abs_logits = inf", "max_abs_logits"),
    Bad("text for a number", '[limits.fp16]\ncosine = "high"', "expected cosine as float, got 'high'"),
    Bad("true for a number", "num_frames = true", "expected num_frames as int"),
    Bad("too few frames", "num_frames = 8", "num_frames is a finite number of at least 32"),
    Bad("part of a frame", "num_frames = 64.5", "expected num_frames as int"),
    Bad("negative seed", "seed = -1", "seed"),
    Bad("attacks are no tables", "attacks = ['fgsm']", "expected attacks as [[attacks]]"),
    Bad("an attack without its gradient", '[[attacks]]\nmethod = "fgsm"', "expected on, got none"),
    Bad("unknown attack", '[[attacks]]\nmethod = "cw"\non = "f"', "method of an attack is one of fgsm, pgd"),
    Bad(
        "unknown gradient",
        '[[attacks]]\nmethod = "pgd"\non = "T"',
        "on of an attack is one of f, f(T(.)), the class head",
    ),
    Bad("epsilon in levels", FGSM + "epsilon = 8", "epsilon of an attack"),
    Bad("no epsilon at all", FGSM + "epsilon = 0.0", "epsilon of an attack is above 0"),
    Bad("fgsm in steps", FGSM + "steps = 4", "steps of an attack"),
    Bad("twice the same", FGSM + FGSM, "named twice"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_bad_gates_are_refused_in_one_line_that_names_file_and_key(case: Bad, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(case.text)
    with pytest.raises(ConfigError) as caught:
        load_gates(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count(path.name) == 1
    assert case.says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected gates"):
        load_gates(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="expected gates"):
        load_gates(tmp_path)


class Size(NamedTuple):
    name: str
    num_frames: int
    found_points: float
    """Above the limit."""


SIZES = [
    Size("as many frames as clean ones", load_gates().gates.num_frames, 3),
    Size("as many as the dearest attack gets", min(a.num_frames for a in load_gates().gates.attacks), 5),
]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_the_shipped_gates_find_a_loss_and_spare_a_graph_that_is_as_good(size: Size, precision: str) -> None:
    """A graph that decides 2 % of the frames differently, both ways alike, against one that loses some more of them."""
    limits = load_gates().gates.limits[precision]
    rng = np.random.default_rng(0)

    def share_failed(points: float) -> float:
        lost, won = 0.01 + points / 100, 0.01
        tables = rng.multinomial(size.num_frames, (0.9 - lost, lost, won, 0.1 - won), size=1000)
        return float(np.mean([not _check(table, limits).passed for table in tables]))

    assert share_failed(0) < 0.03
    assert share_failed(limits.clean_drop_points + size.found_points) > 0.9


def _check(table: NDArray[np.int64], limits: Limits) -> CardCheck:
    """Return the check of clean accuracy on frames of which so many are right in both, the twin, the graph, neither."""
    in_both, in_twin, in_own, _ = table
    order_N = np.arange(table.sum())
    is_right_in_twin_N = order_N < in_both + in_twin
    is_right_in_own_N = (order_N < in_both) | ((order_N >= in_both + in_twin) & (order_N < in_both + in_twin + in_own))
    labels_N = np.zeros(len(order_N), np.int64)
    frames_NHWC = np.zeros((len(order_N), 1, 1, 3), np.uint8)
    kind = JudgedFrames(attack=None, frames_NHWC=frames_NHWC, labels_N=labels_N,
                        twin_logits_NK=np.eye(2, dtype=np.float32)[1 - is_right_in_twin_N])  # fmt: skip
    held = GateSet(data="", seed=0, labels=("a", "b"), purifier_sha256="", victim_sha256="", twin="", kinds=(kind,))
    said = Said(
        logits_NK=np.eye(2, dtype=np.float32)[1 - is_right_in_own_N], suspicion_N=np.zeros(len(order_N), np.float32)
    )
    return next(check for check in checks_of(held, [said], limits) if check.name == "loss of accuracy, clean")
