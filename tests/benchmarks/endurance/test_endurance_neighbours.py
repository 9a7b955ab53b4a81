"""What other processes take of the machine is seen, and what the watched one takes is not held against them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from capgan_benchmarks.endurance.neighbours import others_since_now

SPIN = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"


def used_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_process_counts_as_other_unless_it_is_the_watched_one() -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN]) as spinning:
        try:
            began_s, before_s = time.monotonic(), used_s(spinning.pid)
            without_it, with_it = others_since_now(spinning.pid), others_since_now(os.getpid())
            while used_s(spinning.pid) < before_s + 0.5:
                time.sleep(0.05)
            own = (used_s(spinning.pid) - before_s) / (time.monotonic() - began_s)
            seen = with_it(), without_it()
        finally:
            spinning.kill()
    assert seen[0] - seen[1] > 0.5 * own
