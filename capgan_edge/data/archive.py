"""CIFAR-10's official python archive, packed (`cifar-10-python.tar.gz`) or unpacked (`cifar-10-batches-py/`).

Its batches are pickles; they are read by `pickled.py`, which runs nothing. Shapes: N images of 32x32, 3072 = 3*32*32.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.data.decoded import Decoded, LoadReport, Split
from capgan_edge.data.pickled import PickledArray, RefusedPickleError, plain_value
from capgan_edge.errors import DataError

FOLDER = "cifar-10-batches-py"
META = "batches.meta"
BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
SIZE_PX = 32
MAX_BATCH_BYTES = 128 << 20
"""Four times an official batch."""

_ADVICE = "fetch CIFAR-10's python version again"


def is_archive(path: Path) -> bool:
    """Whether `path` is to be read as CIFAR-10's archive: by its suffix, or by the batches in it."""
    if path.is_dir():
        return _batches_folder(path) is not None
    return path.name.lower().endswith((".tar.gz", ".tgz", ".tar"))


def archive_files(path: Path) -> list[tuple[str, int, int]]:
    """Return (name, bytes, mtime in ns) of the file, or of the batches in the folder."""
    folder = _batches_folder(path) if path.is_dir() else None
    names = (META, *BATCHES["train"], *BATCHES["test"])
    files = [path] if folder is None else [folder / name for name in names if (folder / name).is_file()]
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def decode_archive(path: Path, split: Split) -> Decoded:
    """Decode one split; the rows are in the archive's order.

    Raises:
        DataError: the archive is truncated, lacks a batch, or holds anything but CIFAR-10's values.
    """
    names = (META, *BATCHES[split])
    contents = _read_folder(path, names) if path.is_dir() else _read_tar(path, names)
    missing = [name for name in names if name not in contents]
    if missing:
        raise DataError(f"{path}: expected {', '.join(names)}, got no {', '.join(missing)}; {_ADVICE}")
    class_names = _class_names(path, contents.pop(META))
    images, labels = zip(
        *(_batch(path, name, contents[name], len(class_names)) for name in BATCHES[split]), strict=True
    )
    labels_N = np.concatenate(labels)
    if not len(labels_N):
        raise DataError(f"{path}: expected images in {', '.join(BATCHES[split])}, got none; {_ADVICE}")
    return Decoded(
        images_NHWC=np.concatenate(images),
        labels_N=labels_N,
        class_names=class_names,
        report=LoadReport(num_found=len(labels_N)),
    )


def _batches_folder(path: Path) -> Path | None:
    for folder in (path, path / FOLDER):
        has_batch = any((folder / name).is_file() for name in (META, "data_batch_1", "test_batch"))
        if folder.is_dir() and (has_batch or folder.name == FOLDER):
            return folder
    return None


def _read_folder(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    folder = _batches_folder(path)
    assert folder is not None, "the caller asked is_archive"
    contents = {}
    for name in names:
        file = folder / name
        if file.is_file():
            _check_size(path, name, file.stat().st_size)
            try:
                contents[name] = file.read_bytes()
            except OSError as error:
                raise DataError(f"{file}: expected a readable batch, got: {error.strerror}; {_ADVICE}") from error
    return contents


def _read_tar(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the members called `names`, read one after the other and written nowhere."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|*") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in names and member.isfile():
                    _check_size(path, name, member.size)
                    file = tar.extractfile(member)
                    assert file is not None, "a regular file"
                    contents[name] = file.read()
                if len(contents) == len(names):
                    break
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole tar archive, got: {error}; {_ADVICE}") from error
    return contents


def _check_size(path: Path, name: str, num_bytes: int) -> None:
    if num_bytes > MAX_BATCH_BYTES:
        raise DataError(
            f"{path}: expected {name} to have at most {MAX_BATCH_BYTES >> 20} MiB, got {num_bytes} bytes; {_ADVICE}"
        )


def _values(path: Path, name: str, content: bytes) -> dict[str, Any]:
    """Return the dict in a batch with text keys (Python 2 wrote them as bytes)."""
    try:
        value = plain_value(content)
    except RefusedPickleError as error:
        raise DataError(
            f"{path}: expected {name} to hold plain values, got {error}; nothing was run; {_ADVICE}"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected {name} to hold a dict, got {type(value).__name__}; {_ADVICE}")
    return {_text(key): item for key, item in value.items()}


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _class_names(path: Path, content: bytes) -> tuple[str, ...]:
    names = _values(path, META, content).get("label_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, (bytes, str)) for name in names):
        raise DataError(
            f"{path}: expected a list of names under label_names in {META}, got {type(names).__name__}; {_ADVICE}"
        )
    return tuple(_text(name) for name in names)


def _batch(path: Path, name: str, content: bytes, num_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    values = _values(path, name, content)
    array, labels = values.get("data"), values.get("labels")
    try:
        rows = array.uint8() if isinstance(array, PickledArray) else None
    except RefusedPickleError as error:
        raise DataError(f"{path}: expected images in {name}, got {error}; {_ADVICE}") from error
    if rows is None or rows.ndim != 2 or rows.shape[1] != 3 * SIZE_PX**2:
        came = f"shape {rows.shape}" if rows is not None else f"{type(array).__name__}"
        raise DataError(f"{path}: expected data in {name} to be uint8 [N, 3072], got {came}; {_ADVICE}")
    if not isinstance(labels, list) or len(labels) != len(rows) or not all(type(label) is int for label in labels):
        came = f"{len(labels)} values" if isinstance(labels, list) else type(labels).__name__
        raise DataError(f"{path}: expected {len(rows)} whole numbers under labels in {name}, got {came}; {_ADVICE}")
    if wrong := [label for label in labels if not 0 <= label < num_classes]:
        raise DataError(f"{path}: expected labels in [0, {num_classes}) in {name}, got {wrong[0]}; {_ADVICE}")
    images_NHWC = rows.reshape(-1, 3, SIZE_PX, SIZE_PX).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images_NHWC), np.asarray(labels, dtype=np.int64)
