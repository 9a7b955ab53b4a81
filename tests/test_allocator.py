"""Memory that a process freed is its own still, when it asks for it again; not where that is switched off."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from capgan_edge.allocator import SWITCH

PROGRAM = """
import resource
from capgan_edge.allocator import keep_freed_memory
print(keep_freed_memory())
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    before = faults()
    held = bytearray(b"x") * (100 << 20)
    del held
print(faults() - before)
"""
is_glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"


def run_with(switch: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | {SWITCH: switch}, capture_output=True,
                          text=True, check=True)  # fmt: skip
    is_kept, faults = done.stdout.split()
    return is_kept == "True", int(faults)


@pytest.mark.skipif(not is_glibc, reason="another allocator than glibc's")
def test_what_was_freed_is_not_paged_in_again_unless_switched_off() -> None:
    (is_kept, kept_faults), (is_kept_off, returned_faults) = run_with("1"), run_with("0")
    assert (is_kept, is_kept_off) == (True, False)
    assert kept_faults < 0.1 * returned_faults
    assert returned_faults > 40  # 100 MiB, in pages of at most 2 MiB


def test_it_does_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from capgan_edge import allocator

    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert allocator.keep_freed_memory() is False
