"""docs/robustness.md says what the code says: its tables, its options, and the workflow that readers copy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest
import typer

from capgan_benchmarks.robustness.attack_command import attack
from capgan_benchmarks.robustness.command import robustness
from capgan_benchmarks.robustness.guide import GUIDE, with_tables
from capgan_benchmarks.threats.catalogue import THREATS
from capgan_edge.errors import DataError


def test_the_tables_are_those_that_the_command_writes() -> None:
    text = GUIDE.read_text()
    assert with_tables(text) == text, "run python -m capgan_benchmarks.robustness.guide"


def test_a_threat_model_that_is_not_in_the_page_is_noticed() -> None:
    text, threat = GUIDE.read_text(), THREATS[0]
    assert threat.knows in text
    assert with_tables(text.replace(threat.knows, "Little.")) == text


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(DataError, match="markers"):
        with_tables("# no table here")


COMMAND = re.compile(r"capgan-edge (benchmark robustness|attack)((?: +[^\s#&`]+|\n +(?=--)[^\n]+)*)")


def commands() -> list[tuple[str, list[str]]]:
    """Every command line of the page, also those of the workflow, as words."""
    return [(found[1], shlex.split(found[2])) for found in COMMAND.finditer(GUIDE.read_text())]


@pytest.mark.parametrize(("name", "arguments"), commands(), ids=lambda each: " ".join(each) if each else "alone")
def test_every_command_of_the_page_is_one_that_is_there(name: str, arguments: list[str]) -> None:
    app = typer.Typer()
    app.command(name=name)(robustness if name == "benchmark robustness" else attack)
    typer.main.get_command(app).make_context(name, list(arguments))


def test_the_page_shows_the_commands_that_it_is_about() -> None:
    lines = [f"{name} {' '.join(arguments)}" for name, arguments in commands()]
    for wanted in ("--tier paper", "--baseline", "--junit", "--max-drop", "--replay", "attack cifar10-nano --scenario"):
        assert any(wanted in line for line in lines), wanted


def test_every_option_that_the_text_names_is_one_of_these_commands_or_of_the_victims_training() -> None:
    known = {option for command in (robustness, attack) for option in _options(command)} | {"--seed"}
    prose = re.sub(r"```yaml.*?```", "", GUIDE.read_text(), flags=re.DOTALL)
    assert set(re.findall(r"--[a-z][a-z-]+", prose)) <= known


def test_the_workflow_is_yaml_that_runs_the_gate_and_keeps_what_it_wrote() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the workflow")
    (workflow,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    steps = yaml.safe_load(workflow)["jobs"]["robustness"]["steps"]
    gate = next(step["run"] for step in steps if "capgan-edge benchmark" in step.get("run", ""))
    assert "\n" not in gate.strip()
    for wanted in (
        "--baseline robustness-baseline.json",
        "--max-drop 1.0",
        "--junit out/junit.xml",
        "--cache attacked",
    ):
        assert wanted in gate
    kept = {step["uses"].partition("@")[0]: step for step in steps if "uses" in step}
    assert kept["actions/cache/restore"]["with"]["path"] == kept["actions/cache/save"]["with"]["path"] == "attacked"
    assert kept["actions/upload-artifact"]["with"]["path"] == "out"
    assert kept["actions/upload-artifact"]["if"] == kept["actions/cache/save"]["if"] == "always()"


def _options(function: Callable[..., None]) -> set[str]:
    app = typer.Typer()
    app.command()(function)
    return {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
