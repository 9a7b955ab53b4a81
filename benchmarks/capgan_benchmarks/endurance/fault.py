"""One fault: what is done, what must happen, and what happened."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from capgan_benchmarks.endurance.bench import Bench
from capgan_edge.runtime.fields import Name, Record

Where = Literal["camera loop", "server"]
Outcome = Literal["survived", "lost", "not tried"]
_PATH = re.compile(r"(?<![\w:/.])/(?:[^\s/]+/)+([^\s/]+)")
LONGEST_S = 240.0
"""Of one fault: what takes longer hangs."""


class Lost(Exception):  # noqa: N818 - it is a finding
    """What must happen did not happen."""


class NotTried(Exception):  # noqa: N818 - as above
    """This machine lacks what it takes."""


def must(is_so: bool, said: str) -> None:
    """Raise `Lost` with what was seen instead, unless it is so."""
    if not is_so:
        raise Lost(said)


def wait_for(is_so: Callable[[], bool], said: str, *, patience_s: float = 30.0) -> None:
    """Look until it is so; raise `Lost` where it does not become so."""
    until_s = time.monotonic() + patience_s
    while not is_so():
        must(time.monotonic() < until_s, f"{said} within {patience_s:g} s")
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is tried."""

    where: Where
    name: str
    must: str
    """Happen."""
    attempt: Callable[[Bench], str]
    """Do it, and return what was seen in a few words; raises `Lost`."""


class Tried(Record):
    """What came of it."""

    where: Name
    fault: Name
    must: Name
    seen: Name
    outcome: Outcome
    seconds: float


def try_out(fault: Fault, bench: Bench, *, longest_s: float = LONGEST_S) -> Tried:
    """Run one fault to its end, or to the end of patience: whatever it raises is a fault that was not survived."""
    came: list[tuple[Outcome, str]] = []

    def run() -> None:
        try:
            came.append(("survived", fault.attempt(bench)))
        except NotTried as reason:
            came.append(("not tried", str(reason)))
        except Lost as lost:
            came.append(("lost", str(lost)))
        except Exception as error:  # whatever it is, the other faults are still tried
            came.append(("lost", f"{type(error).__name__}: {error}"))

    began_s = time.monotonic()
    thread = threading.Thread(target=run, name=f"fault {fault.name}", daemon=True)
    thread.start()
    thread.join(longest_s)
    outcome, seen = came[0] if came else ("lost", f"it hung for {longest_s:g} s")
    return Tried(where=fault.where, fault=fault.name, must=fault.must, seen=_line_of(seen), outcome=outcome,
                 seconds=round(time.monotonic() - began_s, 2))  # fmt: skip


def _line_of(seen: str) -> str:
    """Return one printable line, in which of a path there is the last name alone: a folder says nothing elsewhere."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(seen.split()))
    return _PATH.sub(r"\1", line) or "nothing said"
