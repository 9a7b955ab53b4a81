"""The thread that captures: it opens the source, reads it, opens it again when it is lost, and is itself watched."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType

from capgan_edge.errors import CapganError, ConfigError, DataError, MissingDependencyError
from capgan_edge.runtime.stream.capture import Capture, CaptureOpener, Picture
from capgan_edge.runtime.stream.config import StreamConfig
from capgan_edge.runtime.stream.event import SourceState
from capgan_edge.runtime.stream.failure import SourceHungError
from capgan_edge.runtime.stream.mailbox import Mailbox

_LONGEST_RETRY_S = 30.0
_GOODBYE_S = 1.0
"""How long closing waits for a capture call to return; a call that hangs is left behind with its thread."""
_AGAIN = ""
"""A reason to open the source again at once: a clip that is looped is over."""
_MAX_HUNG = 3
"""Capture calls that may hang at a time; each keeps a thread and perhaps a device."""
_HOPELESS = (ConfigError, MissingDependencyError)
"""Errors of opening that no second attempt mends."""


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture with its number among all that were captured."""

    picture: Picture
    number: int
    connection: int
    """Number of the opening that it came by; a clip that is looped is opened again for each round."""


@dataclass(frozen=True, slots=True)
class Change:
    """A new state of the source."""

    state: SourceState
    reason: str
    at_s: float
    """By `time.monotonic`."""


