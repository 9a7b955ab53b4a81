"""The catalogue: every defence of the tables once, and what of it can be trained."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from capgan_edge.defences.catalogue import CATALOGUE, SCALES, defence, trainable
from capgan_edge.errors import ConfigError
from capgan_edge.models.cost import cost_of
from capgan_edge.models.presets import PRESETS, preset, purifier_from
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.defence import Budget, defence_of, purifier_config, victim_config

PURIFIERS = [each for each in CATALOGUE.values() if each.kind == "purifier"]
TRAINED = [each for each in CATALOGUE.values() if each.method is not None]


def test_every_system_of_the_tables_is_there_by_its_name() -> None:
    assert set(CATALOGUE) == {"jpeg", "thermometer", "ape-gan", "hgd", "adversarial-training", "cap-gan",
                              "cap-gan-without-cycle", "pixel", "pixel-cam", "pixel-semantic"}  # fmt: skip
    assert {name for name, each in CATALOGUE.items() if not each.has_gradient} == {"jpeg", "thermometer"}


def test_an_unknown_name_and_one_without_training_are_one_line() -> None:
    with pytest.raises(ConfigError, match=r"expected a defence among jpeg, .*, got 'bdpa'; name one"):
        defence("bdpa")
    with pytest.raises(ConfigError, match=r"got jpeg, of which there is nothing to train; .*choose_quality"):
        trainable("jpeg")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("each", PURIFIERS, ids=lambda each: each.name)
def test_every_purifier_has_a_shape_and_settings_at_every_scale(each: object, scale: str) -> None:
    assert isinstance(each, type(PURIFIERS[0]))
    assert each.presets[scale] in PRESETS
    config = purifier_config(each, Budget(scale=scale, epochs=4, seed=3))
    assert all(getattr(config, name) == value for name, value in each.settings.items())
    assert config.learning_rate == (2e-3 if scale != "paper" else type(config)().learning_rate)


def test_at_the_scale_nano_every_purifier_costs_less_than_the_victim() -> None:
    victim = cost_of(SimpleResNet(10), height_px=32, width_px=32)
    costs = {}
    for each in PURIFIERS:
        costs[each.name] = cost_of(purifier_from(preset(each.presets["nano"])), height_px=32, width_px=32)
        assert costs[each.name].macs <= victim.macs, each.name
    assert max(cost.macs for cost in costs.values()) == costs["cap-gan"].macs


def test_the_budget_is_the_same_for_every_name() -> None:
    budget = Budget(epochs=4, batch_size=32, is_mirrored=False, seed=5)
    rows = [victim_config(each, budget) if each.kind == "victim" else purifier_config(each, budget) for each in TRAINED]
    shared = {(c.epochs, c.batch_size, c.num_held_out, c.is_mirrored, c.seed, c.schedule) for c in rows}
    assert shared == {(4, 32, 1000, False, 5, "one-cycle")}


@pytest.mark.parametrize("each", TRAINED, ids=lambda each: each.name)
def test_a_runs_state_tells_which_defence_it_trains(each: object) -> None:
    assert isinstance(each, type(TRAINED[0]))
    is_victim = each.kind == "victim"
    config = victim_config(each, Budget()) if is_victim else purifier_config(each, Budget())
    state = {"config": asdict(config)} | ({} if is_victim else {"mode": each.method})
    assert defence_of({"kind": each.kind, "state": state}) == each.name


def test_runs_from_before_there_were_defences_are_cap_gan_and_no_defence() -> None:
    assert defence_of({"kind": "purifier", "state": {"config": {"epochs": 6}}}) == "cap-gan"
    assert defence_of({"kind": "victim", "state": {"config": {"epochs": 6}}}) is None
    assert defence_of({"kind": "purifier", "state": {"config": {}, "mode": "robust"}}) is None
