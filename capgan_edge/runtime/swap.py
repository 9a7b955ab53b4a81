"""One directory in the place of another, in one step that no reader and no crash sees half of."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_EXCHANGE = 2
"""RENAME_EXCHANGE of Linux."""
_HERE = -100
"""AT_FDCWD: paths are as everywhere else."""
_HAS_NONE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""What a kernel or a file system says that cannot exchange."""


def swap_in(fresh: Path, target: Path) -> None:
    """Put `fresh` at `target`; a directory with anything in it that was there is afterwards at `fresh`.

    Where the kernel or the file system cannot exchange two directories, it is done in two renames.

    Raises:
        OSError: it cannot be moved, as a mount point cannot; nothing changed.
    """
    if not (target.exists() and any(target.iterdir())):
        fresh.rename(target)
    elif not _exchange(fresh, target):
        _in_two_renames(fresh, target)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths, and say whether that can be done here."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), ctypes.c_uint(_EXCHANGE)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _HAS_NONE:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _in_two_renames(fresh: Path, target: Path) -> None:
    old = fresh.with_name(f"{fresh.name}.old")
    target.rename(old)
    try:
        fresh.rename(target)
    except BaseException:
        old.rename(target)
        raise