class Capturing:
    """Fill a mailbox from a source in a thread of its own, until it is closed or a finite source ends."""

    def __init__(self, opener: CaptureOpener, config: StreamConfig, *, is_finite: bool) -> None:
        """`is_finite`: where the source ends it has ended, and is not lost."""
        self.mailbox: Mailbox[Shot] = Mailbox()
        self.num_reconnects = 0
        self._opener, self._config, self._is_finite = opener, config, is_finite
        self._lock = threading.Lock()
        self._changes: deque[Change] = deque()
        self._state: SourceState = "connecting"
        self._call_since_s: float | None = None
        self._generation = 0
        self._num_shots = 0
        self._connections = itertools.count()
        self._num_unreadable = 0
        self._failure: CapganError | None = None
        self._hung: list[threading.Thread] = []
        self._closing = threading.Event()
        self._say("connecting", "opening the source")
        self._thread = self._spawn()

    @property
    def num_unreadable(self) -> int:
        """Frames that came and could not be decoded, over all connections."""
        return self._num_unreadable

    def watch(self) -> None:
        """Notice a source that says nothing: stalled after a while, then lost and opened again in a new thread.

        Raises:
            CapganError: the source cannot be opened, and no second attempt would mend it.
            SourceHungError: too many of its calls hang.
        """
        if self._failure is not None:
            raise self._failure
        with self._lock:
            since_s = self._call_since_s
            silent_s = 0.0 if since_s is None else time.monotonic() - since_s
            if self._state == "live" and silent_s > self._config.stall_s:
                self._say("stalled", f"no frame for {silent_s:.1f} s")
            # A network source has its own timeout of lost_s: it gets a little longer to come back and say so itself.
            if self._state in ("stalled", "connecting") and silent_s > 1.2 * self._config.lost_s:
                self._say("lost", f"the capture call did not return for {silent_s:.1f} s; left it behind")
                self._open_in_a_new_thread()

    def changes_before(self, at_s: float) -> list[Change]:
        """Return the changes of state up to a moment that were not returned yet."""
        with self._lock:
            due: list[Change] = []
            while self._changes and self._changes[0].at_s <= at_s:
                due.append(self._changes.popleft())
            return due

    def close(self) -> None:
        """Stop capturing; a capture call that hangs is not waited for."""
        self._closing.set()
        self.mailbox.close()
        self._thread.join(_GOODBYE_S)

    def __enter__(self) -> Capturing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open_in_a_new_thread(self) -> None:
        self._hung = [thread for thread in (*self._hung, self._thread) if thread.is_alive()]
        if len(self._hung) > _MAX_HUNG:
            raise SourceHungError(
                f"expected the source to answer, but {len(self._hung)} calls of it hang; restart the program, "
                "and if that does not help the camera"
            )
        self._call_since_s = None
        self.num_reconnects += 1
        self._generation += 1
        self._say("connecting", "opening the source again, in a new thread")
        self._thread = self._spawn()

    def _spawn(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(self._generation,), name="capture", daemon=True)
        thread.start()
        return thread

    def _run(self, generation: int) -> None:
        wait_s = self._config.retry_s
        while self._is_current(generation):
            num_before = self._num_shots
            reason = self._connect_and_read(generation)
            if reason is None or not self._is_current(generation):
                return
            if reason == _AGAIN:
                continue
            if self._num_shots > num_before:
                wait_s = self._config.retry_s
            self._enter(generation, "lost", f"{reason}; next attempt in {wait_s:g} s")
            self._closing.wait(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_RETRY_S)
            if self._is_current(generation):
                self.num_reconnects += 1
                self._enter(generation, "connecting", "opening the source again")

    def _connect_and_read(self, generation: int) -> str | None:
        """Return why the connection is lost, or None where there is nothing more to do."""
        try:
            self._enter_call(generation)
            capture = self._opener()
        except Exception as error:  # whatever a camera's driver raises, the loop goes on
            is_hopeless = isinstance(error, _HOPELESS) or (isinstance(error, DataError) and self._is_finite)
            if is_hopeless and isinstance(error, CapganError):
                self._failure = error
                return None
            return str(error) or type(error).__name__
        try:
            return self._read_all(generation, capture)
        except Exception as error:
            return str(error) or type(error).__name__
        finally:
            capture.close()

    def _read_all(self, generation: int, capture: Capture) -> str | None:
        counted, num_read, connection = 0, 0, next(self._connections)
        due_s = time.monotonic()
        while self._is_current(generation):
            self._enter_call(generation)
            picture = capture.read()
            if not self._is_current(generation):  # left behind while it hung: what it brings now is old
                return None
            self._num_unreadable += capture.num_unreadable - counted
            counted = capture.num_unreadable
            if picture is None:
                return self._ended(generation, num_read, counted)
            num_read += 1
            self._enter(generation, "live", "frames arrive", at_s=picture.arrived_s)
            self._post(Shot(picture, self._num_shots, connection))
            self._num_shots += 1
            if capture.fps and not self._config.every_frame:
                due_s = max(due_s + 1 / capture.fps, time.monotonic() - 1)  # a clip that fell behind does not race
                self._closing.wait(max(0.0, due_s - time.monotonic()))
        return None

    def _post(self, shot: Shot) -> None:
        if self._config.every_frame:
            self.mailbox.hand_over(shot)
        else:
            self.mailbox.put(shot)

    def _ended(self, generation: int, num_read: int, num_unreadable: int) -> str | None:
        if not self._is_finite:
            return "the source sends no more frames"
        if num_read == 0:
            self._failure = DataError("expected frames in the source, got none that can be read; check the file")
            return None
        if self._config.is_looped:
            return _AGAIN
        said = f"its {num_read} frames are over"
        if num_unreadable:
            said = f"{num_read} of {num_read + num_unreadable} frames could be read"
        self._enter(generation, "ended", said)
        return None

    def _is_current(self, generation: int) -> bool:
        return not self._closing.is_set() and generation == self._generation

    def _enter(self, generation: int, state: SourceState, reason: str, *, at_s: float | None = None) -> None:
        """Take down that a call of the source has returned, and the new state where it is one."""
        with self._lock:
            if not self._is_current(generation):
                return
            self._call_since_s = None
            if state != self._state:
                self._say(state, reason, at_s=at_s)

    def _enter_call(self, generation: int) -> None:
        """Take down when a call of the source began: only such a call can hang, our own waiting is none."""
        with self._lock:
            if self._is_current(generation):
                self._call_since_s = time.monotonic()

    def _say(self, state: SourceState, reason: str, *, at_s: float | None = None) -> None:
        self._state = state
        self._changes.append(Change(state, reason, time.monotonic() if at_s is None else at_s))
