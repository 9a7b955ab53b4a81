"""What ends the camera loop early, each with an exit code that a service manager can tell apart.

0  the source ended, or the loop was asked to stop
3  pass after pass failed
4  a deadline was missed, and the policy is to stop
5  the loop ended well, but an output (video, JSON lines) had failed
6  calls of the source hang, one after the other
7  a pass of the engine hangs
"""

from __future__ import annotations

from capgan_edge.errors import CapganError

OUTPUT_FAILED = 5


class RunnerFailedError(CapganError):
    """Pass after pass failed."""

    exit_code = 3


class DeadlineMissedError(CapganError):
    """A deadline was missed, and the policy is to stop."""

    exit_code = 4


class SourceHungError(CapganError):
    """Calls of the source hang, one after the other, and each keeps a thread."""

    exit_code = 6


class EngineHungError(CapganError):
    """A pass of the engine does not end. Closing its classifier would wait for it: end the process."""

    exit_code = 7
