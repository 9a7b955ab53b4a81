"""Gates read from TOML: the shipped `default.toml`, and a user's file laid over it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from capgan_edge.errors import ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_export.gate.gates import AttackSpec, Gates, Limits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = Path(__file__).with_name("default.toml")
_MAX_BYTES = 1 << 20
_KINDS: dict[str, tuple[type, ...]] = {"float": (int, float), "int": (int,), "Method": (str,), "Knowledge": (str,)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadGates:
    """Gates, and the file that they came from."""

    gates: Gates
    name: str
    """Of the file, never its path."""
    sha256: str
    """Of the file's bytes."""


def load_gates(path: Path | None = None) -> ReadGates:
    """Return the shipped gates, with what the file at `path` says laid over them.

    Raises:
        ConfigError: no file, no TOML, a key that is not known, or a value of the wrong type or out of range.
    """
    default = _read(DEFAULT)
    if path is None:
        return ReadGates(gates=_gates(_parsed(default, DEFAULT)), name=DEFAULT.name,
                         sha256=sha256_of_bytes(default))  # fmt: skip
    own = _read(path)
    laid_over = _laid_over(_parsed(default, DEFAULT), _parsed(own, path))
    try:
        gates = _gates(laid_over)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return ReadGates(gates=gates, name=path.name, sha256=sha256_of_bytes(own))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"expected gates (TOML) at {path}, but: {error.strerror}; check the path") from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"{path}: expected gates of at most {_MAX_BYTES} bytes, got more; name another file")
    return data


def _parsed(data: bytes, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        detail = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: expected TOML, but: {detail}; the shipped default.toml shows the form") from error


def _laid_over(default: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default with every key of `own` in its place; tables are laid over one another key by key."""
    merged = dict(default)
    for key, value in own.items():
        if isinstance(merged.get(key), dict) and isinstance(value, dict):
            merged[key] = _laid_over(merged[key], value)
        else:
            merged[key] = value
    return merged


def _gates(raw: Mapping[str, Any]) -> Gates:
    _refuse_unknown(raw, ("seed", "num_frames", "limits", "attacks"), "gates")
    limits, attacks = raw.get("limits"), raw.get("attacks")
    if not isinstance(limits, dict) or not all(isinstance(table, dict) for table in limits.values()):
        raise ConfigError(f"expected [limits.fp32], [limits.fp16] and [limits.int8], got {limits!r}")
    _refuse_unknown(limits, ("fp32", "fp16", "int8"), "limits")
    if not isinstance(attacks, list) or not all(isinstance(table, dict) for table in attacks):
        raise ConfigError(f"expected attacks as [[attacks]] tables, or attacks = [], got {attacks!r}")
    return Gates(
        limits={name: Limits(**_checked(Limits, table, f"limits.{name}")) for name, table in limits.items()},
        attacks=tuple(AttackSpec(**_checked(AttackSpec, table, "attacks")) for table in attacks),
        **_checked(Gates, {key: raw[key] for key in ("seed", "num_frames") if key in raw}, "gates"),
    )


def _checked(kind: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a table whose keys are fields of `kind`, each of its type, and none missing that has no default."""
    known = {field.name: str(field.type) for field in fields(kind)}
    _refuse_unknown(table, tuple(known), where)
    for key, value in table.items():
        wanted = _KINDS[known[key]]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise ConfigError(f"{where}: expected {key} as {wanted[-1].__name__}, got {value!r}; write it so")
    missing = [name for name in ("method", "on") if name in known and name not in table]
    if missing:
        raise ConfigError(f"{where}: expected {' and '.join(missing)}, got none; add it")
    return dict(table)


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = [key for key in table if key not in known]
    if unknown:
        raise ConfigError(f"{where}: expected only {', '.join(known)}, got {unknown[0]!r}; leave it out")
