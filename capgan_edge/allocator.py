"""Memory that is freed and asked for again: kept by the process while a long job computes on the CPU.

A step of training, or of an attack, frees tensors of megabytes and asks for the same ones again. glibc hands blocks of
more than 32 MiB, and more than twice that at the heap's end, back to the kernel at once (mallopt(3), M_MMAP_THRESHOLD
and M_TRIM_THRESHOLD), which then clears and maps every page anew: dear on a virtual machine, where each page fault is
two. `python -m capgan_benchmarks.kept_memory` measures what it costs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

SWITCH = "CAPGAN_EDGE_KEEP_MEMORY"
"""The environment variable that leaves the allocator as it is, where it is 0."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**31 - 1
_LARGEST_BLOCKS_BYTES = (2**30, 2**25)
"""Sizes up to which blocks are kept; a glibc that takes no more than 32 MiB is given that."""


def keep_freed_memory() -> bool:
    """Let this process keep up to 2 GiB that it freed, for what it asks for next; return whether it will.

    For commands that train or attack. Not for the runtime: a camera's memory belongs to the whole box. Where the C
    library is not glibc, or `CAPGAN_EDGE_KEEP_MEMORY` is 0, nothing is done.
    """
    if os.environ.get(SWITCH) == "0" or sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    is_kept = any(mallopt(_M_MMAP_THRESHOLD, size) for size in _LARGEST_BLOCKS_BYTES)
    return bool(is_kept and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
