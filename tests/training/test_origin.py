"""A checkpoint says what its run was made from and with, and a resumed run goes on with the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning_fabric import Fabric

from capgan_edge.errors import CheckpointError, ConfigError
from capgan_edge.training.device import precision_of, start_fabric
from capgan_edge.training.machine import machine_state
from capgan_edge.training.origin import is_drawn, lasting_source, origin_state, resumed_device


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds `photos/` and, to mislead, `signs/`."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "signs"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_an_existing_path_is_stored_absolute(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    for source in ("photos", "./photos", Path("photos"), str(here / "photos"), "~/photos"):
        assert lasting_source(source) == str(here / "photos")


@pytest.mark.parametrize(
    "source", ["signs", "signs:64", "cifar10-jpeg", "", "~nobody-of-that-name/x", "a\0b", "x" * 5000]
)
def test_what_is_drawn_or_named_is_stored_as_given(source: str, here: Path) -> None:
    assert lasting_source(source) == source


def test_only_the_drawn_signs_are_drawn() -> None:
    assert is_drawn("signs")
    assert is_drawn("signs:64")
    assert not any(is_drawn(source) for source in ("signs.zip", "signs-mine", "./signs", Path("signs"), "photos"))


def test_a_folder_called_signs_given_as_a_path_stays_that_folder(here: Path) -> None:
    assert lasting_source("./signs") == str(here / "signs")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_state_says_precision_processes_and_machine(precision: Any) -> None:
    fabric = start_fabric(precision)
    state = origin_state("signs:16", fabric)
    assert (state["source"], state["precision"], state["devices"]) == ("signs:16", precision, 1)
    assert precision_of(fabric) == precision
    machine = state["machine"]
    assert machine.keys() == {"cpu", "num_cpus", "threads", "precision", "tools"}
    assert machine["threads"] == torch.get_num_threads()
    assert machine["tools"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert "source" not in origin_state(None, fabric), "images that came without a source have none"
    json.dumps(state, allow_nan=False)


def test_both_loops_store_it(train: Callable[..., object], tmp_path: Path, fabric: Fabric) -> None:
    train(tmp_path, fabric)
    state = json.loads((tmp_path / "last.json").read_text())["state"]
    assert (state["source"], state["precision"], state["devices"]) == ("signs", "fp32", 1)
    assert state["machine"] == machine_state("fp32")


class Case(NamedTuple):
    name: str
    state: dict[str, Any]
    precision: Any
    devices: int | None
    found: tuple[str, int]


RUN = {"precision": "fp32", "devices": 2}
CASES = [
    Case("a new run by itself", {}, None, None, ("auto", 1)),
    Case("a new run as told", {}, "bf16", 3, ("bf16", 3)),
    Case("a resumed run by itself", RUN, None, None, ("fp32", 2)),
    Case("a resumed run as told the same", RUN, "fp32", 2, ("fp32", 2)),
    Case("auto is as it was", RUN, "auto", None, ("fp32", 2)),
    Case("a run that does not say", {"precision": None}, "bf16", 2, ("bf16", 2)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_device_to_go_on_with(case: Case, tmp_path: Path) -> None:
    assert resumed_device(case.state, tmp_path, case.precision, case.devices) == case.found


@pytest.mark.parametrize(
    ("options", "message"),
    [(("bf16", None), "expected --precision fp32, with which .* was started, got bf16; leave --precision out"),
     ((None, 1), "expected --devices 2, with which .* was started, got 1; leave --devices out")],
    ids=["precision", "devices"],
)  # fmt: skip
def test_an_option_that_contradicts_the_run_is_refused(options: tuple[Any, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        resumed_device(RUN, tmp_path, *options)


@pytest.mark.parametrize(
    "state",
    [{"precision": "fp8"}, {"precision": 32}, {"precision": ["fp32"]}, {"devices": 0}, {"devices": True},
     {"devices": "2"}, {"devices": 10**9}, {"devices": 1.5}],
    ids=str,
)  # fmt: skip
def test_a_state_with_another_device_is_refused(state: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected (a precision|devices).*got.*train again"):
        resumed_device(state, tmp_path)
