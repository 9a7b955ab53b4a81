"""Events as JSON lines, each flushed when it is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

from capgan_edge.errors import CapganError
from capgan_edge.runtime.stream.event import Event


class JsonLines:
    """Write each event as one line to a file, or to standard output where the path is `-`."""

    def __init__(self, path: str) -> None:
        """Raises CapganError where the file cannot be written. A file that is there is continued."""
        self._is_stdout = path == "-"
        try:
            self._file: TextIO = sys.stdout if self._is_stdout else Path(path).open("a", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise CapganError(f"expected to write JSON lines to {path}, but: {error.strerror}; name another") from error

    def write(self, event: Event) -> None:
        self._file.write(json.dumps(event.as_json(), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        if not self._is_stdout:
            self._file.close()
