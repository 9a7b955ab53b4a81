"""Events as JSON lines, each given to the system when it is written."""

from __future__ import annotations

import errno
import json
import os
import select
import sys
import time

from capgan_edge.errors import CapganError
from capgan_edge.runtime.stream.event import Event


class JsonLines:
    """Write each event as one line to a file, a pipe or a device, or to standard output where the path is `-`."""

    def __init__(self, path: str, *, patience_s: float = 5.0) -> None:
        """Continue a file that is there; the reader of a pipe may take nothing for `patience_s`, then it has failed.

        Raises CapganError where the path cannot be written.
        """
        self._path, self._patience_s = path, patience_s
        self._file: int | None = None
        if path == "-":
            return
        try:
            # Not blocking: opening a pipe would wait for a reader, and writing to one that does not read for ever.
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except OSError as error:
            reason = "nobody reads that pipe" if error.errno == errno.ENXIO else error.strerror
            raise CapganError(
                f"expected to write JSON lines to {path}, but: {reason}; start its reader first, or name another"
            ) from error

    def write(self, event: Event) -> None:
        line = json.dumps(event.as_json(), allow_nan=False) + "\n"
        if self._file is None:
            sys.stdout.write(line)
            sys.stdout.flush()
        else:
            self._write_all(self._file, line.encode())

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write_all(self, file: int, data: bytes) -> None:
        until_s = time.monotonic() + self._patience_s
        while data:
            try:
                data = data[os.write(file, data) :]
            except BlockingIOError as error:
                _, writable, _ = select.select([], [file], [], max(0.0, until_s - time.monotonic()))
                if not writable:
                    raise CapganError(f"the reader of {self._path} took nothing for {self._patience_s:g} s") from error
            except BrokenPipeError as error:
                raise CapganError(f"the reader of {self._path} has gone") from error
