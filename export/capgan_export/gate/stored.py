"""A stored adversarial set: one file with the frames, so that a device without torch can judge the engine it built.

A zip of `.npy` arrays, neither compressed nor pickled, and `set.json`: what they are, and the SHA-256 of each.
The same set gives the same bytes, so the file's hash names the set. Shapes: N frames, H, W, K classes.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.fields import Listed, Name, Record, Sha256
from capgan_export.gate.frames import GateSet, JudgedFrames
from capgan_export.gate.gates import AttackSpec

_INDEX = "set.json"
_ARRAYS = {"frames": ("|u1", 4), "labels": ("<i8", 1), "logits": ("<f4", 2)}
"""Dtype and rank of each kind's arrays."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_REMEDY = "make the set again with capgan-edge verify BUNDLE --write-adversarial FILE"


class _KindRecord(Record):
    attack: dict[str, str | float | int] | None
    sha256: dict[Literal["frames", "labels", "logits"], Sha256] = Field(min_length=3)


class _Index(Record):
    format: Literal["capgan-edge adversarial set"] = "capgan-edge adversarial set"
    version: Literal[1] = 1
    data: Name
    seed: int = Field(ge=0)
    labels: Listed[Name] = Field(min_length=1)
    purifier_sha256: Sha256
    victim_sha256: Sha256
    twin: Name
    kinds: Listed[_KindRecord] = Field(min_length=1)


def bytes_from_set(held: GateSet) -> bytes:
    """Return the set as a file's bytes; the same set gives the same bytes."""
    members: dict[str, bytes] = {}
    kinds = []
    for index, kind in enumerate(held.kinds):
        arrays: dict[str, NDArray[Any]] = {
            "frames": kind.frames_NHWC,
            "labels": kind.labels_N,
            "logits": kind.twin_logits_NK,
        }
        packed = {name: _npy(array, _ARRAYS[name][0]) for name, array in arrays.items()}
        members |= {f"{index}/{name}.npy": data for name, data in packed.items()}
        hashes: Any = {name: sha256_of_bytes(data) for name, data in packed.items()}
        kinds.append(_KindRecord(attack=None if kind.attack is None else asdict(kind.attack), sha256=hashes))
    index_record = _Index(data=held.data, seed=held.seed, labels=held.labels, purifier_sha256=held.purifier_sha256,
                          victim_sha256=held.victim_sha256, twin=held.twin, kinds=tuple(kinds))  # fmt: skip
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {_INDEX: json.dumps(index_record.model_dump(), indent=1).encode(), **members}.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=_EPOCH), data)
    return file.getvalue()


def set_from_bytes(data: bytes, origin: str) -> GateSet:
    """Read and check a set; `origin` is what errors call it.

    Raises:
        ArtifactError: it is no such file, was changed, or holds arrays that do not fit together.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("a member is compressed")
            index = _Index.model_validate_json(archive.read(_INDEX))
            kinds = tuple(_kind(archive, number, record) for number, record in enumerate(index.kinds))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _broken(origin, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, RuntimeError, ConfigError) as error:
        raise _broken(origin, " ".join(str(error).split())[:200]) from error
    held = GateSet(data=index.data, seed=index.seed, labels=index.labels, purifier_sha256=index.purifier_sha256,
                   victim_sha256=index.victim_sha256, twin=index.twin, kinds=kinds)  # fmt: skip
    problem = _problem(held)
    if problem:
        raise _broken(origin, problem)
    return held


def load_set(path: Path) -> GateSet:
    """Return the set at `path`.

    Raises:
        ArtifactError: there is none, or one that is broken.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"expected a stored adversarial set at {path}, but: {error.strerror}; {_REMEDY}") from error
    return set_from_bytes(data, str(path))


def _broken(origin: str, problem: str) -> ArtifactError:
    return ArtifactError(f"{origin}: expected a stored adversarial set, but: {problem}; {_REMEDY}")


def _npy(array: NDArray[Any], dtype: str) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array).astype(dtype, copy=False), (1, 0), allow_pickle=False)
    return file.getvalue()


def _kind(archive: zipfile.ZipFile, number: int, record: _KindRecord) -> JudgedFrames:
    arrays = {}
    for name, (dtype, rank) in _ARRAYS.items():
        data = archive.read(f"{number}/{name}.npy")
        if sha256_of_bytes(data) != dict(record.sha256)[name]:  # type: ignore[index]
            raise ValueError(f"{number}/{name}.npy was changed: its SHA-256 is not the one on record")
        arrays[name] = _array(data, dtype, rank, f"{number}/{name}.npy")
    attack = None if record.attack is None else AttackSpec(**record.attack)  # type: ignore[arg-type]
    return JudgedFrames(attack=attack, frames_NHWC=arrays["frames"], labels_N=arrays["labels"],
                        twin_logits_NK=arrays["logits"])  # fmt: skip


def _array(data: bytes, dtype: str, rank: int, name: str) -> NDArray[Any]:
    """Return an array whose header is what it must be, before a byte is allocated for it."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is of another .npy version")
    shape, is_fortran, found = np.lib.format.read_array_header_1_0(file)
    wanted = np.dtype(dtype)
    rest = len(data) - file.tell()
    if (
        found != wanted
        or len(shape) != rank
        or is_fortran
        or int(np.prod(shape, dtype=object)) * wanted.itemsize != rest
    ):
        raise ValueError(f"{name} is {found} {shape}, not {wanted} of rank {rank}, or not as long as it says")
    return np.frombuffer(data, wanted, offset=file.tell()).reshape(shape)


def _problem(held: GateSet) -> str:
    """Return what contradicts itself in a set, or nothing."""
    if held.clean.attack is not None or any(kind.attack is None for kind in held.attacked):
        return "expected the clean frames first, and only once"
    size = held.clean.frames_NHWC.shape[1:]
    for kind in held.kinds:
        n = len(kind)
        is_whole = kind.frames_NHWC.shape == (n, *size) and kind.twin_logits_NK.shape == (n, len(held.labels))
        if not n or not is_whole or size[2:] != (3,):
            return f"the arrays of {kind.title} do not fit together"
        if not (kind.labels_N.min() >= 0 and kind.labels_N.max() < len(held.labels)):
            return f"a label of {kind.title} is none of the {len(held.labels)} classes"
        if not np.isfinite(kind.twin_logits_NK).all():
            return f"the twin's logits of {kind.title} are not finite"
    return ""
