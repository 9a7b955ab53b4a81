"""What every record of figures says beside them: its name, the code, and what the command was called with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def record_name(theme: str, record: dict[str, Any]) -> str:
    """Return `theme_hardware_date.json`, the hardware as a slug."""
    environment = record["environment"]
    hardware = re.sub(r"[^a-z0-9]+", "-", f"{environment['cpu']} {environment['num_cpus']}".lower()).strip("-")
    return f"{theme}_{hardware}_{record['date'][:10]}.json"


def newest_of_pairs(results: Path, theme: str) -> list[dict[str, Any]]:
    """Return the newest record of a theme in a folder of each pair that has one, by the pairs' names."""
    newest: dict[str, dict[str, Any]] = {}
    for path in sorted(results.glob(f"{theme}-*.json")):
        record = json.loads(path.read_text())
        if record["pair"] not in newest or newest[record["pair"]]["date"] < record["date"]:
            newest[record["pair"]] = record
    return [newest[pair] for pair in sorted(newest)]


def record_head(kind: str, *, command: str, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first fields of a record that is made now, in the order in which all such records have them."""
    return {"schema_version": 1, "kind": kind, **made_now(command=command, environment=environment)}


def made_now(*, command: str, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return when, by which code, where and how the running command was called."""
    return {
        "date": timestamp(),
        "code": revision(),
        "environment": dict(environment),
        "command": command,
        "arguments": recorded_arguments(),
    }


def timestamp() -> str:
    """Return the time in UTC to the second, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def revision() -> str:
    """Return the commit of the checkout, with `+` where files differ from it."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty=+", "--abbrev=12"], cwd=ROOT, text=True,
                              capture_output=True, check=True)  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def recorded_arguments(arguments: Sequence[str] | None = None) -> list[str]:
    """Return the arguments as a record keeps them: of an absolute path, which says nothing elsewhere, the last name.

    Args:
        arguments: the command line's by default.
    """
    return [_without_folders(each) for each in (sys.argv[1:] if arguments is None else arguments)]


def _without_folders(argument: str) -> str:
    option, sign, value = argument.rpartition("=")
    path = PurePath(value)
    return f"{option}{sign}{path.name}" if path.is_absolute() else argument
