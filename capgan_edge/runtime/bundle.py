"""The bundle: a directory whose every file is named and hashed by `manifest.json`, verified before any byte is parsed.

Writing is all or nothing: a temporary directory beside the target, then a swap.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.files import sha256_of_bytes, sha256_of_file
from capgan_edge.runtime.containment import inside, refuse_bad_name
from capgan_edge.runtime.manifest import MANIFEST, FileRecord, Manifest, json_from_manifest, manifest_from_json
from capgan_edge.runtime.replacement import refuse_target
from capgan_edge.runtime.swap import swap_in

_MAX_MANIFEST_BYTES = 16 << 20
_ARTIFACT_SUFFIXES = {".onnx", ".plan"}
_PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A verified bundle: when `open` returned, every named file was inside, whole, and of the hash on record."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path, *, replaced: Container[str] = ()) -> Bundle:
        """Verify the bundle at `path`.

        Args:
            path: of the directory.
            replaced: files about to be replaced, which may be damaged or missing, and only have to lie inside.

        Raises:
            ArtifactError: it is missing, changed, of a newer schema, or names a path outside itself.
        """
        root = Path(path)
        with _unreadable_is_one_line(root):
            manifest = _read_manifest(root)
            for name, record in manifest.files.items():
                if name in replaced:
                    inside(root, name)
                else:
                    _verify_file(root, name, record)
            refuse_missing_records(root, manifest)
            _refuse_unlisted_artifacts(root, manifest)
        return cls(path=root, manifest=manifest)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that this bundle has graphs of, fp32 first."""
        held = {artifact.precision for name, artifact in self.manifest.artifacts.items() if name.endswith(".onnx")}
        return tuple(precision for precision in _PRECISIONS if precision in held)

    def artifact(self, precision: str = "auto") -> Path:
        """Return the path of the graph of this precision; `auto` is fp32, or the first there is."""
        return self.path / self._artifact_name(precision)

    def read_artifact(self, precision: str = "auto") -> bytes:
        """Return the graph of this precision: the very bytes that were hashed, whatever the file becomes."""
        return self.read_file(self._artifact_name(precision))

    def read_file(self, name: str) -> bytes:
        """Return a named file's bytes, read once and verified after reading."""
        record = self.manifest.files.get(name)
        if record is None:
            raise ArtifactError(f"{self.path}: expected one of {', '.join(self.manifest.files)}, got {name!r}")
        with _unreadable_is_one_line(self.path), inside(self.path, name).open("rb") as file:
            data = file.read(record.size_bytes + 1)
        if len(data) != record.size_bytes or sha256_of_bytes(data) != record.sha256:
            raise ArtifactError(
                f"{self.path / name}: expected the bytes that the manifest names, got a file changed since the bundle "
                "was opened; restore it, or export again"
            )
        return data

    def _artifact_name(self, precision: str) -> str:
        if precision not in ("auto", *_PRECISIONS):
            raise ConfigError(
                f"precision is one of auto, {', '.join(_PRECISIONS)}, got {precision!r}; "
                f"this bundle has {', '.join(self.precisions)}"
            )
        wanted = self.precisions[0] if precision == "auto" and self.precisions else precision
        for name, artifact in self.manifest.artifacts.items():
            if artifact.precision == wanted and name.endswith(".onnx"):
                return name
        raise ArtifactError(
            f"{self.path}: expected a graph in {precision}, this bundle has {', '.join(self.precisions) or 'none'}; "
            "choose one of these, or make it first (capgan-edge calibrate, build-engine)"
        )


