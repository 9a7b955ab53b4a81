"""A probe that crashes, hangs or never starts is a reason in one line, within its time."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from capgan_edge.doctor.isolated import MARK, ProbeError, ask, run


def test_a_probe_answers_with_what_its_function_returns() -> None:
    assert ask("imports", "json", timeout_s=60) is not None
    with pytest.raises(ProbeError, match="No module named 'no_such_module'"):
        ask("imports", "no_such_module", timeout_s=60)


STUBS = {
    "crashes": ("import os; os.abort()", 60.0, r"it crashed \(signal 6\)"),
    "exits": ("import sys; sys.exit(3)", 60.0, r"it crashed \(exit code 3\)"),
    "ends in silence": ("import os; os._exit(0)", 60.0, "it ended without an answer"),
    "hangs": ("import time; time.sleep(600)", 0.5, "no answer within 0.5 s"),
    "raises on two lines": ("raise OSError('libfoo.so:\\n not found')", 60.0, r"^libfoo.so: not found$"),
}


@pytest.mark.parametrize("name", STUBS)
def test_a_library_that_misbehaves_is_a_reason(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, timeout_s, message = STUBS[name]
    (tmp_path / "misbehaving.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ProbeError, match=message):
        ask("imports", "misbehaving", timeout_s=timeout_s)


def test_a_library_that_prints_does_not_spoil_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chatty.py").write_text(f"print('{MARK}'[:9] + 'x', end=''); __version__ = '1.2'")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ask("imports", "chatty", timeout_s=60) == "1.2"


def test_the_working_directory_is_not_searched_for_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text("__version__ = '6.6.6'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with pytest.raises(ProbeError, match="No module named 'planted'"):
        ask("imports", "planted", timeout_s=60)


def test_a_command_that_is_not_there_is_a_reason() -> None:
    with pytest.raises(ProbeError, match="it did not start"):
        run(["/no/such/command"], timeout_s=1)
