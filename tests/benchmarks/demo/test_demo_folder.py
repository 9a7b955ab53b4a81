"""The demo's folder is replaced only where an earlier demo made it, and only when the new one is whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capgan_benchmarks.demo.config import MADE_BY
from capgan_benchmarks.demo.folder import fresh_folder, refuse_to_replace
from capgan_edge.errors import ConfigError


def _earlier_demo(path: Path) -> Path:
    path.mkdir()
    (path / "report.json").write_text(json.dumps({"made_by": MADE_BY}))
    (path / "report.html").write_text("old")
    return path


def test_an_earlier_demo_is_replaced_whole(tmp_path: Path) -> None:
    out = _earlier_demo(tmp_path / "demo")
    with fresh_folder(out) as fresh:
        (fresh / "report.json").write_text("{}")
        assert (out / "report.html").read_text() == "old"
    assert [path.name for path in out.iterdir()] == ["report.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_new_and_an_empty_folder_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "deep" / "new"):
        with fresh_folder(out) as fresh:
            (fresh / "report.html").write_text("new")
        assert (out / "report.html").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_the_earlier_demo(tmp_path: Path, error: type[BaseException]) -> None:
    out = _earlier_demo(tmp_path / "demo")

    def interrupted() -> None:
        with fresh_folder(out) as fresh:
            (fresh / "report.html").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert (out / "report.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_folder_with_anything_else_is_refused_by_its_name(tmp_path: Path) -> None:
    out = _earlier_demo(tmp_path / "demo")
    (out / "thesis.docx").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds thesis\.docx"):
        refuse_to_replace(out)


@pytest.mark.parametrize("content", ["{}", "[]", '{"made_by": "someone"}', "not json"])
def test_a_report_of_someone_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(ConfigError, match="a report that no demo wrote"):
        refuse_to_replace(tmp_path)


def test_a_file_and_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(_earlier_demo(tmp_path / "demo"))
    for name in ("file", "link"):
        with pytest.raises(ConfigError, match="a file or a link"):
            refuse_to_replace(tmp_path / name)


def test_something_that_appears_during_the_run_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "demo"

    def overtaken() -> None:
        with fresh_folder(out):
            out.mkdir()
            (out / "notes.txt").write_text("mine")

    with pytest.raises(ConfigError, match=r"notes\.txt"):
        overtaken()
    assert (out / "notes.txt").read_text() == "mine"
