"""Adding to a bundle: one writer at a time, and the bundle is the old one or the new one, never a part."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.manifest import Manifest


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[Bundle]:
    """Hold the bundle at `path` against other writers, and give it opened and verified.

    The lock is the kernel's, on the directory itself: it goes with the process, whatever ends it, and leaves no file.

    Raises:
        ArtifactError: there is no bundle, or another process is writing to it.
    """
    root = Path(path)
    Bundle.open(root)  # what is wrong with it is said as always
    descriptor = _lock(root)
    try:
        yield Bundle.open(root)
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
    kept = {name: bundle.read_file(name) for name in bundle.manifest.files if name not in files}
    return write_bundle(bundle.path, manifest, {**kept, **files}, overwrite=True)


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
