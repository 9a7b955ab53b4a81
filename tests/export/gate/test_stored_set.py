"""The stored adversarial set: the same after a round trip, and refused where it is anything else than one."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from capgan_edge.data.signs import load_signs
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_export.gate.frames import GateSet, JudgedFrames, chosen_kinds, require_fit
from capgan_export.gate.gates import AttackSpec, Gates
from capgan_export.gate.gates_file import load_gates
from capgan_export.gate.stored import bytes_from_set, set_from_bytes


def made_by_hand() -> GateSet:
    rng = np.random.default_rng(0)
    attack = AttackSpec(method="pgd", on="f(T(.))", steps=3, epsilon=4 / 255)
    kinds = [
        JudgedFrames(attack=spec, frames_NHWC=rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8),
                     labels_N=rng.integers(0, 2, n), twin_logits_NK=rng.normal(size=(n, 2)).astype(np.float32))
        for spec, n in ((None, 5), (attack, 3))
    ]  # fmt: skip
    return GateSet(data="noise", seed=3, labels=("stop", "go"), purifier_sha256="a" * 64, victim_sha256="b" * 64,
                   twin="nothing", kinds=tuple(kinds))  # fmt: skip


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(held: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return file.getvalue()


def with_array(held: dict[str, bytes], name: str, array: np.ndarray) -> dict[str, bytes]:
    """Put another array in, with its right hash: only its kind gives it away."""
    from capgan_edge.files import sha256_of_bytes

    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype == object)
    index = json.loads(held["set.json"])
    number, what = name.removesuffix(".npy").split("/")
    index["kinds"][int(number)]["sha256"][what] = sha256_of_bytes(file.getvalue())
    return held | {name: file.getvalue(), "set.json": json.dumps(index).encode()}


def with_index(held: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    return held | {"set.json": json.dumps(json.loads(held["set.json"]) | changes).encode()}


def test_a_set_is_the_same_after_a_round_trip(gate_set: GateSet) -> None:
    for held in (made_by_hand(), gate_set):
        data = bytes_from_set(held)
        again = set_from_bytes(data, "it")
        assert bytes_from_set(again) == data
        assert (again.data, again.seed, again.labels, again.twin) == (held.data, held.seed, held.labels, held.twin)
        for kind, before in zip(again.kinds, held.kinds, strict=True):
            assert kind.attack == before.attack
            np.testing.assert_array_equal(kind.frames_NHWC, before.frames_NHWC)
            np.testing.assert_array_equal(kind.labels_N, before.labels_N)
            np.testing.assert_array_equal(kind.twin_logits_NK, before.twin_logits_NK)


def test_numpy_reads_it_without_pickle() -> None:
    held = made_by_hand()
    with np.load(io.BytesIO(bytes_from_set(held)), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["1/frames"], held.attacked[0].frames_NHWC)


class Bad(NamedTuple):
    name: str
    change: Callable[[dict[str, bytes]], bytes]
    says: str


def flipped(held: dict[str, bytes]) -> bytes:
    data = bytearray(held["1/frames.npy"])
    data[-1] ^= 1
    return zipped(held | {"1/frames.npy": bytes(data)})


def huge(held: dict[str, bytes]) -> bytes:
    """An array that says it is of 2^50 frames."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 4, 4, 3)})
    whole = with_array(held, "0/frames.npy", np.zeros((5, 4, 4, 3), np.uint8))
    index = json.loads(whole["set.json"])
    from capgan_edge.files import sha256_of_bytes

    index["kinds"][0]["sha256"]["frames"] = sha256_of_bytes(file.getvalue())
    return zipped(whole | {"0/frames.npy": file.getvalue(), "set.json": json.dumps(index).encode()})


