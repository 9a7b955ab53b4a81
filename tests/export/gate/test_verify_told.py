"""What `capgan-edge verify` says of its own limits: laxer gates, checks that cannot fail, what it did not judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from gate_bundle import INT8, PARTS, Verify, add_engine, add_graph, manifest_of
from onnx import TensorProto, helper

import capgan_edge
from capgan_edge.cli import main
from capgan_edge.errors import ArtifactError, CheckpointError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.card_check import card_of, card_warning
from capgan_export.bundling import ARTIFACT
from capgan_export.gate import gates_file as gates_module
from capgan_export.gate.artifacts import open_artifact
from capgan_export.gate.frames import GateSet
from capgan_export.gate.power import NOTHING_TO_LOSE
from capgan_export.gate.stored import bytes_from_set
from capgan_export.gate.twin import search_twin
from capgan_export.precision.fp16 import fp16_from_fp32

FGSM, PGD = "loss of accuracy, FGSM on f", "loss of accuracy, PGD-3 on f(T(.))"
Printed = Callable[..., tuple[int, str]]


@pytest.fixture
def printed(gates_file: Path, capsys: pytest.CaptureFixture[str]) -> Printed:
    """Run the command for people, and return its exit code and what it prints."""

    def run(*words: object) -> tuple[int, str]:
        code = main(["verify", "--gates", str(gates_file), *map(str, words)], PARTS)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def test_a_card_of_the_shipped_gates_lets_an_artifact_run_and_one_of_laxer_gates_does_not(
    own_bundle: Path, verify: Verify, set_file: Path, gates_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gates that cost minutes are shipped; here others are, which cost seconds."""
    shipped = tmp_path / "shipped.toml"
    limits = gates_module.DEFAULT.read_text().partition("[limits.fp32]")[2].partition("[[attacks]]")[0]
    shipped.write_text(gates_file.read_text() + "[limits.fp32]" + limits)
    monkeypatch.setattr(gates_module, "DEFAULT", shipped)
    assert verify(own_bundle, "--adversarial", str(set_file), "--artifact", ARTIFACT)[0] == 0
    assert card_warning(manifest_of(own_bundle), ARTIFACT) is None
    with capgan_edge.load(own_bundle, backend="cpu", precision="fp32", require_card=True) as classifier:
        assert classifier.describe()["card_warning"] is None
    lax = tmp_path / "lax.toml"
    lax.write_text("[limits.fp32]\nclean_drop_points = 5")
    code = main(["verify", str(own_bundle), "--adversarial", str(set_file), "--gates", str(lax)], PARTS)
    assert code == 0
    with pytest.raises(ArtifactError, match=r"its own gates only \(lax.toml: clean_drop_points 5 for 0\)"):
        capgan_edge.load(own_bundle, backend="cpu", precision="fp32", require_card=True)


def test_it_says_at_what_each_check_would_have_failed_and_that_its_gates_are_lax(
    own_bundle: Path, printed: Printed, set_file: Path
) -> None:
    code, said = printed(own_bundle, "--adversarial", set_file, "--artifact", INT8)
    assert code == 0
    card = card_of(manifest_of(own_bundle), INT8)
    assert card is not None
    values = card.settings["would_fail_at"]
    assert isinstance(values, dict)
    assert set(values) == {"top-1 agreement, clean", "loss of accuracy, clean", FGSM, PGD}
    value = values["loss of accuracy, clean"]
    assert isinstance(value, float)
    assert value > 1.0
    assert f">= {value:.4g}" in said
    assert "laxer than the shipped gates, so that --require-card does not take it: 64 of 1000 frames clean" in said


def test_where_the_twin_has_nothing_to_lose_nothing_is_said_to_have_held(
    own_bundle: Path, printed: Printed, gate_set: GateSet, tmp_path: Path
) -> None:
    """Attacks that leave the twin nothing, as one with all knowledge may."""
    lost = [
        replace(kind, labels_N=(kind.twin_logits_NK.argmax(1) + 1) % len(gate_set.labels)) for kind in gate_set.attacked
    ]
    stored = tmp_path / "lost.npz"
    stored.write_bytes(bytes_from_set(replace(gate_set, kinds=(gate_set.clean, *lost))))
    code, said = printed(own_bundle, "--adversarial", stored, "--artifact", ARTIFACT)
    assert code == 0
    card = card_of(manifest_of(own_bundle), ARTIFACT)
    assert card is not None
    values = card.settings["would_fail_at"]
    assert isinstance(values, dict)
    assert (values[FGSM], values[PGD]) == (NOTHING_TO_LOSE, NOTHING_TO_LOSE)
    assert said.count("cannot") == 2
    assert "with an attack that could have failed, got none" in str(card_warning(manifest_of(own_bundle), ARTIFACT))


