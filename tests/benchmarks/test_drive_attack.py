"""The attack of the demo's drive: what is stored was made against the victim that is packaged, and making it works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from capgan_benchmarks.drive_attack import crops_of_drive, shares, store, universal_perturbations
from capgan_edge import zoo
from capgan_edge.runtime.stream.demo_drive import ATTACK_PATH, FRAMES_PER_SIGN, SIGNS_ON_ROUTE, DemoDrive


class _OneSign(DemoDrive):
    """The drive past its first sign."""

    @property
    def num_frames(self) -> int:
        return FRAMES_PER_SIGN


def test_the_stored_attack_is_of_the_packaged_victim_and_says_what_it_does() -> None:
    with np.load(ATTACK_PATH, allow_pickle=False) as stored:
        facts = json.loads(str(stored["facts"]))
        largest = np.abs(stored["perturbation_KHWC"].astype(int)).max()
    assert facts["victim_sha256"] == zoo.card("signs-nano")["victim"]["sha256"]
    assert largest <= round(255 * facts["epsilon"])
    assert facts["attacked"]["right_unpurified"] < facts["clean"]["right_unpurified"]
    assert facts["attacked"]["n"] == facts["clean"]["n"] == FRAMES_PER_SIGN * len(SIGNS_ON_ROUTE)


def test_a_few_steps_make_a_perturbation_that_lowers_the_margin_of_its_sign_alone() -> None:
    pair = zoo.load("signs-nano")
    crops_NHWC, labels_N = crops_of_drive(_OneSign(), pair.size_px)
    made = universal_perturbations(pair, crops_NHWC[::4], labels_N[::4], epsilon=8, steps=4, seed=0)
    again = universal_perturbations(pair, crops_NHWC[::4], labels_N[::4], epsilon=8, steps=4, seed=0)
    assert (made == again).all()
    label = SIGNS_ON_ROUTE[0]
    assert np.abs(made[label]).max() == 8
    assert not np.delete(made, label, axis=0).any()

    def margin(crops: np.ndarray) -> float:
        import torch

        with torch.no_grad():
            logits_NK = pair.victim(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255)
        others_NK = logits_NK.index_fill(1, torch.tensor([label]), float("-inf"))
        return float((logits_NK[:, label] - others_NK.max(dim=1).values).mean())

    attacked = np.clip(crops_NHWC.astype(int) + made[label], 0, 255).astype(np.uint8)
    assert margin(attacked) < margin(crops_NHWC) - 1


def test_shares_are_counted_on_the_drive_as_rendered_and_what_is_stored_comes_back(tmp_path: Path) -> None:
    pair = zoo.load("signs-nano")
    assert shares(pair, _OneSign())["n"] == FRAMES_PER_SIGN
    perturbation_KHWC = np.full((2, 3, 3, 3), -5, np.int8)
    store(tmp_path / "attack.npz", perturbation_KHWC, {"seed": 1})
    with np.load(tmp_path / "attack.npz", allow_pickle=False) as stored:
        assert (stored["perturbation_KHWC"] == perturbation_KHWC).all()
        assert json.loads(str(stored["facts"])) == {"seed": 1}