BAD = [
    Bad("no zip", lambda held: b"not a zip", "not a zip"),
    Bad("cut off", lambda held: zipped(held)[:400], "not a zip"),
    Bad("no index", lambda held: zipped({k: v for k, v in held.items() if k != "set.json"}), "set.json"),
    Bad("no array", lambda held: zipped({k: v for k, v in held.items() if k != "1/labels.npy"}), "1/labels.npy"),
    Bad("a changed byte", flipped, "SHA-256 is not the one on record"),
    Bad("compressed", lambda held: zipped(held, zipfile.ZIP_DEFLATED), "a member is compressed"),
    Bad(
        "a pickle", lambda held: zipped(with_array(held, "1/labels.npy", np.array([{}] * 3))), "1/labels.npy is object"
    ),
    Bad(
        "floats for frames", lambda held: zipped(with_array(held, "0/frames.npy", np.zeros((5, 4, 4, 3)))), "is float64"
    ),
    Bad("longer than it is", huge, "not as long as it says"),
    Bad(
        "too few labels",
        lambda held: zipped(with_array(held, "0/labels.npy", np.zeros(4, np.int64))),
        "the arrays of clean do not fit",
    ),
    Bad(
        "a label too high",
        lambda held: zipped(with_array(held, "0/labels.npy", np.full(5, 2))),
        "a label of clean is none of the 2 classes",
    ),
    Bad(
        "logits of more classes",
        lambda held: zipped(with_array(held, "1/logits.npy", np.zeros((3, 9), np.float32))),
        "do not fit together",
    ),
    Bad(
        "a twin that says NaN",
        lambda held: zipped(with_array(held, "0/logits.npy", np.full((5, 2), np.nan, np.float32))),
        "not finite",
    ),
    Bad("a newer version", lambda held: zipped(with_index(held, version=2)), "version"),
    Bad("an unknown field", lambda held: zipped(with_index(held, answer=42)), "answer"),
    Bad("no kinds", lambda held: zipped(with_index(held, kinds=[])), "kinds"),
    Bad(
        "clean twice",
        lambda held: zipped(with_index(held, kinds=2 * json.loads(held["set.json"])["kinds"][:1])),
        "SHA-256 is not the one on record",
    ),
    Bad(
        "an unknown attack",
        lambda held: zipped(
            with_index(held, kinds=[k | {"attack": {"method": "cw", "on": "f"}} for k in _kinds(held)])
        ),
        "method of an attack",
    ),
    Bad(
        "nothing clean",
        lambda held: zipped(
            with_index(held, kinds=[k | {"attack": {"method": "fgsm", "on": "f"}} for k in _kinds(held)])
        ),
        "expected the clean frames first",
    ),
]


def _kinds(held: dict[str, bytes]) -> list[dict[str, object]]:
    kinds: list[dict[str, object]] = json.loads(held["set.json"])["kinds"]
    return kinds


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_no_set_is_refused_in_one_line(case: Bad) -> None:
    data = case.change(members(bytes_from_set(made_by_hand())))
    with pytest.raises(ArtifactError) as caught:
        set_from_bytes(data, "it")
    assert str(caught.value).startswith("it: expected a stored adversarial set, but: ")
    assert case.says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["purifier_sha256", "victim_sha256"])
def test_a_set_of_another_pair_is_refused(field: str, signs_bundle: Bundle, gate_set: GateSet) -> None:
    require_fit(gate_set, signs_bundle.manifest)
    other = dataclasses.replace(gate_set, **{field: "0" * 64})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"this bundle's own pair, with the (purifier|victim)"):
        require_fit(other, signs_bundle.manifest)


def test_a_set_lacks_no_attack_that_the_gates_ask_for(gate_set: GateSet) -> None:
    limits = load_gates().gates.limits
    wanted = Gates(limits=limits, attacks=(AttackSpec(method="pgd", on="f(T(.))", steps=3, num_frames=9_999),))
    assert [kind.title for kind in chosen_kinds(gate_set, wanted).kinds] == ["clean", "PGD-3 on f(T(.))"]
    for attack in (
        AttackSpec(method="pgd", on="f(T(.))", steps=40),
        AttackSpec(method="pgd", on="f", steps=3),
        AttackSpec(method="pgd", on="f(T(.))", steps=3, epsilon=16 / 255),
    ):
        with pytest.raises(ConfigError, match="got one without PGD"):
            chosen_kinds(gate_set, Gates(limits=limits, attacks=(attack,)))


def test_attacked_frames_are_within_epsilon_of_clean_ones_and_fool_the_twin_more(gate_set: GateSet) -> None:
    signs = load_signs("test", size_px=32, n=96).take(64, seed=0)
    np.testing.assert_array_equal(gate_set.clean.frames_NHWC, signs.images_NHWC)
    accuracy = {}
    for kind in gate_set.kinds:
        distances = np.abs(kind.frames_NHWC[:, None].astype(int) - gate_set.clean.frames_NHWC[None].astype(int))
        assert (distances.max(axis=(2, 3, 4)).min(axis=1) <= 8).all(), "8/255, rounded to 8 bits"
        accuracy[kind.title] = (kind.twin_logits_NK.argmax(1) == kind.labels_N).mean()
    assert accuracy["PGD-3 on f(T(.))"] < accuracy["clean"] - 0.1