def test_the_last_line_names_what_was_not_judged(own_bundle: Path, printed: Printed, set_file: Path) -> None:
    engine = "engines/fp32-sm_86.plan"
    add_engine(own_bundle, engine.removesuffix(".plan"))
    code, said = printed(own_bundle, "--adversarial", set_file)
    assert (code, said.splitlines()[-1]) == (0, f"passed; not judged: {engine}")
    code, said = printed(own_bundle, "--adversarial", set_file, "--artifact", engine)
    assert (code, said.splitlines()[-1]) == (2, f"not judged: {engine}")


def test_the_set_is_written_neither_into_the_bundle_nor_over_a_file(
    own_bundle: Path, printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attack(*words: object) -> GateSet:
        raise AssertionError("it is refused before the attacks")

    monkeypatch.setattr("capgan_export.gate.session.set_from_twin", attack)
    before = (own_bundle / ARTIFACT).read_bytes()
    (tmp_path / "link").symlink_to(own_bundle)
    for path in (own_bundle / ARTIFACT, own_bundle / "new.npz", tmp_path / "link" / ARTIFACT):
        code, said = printed(own_bundle, "--write-adversarial", path, "--force")
        assert (code, said.count("\n")) == (2, 1)
        assert "expected a file outside the bundle" in said
    mine = tmp_path / "mine.npz"
    mine.write_text("mine")
    code, said = printed(own_bundle, "--write-adversarial", mine)
    assert (code, said.count("\n")) == (2, 1)
    assert "pass --force" in said
    code, said = printed(own_bundle, "--write-adversarial", tmp_path / "..", "--force")
    assert code == 2
    assert "got the folder" in said
    assert (mine.read_text(), (own_bundle / ARTIFACT).read_bytes()) == ("mine", before)


def test_force_replaces_a_set(
    own_bundle: Path, printed: Printed, gate_set: GateSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capgan_export.gate.session.set_from_twin", lambda *words: gate_set)
    mine = tmp_path / "mine.npz"
    mine.write_text("an old one")
    code, _said = printed(own_bundle, "--artifact", ARTIFACT, "--write-adversarial", mine, "--force")
    assert code == 0
    assert mine.read_bytes() == bytes_from_set(gate_set)


def test_why_a_pair_is_not_the_twin_is_told(
    own_bundle: Path, printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(name: str) -> None:
        raise CheckpointError(f"the weights of {name} are damaged")

    manifest = manifest_of(own_bundle)
    other = manifest.model_copy(update={"purifier": manifest.purifier.model_copy(update={"sha256": "0" * 64})})
    assert "signs-nano of the zoo: has other weights or settings" in search_twin(other).refusals
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "signs-nano").mkdir(parents=True)
    monkeypatch.setattr("capgan_edge.zoo.load", damaged)
    code, said = printed(own_bundle)
    assert (code, said.count("\n")) == (2, 1)
    assert "signs-nano of the zoo: the weights of signs-nano are damaged" in said
    assert "runs/signs-nano: " in said


def with_half(model_bytes: bytes) -> bytes:
    """Send the suspicion through FP16."""
    model = onnx.load_from_string(model_bytes)
    maker = next(node for node in model.graph.node if "suspicion" in node.output)
    maker.output[list(maker.output).index("suspicion")] = "wide"
    model.graph.node.extend([helper.make_node("Cast", ["wide"], ["half"], to=TensorProto.FLOAT16),
                             helper.make_node("Cast", ["half"], ["suspicion"], to=TensorProto.FLOAT)])  # fmt: skip
    data: bytes = model.SerializeToString()
    return data


def test_fp16_is_named_on_the_device_only_where_the_graph_has_it(own_bundle: Path) -> None:
    def device(name: str, bundle: Bundle) -> str:
        opened = open_artifact(bundle, name)
        with opened.runner:
            opened.runner(np.zeros((1, 32, 32, 3), np.uint8))
        return opened.device

    bundle = Bundle.open(own_bundle)
    assert "FP16" not in device(INT8, bundle), "its rest is in FP32"
    int8_bytes = bundle.read_file(INT8)
    add_graph(own_bundle, "model.fp16.onnx", fp16_from_fp32(bundle.read_file(ARTIFACT)).model_bytes, "fp16")
    bundle = add_graph(own_bundle, INT8, with_half(int8_bytes), "int8")
    assert device("model.fp16.onnx", bundle).endswith(", FP16 values rounded")
    assert device(INT8, bundle).endswith(", FP16 values rounded")
