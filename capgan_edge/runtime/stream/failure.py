"""What ends the camera loop early, each with an exit code that a service manager can tell apart.

0  the source ended, or the loop was asked to stop
3  frame after frame could not be processed
4  a deadline was missed, and the policy is to stop
5  the loop ended well, but an output (video, JSON lines) had failed
6  calls of the source hang, one after the other
"""

from __future__ import annotations

from capgan_edge.errors import CapganError

OUTPUT_FAILED = 5


class RunnerFailedError(CapganError):
    """Frame after frame could not be processed."""

    exit_code = 3


class DeadlineMissedError(CapganError):
    """A deadline was missed, and the policy is to stop."""

    exit_code = 4


class SourceHungError(CapganError):
    """Calls of the source hang, one after the other, and each keeps a thread."""

    exit_code = 6
