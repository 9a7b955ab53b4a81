"""The camera loop: events from a source, until it ends, someone stops it, or it cannot go on."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Generator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.capture import CaptureOpener
from capgan_edge.runtime.stream.capturing import Capturing, Change, Shot
from capgan_edge.runtime.stream.config import StreamConfig
from capgan_edge.runtime.stream.event import Counts, Event, SourceState
from capgan_edge.runtime.stream.failure import DeadlineMissedError, RunnerFailedError
from capgan_edge.runtime.stream.opening import opener_of
from capgan_edge.runtime.stream.processing import FrameProcessor
from capgan_edge.runtime.stream.regions import Regions
from capgan_edge.runtime.stream.source import parse_source

Source = int | str | Path | CaptureOpener
_GLANCE_S = 0.05
"""How often a silent source is looked after."""


def stream_events(
    classifier: Classifier,
    source: Source,
    *,
    regions: Regions = "whole",
    config: StreamConfig | None = None,
    stop: threading.Event | None = None,
) -> Generator[Event, None, None]:
    """Return the events of a source; see `capgan_edge.stream`. What is wrong with the request is raised at once."""
    config = config or StreamConfig()
    if callable(source):
        opener, is_finite = source, False
    else:
        spec = parse_source(source)
        opener, is_finite = opener_of(spec, patience_s=config.lost_s), spec.is_finite
    if (config.every_frame or config.is_looped) and not is_finite:
        raise ConfigError(
            "expected a file, a folder or the demo to take every frame of or to loop, got a source that does not wait; "
            "leave every_frame and is_looped out"
        )
    processor = FrameProcessor(classifier, regions, config)
    return _Loop(processor, config).events(opener, is_finite, stop or threading.Event())


def stream_with_options(classifier: Classifier, source: Source, **options: Any) -> Generator[Event, None, None]:
    """Return `stream_events`, its configuration given as single options."""
    request = {name: options.pop(name) for name in ("regions", "stop") if name in options}
    known = {field.name for field in fields(StreamConfig)}
    if unknown := sorted(options.keys() - known):
        raise ConfigError(
            f"expected options among stop, {', '.join(sorted(known))}, got {', '.join(unknown)}; check them"
        )
    return stream_events(classifier, source, config=StreamConfig(**options), **request)


class _Loop:
    """One run over one source."""

    def __init__(self, processor: FrameProcessor, config: StreamConfig) -> None:
        self._processor, self._config = processor, config
        self._numbers = itertools.count()
        self._told: SourceState = "connecting"
        self._wall_offset_s = time.time() - time.monotonic()

    def events(self, opener: CaptureOpener, is_finite: bool, stop: threading.Event) -> Generator[Event, None, None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.closing(self._processor))
            if stop.is_set():  # before anything was opened
                return
            capturing = stack.enter_context(Capturing(opener, self._config, is_finite=is_finite))
            while not stop.is_set():
                shot = capturing.mailbox.take(_GLANCE_S)
                capturing.watch()
                for change in capturing.changes_before(float("inf") if shot is None else shot.picture.arrived_s):
                    yield self._source_event(change, capturing)
                    if change.state == "ended":
                        return
                if shot is not None:
                    yield (event := self._frame_event(shot, capturing))
                    self._refuse_to_go_on(event)

    def _source_event(self, change: Change, capturing: Capturing) -> Event:
        self._told = change.state
        return Event(
            kind="source",
            number=next(self._numbers),
            source_state=change.state,
            reason=change.reason,
            counts=self._counts(capturing),
        )

    def _frame_event(self, shot: Shot, capturing: Capturing) -> Event:
        said = self._processor.process(shot.picture, connection=shot.connection)
        return Event(
            kind="frame",
            number=next(self._numbers),
            source_state=self._told,  # what came since is told after this frame
            frame_number=shot.number,
            captured_s=shot.picture.arrived_s + self._wall_offset_s,
            age_ms=1000 * (time.monotonic() - shot.picture.arrived_s),
            counts=self._counts(capturing),
            frame_HWC=shot.picture.frame_HWC,
            **said,
        )

    def _counts(self, capturing: Capturing) -> Counts:
        return replace(
            self._processor.counts,
            dropped=capturing.mailbox.dropped,
            unreadable=capturing.num_unreadable,
            reconnects=capturing.num_reconnects,
        )

    def _refuse_to_go_on(self, event: Event) -> None:
        if self._processor.num_failures > self._config.max_failures:
            raise RunnerFailedError(
                f"expected frames to be classified, but {self._processor.num_failures} in a row failed, the last with: "
                f"{event.error}; check the bundle with capgan-edge verify"
            )
        if event.is_deadline_missed and self._config.on_deadline_miss == "stop":
            raise DeadlineMissedError(
                f"expected a verdict within {self._config.deadline_ms:g} ms of the frame's arrival, got it after "
                f"{event.age_ms:.0f} ms; allow more time, or choose hold or bypass"
            )
