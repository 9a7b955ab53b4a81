"""The gate attacks the class head of a purifier that has one; the gates of another leave that attack out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tiny_pair import LABELS, SIZE_PX, make_frames, make_victim, perturbed

from capgan_edge.errors import ConfigError
from capgan_edge.models.presets import preset
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
from capgan_edge.runtime.card_check import has_class_head
from capgan_edge.runtime.manifest import Manifest
from capgan_export.bundling import export_pair
from capgan_export.gate import session
from capgan_export.gate.frames import GateSet, chosen_kinds
from capgan_export.gate.gates import AttackSpec, Gates
from capgan_export.gate.gates_file import load_gates
from capgan_export.gate.session import VerifyRequest
from capgan_export.gate.strictness import laxer_than_shipped
from capgan_export.gate.twin import TwinSearch, set_from_twin
from capgan_export.parity import ParityConfig
from capgan_export.source import Source

HEAD = AttackSpec(method="pgd", on="the class head", steps=5, num_frames=32)
SHAPE = RobustPurifierConfig(ngf=2, middle_channels=4, feature_channels=6, num_blocks=1, num_classes=len(LABELS))
GATES = Gates(limits=load_gates().gates.limits, attacks=(HEAD,), num_frames=32)


def source_of(purifier: Purifier) -> Source:
    return Source(name="tiny", origin="", purifier=purifier, victim=make_victim(), labels=LABELS, size_px=SIZE_PX,
                  data="random")  # fmt: skip


@pytest.fixture(scope="module")
def robust() -> RobustPurifier:
    purifier = RobustPurifier(SHAPE)
    perturbed(purifier)
    return purifier


def manifest_of(source: Source, out: Path) -> Manifest:
    return export_pair(source.purifier, source.victim, labels=LABELS, size_px=SIZE_PX, name=source.name,
                       frames=make_frames(), out=out, parity=ParityConfig(num_frames=40)).manifest  # fmt: skip


@pytest.fixture(scope="module")
def manifest(robust: RobustPurifier, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return manifest_of(source_of(robust), tmp_path_factory.mktemp("gate") / "bundle")


@pytest.fixture(scope="module")
def held(robust: RobustPurifier, manifest: Manifest) -> GateSet:
    return set_from_twin(source_of(robust), make_frames(), manifest, GATES, lambda title, n: None)


def test_what_is_climbed_is_the_decision(robust: RobustPurifier, manifest: Manifest, held: GateSet) -> None:
    assert has_class_head(manifest)
    (attacked,) = held.attacked
    assert attacked.title == "PGD-5 on the class head"
    change = attacked.frames_NHWC.astype(int) - held.clean.frames_NHWC[: len(attacked)]
    assert np.abs(change).max() == 8

    def loss_of(frames_NHWC: np.ndarray) -> float:
        x_NCHW = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255
        logits_NK = robust.class_logits(x_NCHW)
        return float(torch.nn.functional.cross_entropy(logits_NK, torch.from_numpy(attacked.labels_N)))

    clean = held.clean.frames_NHWC[: len(attacked)]
    assert loss_of(attacked.frames_NHWC) > loss_of(clean) + 0.01


def test_a_stored_set_without_it_is_of_other_gates(held: GateSet) -> None:
    assert [kind.title for kind in chosen_kinds(held, GATES).attacked] == ["PGD-5 on the class head"]
    asked = Gates(limits=GATES.limits, attacks=(AttackSpec(method="pgd", on="the class head", steps=40),))
    with pytest.raises(ConfigError, match="one without PGD-40 on the class head"):
        chosen_kinds(held, asked)


def test_a_purifier_without_a_head_is_asked_for_no_such_attack(tmp_path: Path) -> None:
    source = source_of(Purifier(preset("nano")).eval().requires_grad_(False))
    manifest = manifest_of(source, tmp_path / "bundle")
    assert not has_class_head(manifest)
    with pytest.raises(ConfigError, match="expected a purifier of the mode robust, whose class head PGD-5"):
        set_from_twin(source, make_frames(), manifest, GATES, lambda title, n: None)
    assert GATES.fitting(has_class_head=False).attacks == ()
    assert GATES.fitting(has_class_head=True) == GATES


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "left out"])
def test_the_command_judges_by_it_and_says_on_the_card_where_it_did_not(
    is_named: bool, robust: RobustPurifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(robust)
    manifest_of(source, tmp_path / "bundle")
    monkeypatch.setattr(session, "_search", lambda request, bundle: TwinSearch(source=source))
    monkeypatch.setattr(session, "_images", lambda *words: make_frames())
    on = "the class head" if is_named else "f"
    gates = tmp_path / "gates.toml"
    gates.write_text(f'num_frames = 32\n[[attacks]]\nmethod = "pgd"\non = "{on}"\nsteps = 2\nnum_frames = 32\n')
    report = session.verified(VerifyRequest(bundle=tmp_path / "bundle", gates=gates), Console(stderr=True))
    assert report.trial is not None
    assert [kind.title for kind in report.trial.held.attacked] == [f"PGD-2 on {on}"]
    (judged,) = report.judged
    assert judged.card is not None
    laxer = judged.card.settings["laxer_than_shipped"]
    assert isinstance(laxer, list)
    assert "no PGD-40 on the class head" in laxer


def test_gates_of_ones_own_that_ask_a_purifier_without_a_head_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.toml"
    path.write_text('[[attacks]]\nmethod = "pgd"\non = "the class head"\n')
    own = session._fitting(load_gates(path), False, Console(stderr=True))
    assert own.gates.attacks == ()
    assert "the attack on it in own.toml is left out" in capsys.readouterr().err
    assert len(session._fitting(load_gates(), False, Console(stderr=True)).gates.attacks) == 3
    assert not capsys.readouterr().err, "the shipped ones are for both"


def test_a_card_of_a_robust_pair_counts_only_with_it(held: GateSet) -> None:
    gates = load_gates().gates
    with_head = laxer_than_shipped(gates, held, "int8", has_class_head=True)
    without = laxer_than_shipped(gates, held, "int8", has_class_head=False)
    assert set(with_head) - set(without) == {"no PGD-40 on the class head"}