def write_bundle(
    path: str | Path,
    manifest: Manifest,
    artifacts: Mapping[str, bytes],
    *,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle, all of it or nothing, and return it verified.

    Args:
        path: the directory to make; its parent is made where it is missing.
        manifest: its `files` are filled in here, from the bytes.
        artifacts: the bytes of every file but the manifest, by relative name.
        overwrite: replace a bundle that is there. A directory that holds anything else is never replaced.

    Raises:
        ArtifactError: the names are refused, the manifest contradicts them, or something is in the way.
        CapganError: the disk is full or the folder cannot be written; nothing changed.
    """
    target = Path(path).resolve()
    for name in artifacts:
        refuse_bad_name(target, name)
    files = {name: record_of(data) for name, data in artifacts.items()}
    content = {**artifacts, MANIFEST: json_from_manifest(manifest.model_copy(update={"files": files}))}
    refuse_target(target, overwrite=overwrite)
    with unwritable_is_one_line(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _workshop_beside(target) as workshop:
            fresh = Path(workshop, "new")
            for name, data in content.items():
                write_synced(fresh / name, data)
            Bundle.open(fresh)
            swap_in(fresh, target)
    return Bundle.open(path)


def record_of(data: bytes) -> FileRecord:
    """Return what the manifest says of a file of these bytes."""
    return FileRecord(sha256=sha256_of_bytes(data), size_bytes=len(data))


def _workshop_beside(target: Path) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}.", suffix=".tmp", ignore_cleanup_errors=True
    )


def _read_manifest(root: Path) -> Manifest:
    if not root.is_dir():
        came = "a file" if root.exists() else "nothing"
        raise ArtifactError(f"expected a bundle (a directory) at {root}, got {came}; make one with capgan-edge export")
    path = root / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{root}: expected {MANIFEST}, got none, so this is no bundle; run capgan-edge export")
    inside(root, MANIFEST)
    with path.open("rb") as file:
        data = file.read(_MAX_MANIFEST_BYTES + 1)
    if len(data) > _MAX_MANIFEST_BYTES:
        raise ArtifactError(f"{path}: expected at most {_MAX_MANIFEST_BYTES} bytes, got more; export the bundle again")
    return manifest_from_json(data, str(path))


def _verify_file(root: Path, name: str, record: FileRecord) -> None:
    path = inside(root, name)
    if not path.is_file():
        raise ArtifactError(f"{root}: expected the file {name}, got none; copy the whole bundle, or export again")
    size = path.stat().st_size
    if size != record.size_bytes:
        raise ArtifactError(
            f"{path}: expected {record.size_bytes} bytes, got {size}; the copy is incomplete or changed: copy it again"
        )
    digest = sha256_of_file(path)
    if digest != record.sha256:
        raise ArtifactError(
            f"{path}: expected sha256 {record.sha256[:12]}..., got {digest[:12]}...; the file was changed or "
            "corrupted: restore it from where it came, or export again"
        )


def refuse_missing_records(root: Path, manifest: Manifest) -> None:
    """Refuse a manifest that has artifacts or engines without their files' sizes and hashes."""
    if MANIFEST in manifest.files:
        raise ArtifactError(f"{root}: expected a manifest that does not name itself; export the bundle again")
    for name in manifest.artifacts:
        if name not in manifest.files:
            raise ArtifactError(f"{root}: expected a size and a hash of the artifact {name}, got none; export again")
    for plan, engine in manifest.engines.items():
        for name in (plan, engine.sidecar):
            if name not in manifest.files:
                raise ArtifactError(
                    f"{root}: expected a size and a hash of the engine's file {name}, got none; build the engine again"
                )


def _refuse_unlisted_artifacts(root: Path, manifest: Manifest) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            relative = Path(folder, name).relative_to(root).as_posix()
            if Path(name).suffix.lower() in _ARTIFACT_SUFFIXES and relative not in manifest.files:
                raise ArtifactError(
                    f"{root}: expected only artifacts that the manifest names, got {relative!r}; "
                    "remove it, or export again"
                )


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and return when it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _unreadable_is_one_line(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"expected to read the bundle {root}, but: {error.strerror or error}; check the path and its permissions"
        ) from error


@contextlib.contextmanager
def unwritable_is_one_line(target: Path) -> Iterator[None]:
    """Say in one line why a bundle cannot be written, where nothing of it was."""
    try:
        yield
    except OSError as error:
        raise CapganError(
            f"expected to write the bundle {target}, but: {error.strerror or error}; nothing was changed there: "
            "free some space or name another folder, then run the same command again"
        ) from error
