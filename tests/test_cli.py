"""The front door: parts are merged, a broken part spoils no other, and every failure is one line with its own code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import NamedTuple

import pytest

import capgan_edge
from capgan_edge.cli import GROUP, main

Parts = list[EntryPoint]
TIMEOUT_S = 120
"""For a process on a machine that is busy with other things; far above what it takes."""

PART = """
import time
import typer
from capgan_edge.errors import ConfigError

app = typer.Typer()
group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="teach", help="Teach.")

@app.command()
def greet(name: str, is_json: bool = typer.Option(False, "--json")) -> None:
    if name == "user":
        raise ConfigError("expected a name,\\n  got user; say \\x1b[31myours")
    if name == "bug":
        raise ZeroDivisionError("division\\nby zero")
    if name == "stop":
        raise KeyboardInterrupt
    if name == "code":
        raise typer.Exit(2)
    typer.echo(f"hello {name}")

@app.command()
def flood() -> None:
    for _ in range(200_000):
        typer.echo("drop")

@app.command()
def wait() -> None:
    typer.echo("waiting")
    time.sleep(600)

@group.command()
def dogs() -> None:
    typer.echo("sit")

@group.command()
def cats() -> None:
    typer.echo("no")
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """A sound part, one that misses a package, one that is broken, and one that is not written yet."""
    (tmp_path / "a_sound_part.py").write_text(PART)
    (tmp_path / "a_needy_part.py").write_text("import no_such_package_anywhere")
    (tmp_path / "a_broken_part.py").write_text("raise RuntimeError('two\\nlines')")
    monkeypatch.syspath_prepend(tmp_path)
    values = {"sound": "a_sound_part:app", "needy": "a_needy_part:app", "broken": "a_broken_part:app"}
    return [EntryPoint(name, value, GROUP) for name, value in {**values, "later": "capgan_later:app"}.items()]


class Case(NamedTuple):
    name: str
    arguments: list[str]
    code: int
    err: str


CASES = [
    Case("a user's mistake", ["greet", "user"], 1, "error: expected a name, got user; say ?[31myours\n"),
    Case("a mistake of ours", ["greet", "bug"], 70, "internal error: ZeroDivisionError: division by zero; run with"),
    Case("Ctrl-C", ["greet", "stop"], 130, "interrupted\n"),
    Case("a code of its own", ["greet", "code"], 2, ""),
    Case("an unknown command", ["gret"], 2, "error: No such command 'gret'"),
    Case("an unknown option", ["greet", "you", "--loud"], 2, "error: No such option: --loud"),
    Case("a missing argument", ["greet"], 2, "error: Missing argument"),
    Case("a part that misses a package", ["needy", "--any", "x"], 1, "error: the part 'needy' needs no_such_package"),
    Case(
        "a part that is broken", ["broken"], 1, "error: expected the part 'broken' of capgan-edge to load, but: two l"
    ),
    Case("a part not there", ["later"], 1, "error: expected the part 'later' of capgan-edge to load, but: No module"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_failure_is_one_line_with_its_code(case: Case, parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(case.arguments, parts) == case.code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(case.err)
    assert err.count("\n") == bool(case.err)


def test_commands_and_groups_of_parts_stand_at_the_root(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greet", "you"], parts) == 0
    assert main(["teach", "dogs"], parts) == 0
    assert capsys.readouterr().out == "hello you\nsit\n"


def test_the_root_is_a_table_of_contents_with_a_note_on_each_broken_part(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], parts) == 0
    out, err = capsys.readouterr()
    for said in ("greet", "teach", "needy", "Not available", "--version", "--traceback"):
        assert said in out
    assert [line.split("(")[0] for line in err.splitlines()] == [
        f"note: the part '{name}' could not be loaded " for name in ("broken", "later", "needy")
    ]


def test_a_group_without_a_command_shows_its_help(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["teach"], parts) in (0, 2)  # typer changed its mind between versions
    out, err = capsys.readouterr()
    assert "dogs" in out + err
    assert "error" not in out + err


def test_an_unknown_command_mentions_the_parts_that_are_missing(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["brake"], parts) == 2
    assert "note: the part 'broken' could not be loaded (two lines)" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--traceback", "greet", "user"], ["greet", "user", "--traceback"]], ids=str)
def test_the_traceback_is_shown_when_asked_for(
    arguments: list[str], parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments, parts) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "a_sound_part.py" in err
    assert err.splitlines()[-1].startswith("error: expected a name")


def test_machines_get_the_error_as_json_too(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greet", "user", "--json"], parts) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "expected a name, got user; say ?[31myours"}
    assert err.startswith("error: ")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], []) == 0
    assert capsys.readouterr().out == f"capgan-edge {capgan_edge.__version__}\n"


def test_the_parts_installed_are_found_or_said_to_be_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "Adversarial purification" in capsys.readouterr().out


@pytest.fixture
def start(parts: Parts, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start one command of the sound part as a process of its own, which does not outlive the test."""
    processes: list[subprocess.Popen[str]] = []
    code = """
    import sys
    from importlib.metadata import EntryPoint
    from capgan_edge.cli import GROUP, main
    sys.exit(main(sys.argv[1:], [EntryPoint("sound", "a_sound_part:app", GROUP)]))
    """
    paths = [str(tmp_path), *(path for path in sys.path if path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def started(command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        with process:
            process.kill()


def test_a_reader_that_leaves_early_is_no_error(start: Callable[[str], subprocess.Popen[str]]) -> None:
    process = start("flood")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "drop\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(TIMEOUT_S) == 1


def test_ctrl_c_ends_a_command_with_130_and_one_line(start: Callable[[str], subprocess.Popen[str]]) -> None:
    process = start("wait")
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"  # from here on Ctrl-C meets the command, wherever it is
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (130, "interrupted\n")
