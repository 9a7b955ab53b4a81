"""Adding to a bundle: one writer at a time, and the bundle is the old one or the new one, never a part.

A bundle whose directory cannot be moved (a mount point, as in a container) is changed in place, the manifest last: a
process killed between these renames leaves one that `Bundle.open` refuses, and never one that it takes for whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

from capgan_edge.errors import ArtifactError, CapganError
from capgan_edge.runtime.bundle import (
    Bundle,
    record_of,
    refuse_missing_records,
    unwritable_is_one_line,
    write_bundle,
    write_synced,
)
from capgan_edge.runtime.containment import inside
from capgan_edge.runtime.manifest import MANIFEST, Manifest, json_from_manifest, manifest_from_json
from capgan_edge.runtime.replacement import strangers_in


@contextlib.contextmanager
def locked(path: str | Path, *, replaced: Container[str] = ()) -> Iterator[Bundle]:
    """Hold the bundle at `path` against other writers, and give it opened and verified.

    The lock is the kernel's, on the directory itself: it goes with the process, whatever ends it, and leaves no file.

    Args:
        path: of the bundle.
        replaced: files that the caller is about to replace, which may therefore be damaged or missing.

    Raises:
        ArtifactError: there is no bundle, it may not be written, or another process is writing to it.
    """
    root = Path(path)
    Bundle.open(root, replaced=replaced)  # what is wrong with it is said as always
    _refuse_unwritable(root)
    descriptor = _lock(root)
    try:
        yield Bundle.open(root, replaced=replaced)
    finally:
        os.close(descriptor)


def grow_bundle(bundle: Bundle, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write `manifest` and `files` over a bundle that is `locked`, and return it verified.

    Args:
        bundle: as `locked` gave it.
        manifest: the whole new manifest; its `files` are filled in.
        files: new files, and new bytes of old ones; every other file stays as it is.

    Raises:
        CapganError: the disk is full or the folder cannot be written; nothing changed.
    """
    root = bundle.path.resolve()
    if _must_stay(root):
        return _grow_in_place(bundle, manifest, files)
    kept = {name: bundle.read_file(name) for name in bundle.manifest.files if name not in files}
    try:
        return write_bundle(bundle.path, manifest, {**kept, **files}, overwrite=True)
    except CapganError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EBUSY):
            raise
    return _grow_in_place(bundle, manifest, files)  # a mount point that does not look like one


def _must_stay(root: Path) -> bool:
    """Whether another directory cannot take the place of this one: a mount point, a folder around it that takes no new
    entry, or files in it that are no part of the bundle."""
    return os.path.ismount(root) or not os.access(root.parent, os.W_OK | os.X_OK) or bool(strangers_in(root))


def _grow_in_place(bundle: Bundle, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write every new file beside its place, and then rename them all, the manifest last."""
    root = bundle.path.resolve()
    for name in files:
        inside(root, name)
    kept = {name: record for name, record in bundle.manifest.files.items() if name not in files}
    whole = manifest.model_copy(update={"files": {**kept, **{name: record_of(files[name]) for name in files}}})
    refuse_missing_records(root, whole)
    data = json_from_manifest(whole)
    manifest_from_json(data, str(root / MANIFEST))  # what cannot be read again is not written
    with unwritable_is_one_line(root), contextlib.ExitStack() as leftovers:
        staged = {}
        for name, content in {**files, MANIFEST: data}.items():
            place = root / name
            staged[place] = place.with_name(f".{place.name}.new")
            staged[place].unlink(missing_ok=True)  # of a writer that was killed, or a link to anywhere
            leftovers.callback(staged[place].unlink, missing_ok=True)
            write_synced(staged[place], content)
        for place, fresh in staged.items():
            fresh.replace(place)
    return Bundle.open(bundle.path)


def _refuse_unwritable(root: Path) -> None:
    """Refuse before any work is done for it, and not after an engine was compiled."""
    if not os.access(root, os.W_OK | os.X_OK):
        raise ArtifactError(
            f"expected a bundle that may be added to at {root}, got a folder that may not be written; change its "
            "permissions, or copy the bundle to a folder of your own and name that"
        )


def _lock(root: Path) -> int:
    while True:
        try:
            descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), root.stat()):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
        except BlockingIOError:
            raise ArtifactError(
                f"expected a bundle that nobody else is writing to at {root}, got one that another capgan-edge command "
                "is adding to; wait until it has finished, then run this again"
            ) from None
        except OSError as error:
            raise ArtifactError(
                f"expected to lock the bundle {root}, but: {error.strerror or error}; check its path and permissions"
            ) from error
        os.close(descriptor)  # another writer has put a new bundle there in the meantime
