"""One frame after the other, from a picture to an event: health, regions, a pass, tracks and votes, counts."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.box import Box
from capgan_edge.runtime.stream.capture import Picture
from capgan_edge.runtime.stream.config import StreamConfig
from capgan_edge.runtime.stream.deadline import Outcome, policy_of
from capgan_edge.runtime.stream.event import Counts, Health, LatencySplit, PurifierState, RegionVerdict
from capgan_edge.runtime.stream.failure import EngineHungError, RunnerFailedError
from capgan_edge.runtime.stream.health import HealthMonitor
from capgan_edge.runtime.stream.passes import Finding, Found, Job, Passes
from capgan_edge.runtime.stream.regions import DetectorError, RegionFinder, Regions
from capgan_edge.runtime.stream.tracker import Tracker
from capgan_edge.runtime.stream.vote import Votes
from capgan_edge.runtime.stream.worker import Worker


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest verdicts, and when their frame arrived."""

    verdicts: tuple[RegionVerdict, ...]
    arrived_s: float
    purified_HWC: NDArray[np.uint8] | None = None
    """The crop that is suspected most, where purified crops are wanted."""


class FrameProcessor:
    """Turn pictures into what an event says of them."""

    def __init__(self, classifier: Classifier, regions: Regions, config: StreamConfig) -> None:
        """Warm the engine up.

        Raises:
            ConfigError: the regions are none.
            ArtifactError: the policy is bypass, and the graph has no raw logits; or purified crops are wanted, and it
                gives none.
            RunnerFailedError: not even the first passes ran.
        """
        self.counts = Counts()
        self.num_failures = 0
        """Passes in a row that failed."""
        self._labels = classifier.labels
        self._finder = RegionFinder(regions)
        self._monitor = HealthMonitor(config.frozen_after)
        self._tracker, self._votes = Tracker(), Votes(config.vote)
        self._known: _Known | None = None
        self._connection, self._connected_s = 0, -math.inf
        passes = Passes(classifier, with_purified=config.with_purified)
        self._worker = Worker(config.hang_s)
        _warm_up(passes, self._worker, self._finder.count_hint, config)
        self._policy = policy_of(config, passes, self._worker)

    def process(self, picture: Picture, *, connection: int = 0) -> dict[str, Any]:
        """Return the fields of the frame's event that are about its content; a frame that fails has `error`.

        With another `connection` than before, what earlier ones showed is forgotten.

        Raises:
            EngineHungError: a pass does not end.
        """
        started_s = time.perf_counter()
        if connection != self._connection:
            self._forget(connection, picture.arrived_s)
        self._count(frames=1)
        health = self._monitor.label(picture.frame_HWC)
        said: dict[str, Any] = {"health": health}
        found: Found | None = None
        try:
            if health == "ok":
                outcome = self._classified(picture)
                found = outcome.found if outcome is not None else None
                said |= self._said_of(outcome, picture)
            else:
                self._count_health(health)
            if found is not None:  # a frame that needed no pass says nothing of the engine
                self.num_failures = 0
        except EngineHungError:
            raise
        except Exception as error:  # one frame's error, whatever it is: told, counted, and the next frame comes
            self._count(errors=1)
            self.num_failures += not isinstance(error, DetectorError)
            said |= {"error": " ".join(str(error).split()) or type(error).__name__}
        said["latency"] = _split(picture, found, 1000 * (time.perf_counter() - started_s))
        return said

    def close(self) -> None:
        """Let a pass that is still running end; the classifier stays open."""
        self._policy.close()
        self._worker.close()

    def _classified(self, picture: Picture) -> Outcome | None:
        """Return what the policy made of the picture; None where there is nothing in it to classify."""
        boxes = self._finder.boxes(picture)
        self._count(regions_outside=self._finder.num_outside - self.counts.regions_outside)
        job = Job(frame_HWC=picture.frame_HWC, boxes=boxes, arrived_s=picture.arrived_s)
        late = self._policy.late(job)
        if late is not None:
            self.num_failures = 0
            if late[0].arrived_s >= self._connected_s:  # else it shows what an earlier connection did
                self._learn(*late)
        if not boxes:
            self._learn_nothing(picture.arrived_s)
            return None
        outcome = self._policy.run(job)
        if outcome.found is not None:
            self._learn(job, outcome.found)
        return outcome

    def _said_of(self, outcome: Outcome | None, picture: Picture) -> dict[str, Any]:
        state: PurifierState = "idle" if outcome is None else outcome.state
        is_missed = outcome is not None and outcome.is_missed
        self._count(deadline_misses=is_missed, held=state == "held", bypassed=state == "bypassed")
        known = self._known
        verdicts = () if known is None else known.verdicts
        suspicions = [verdict.suspicion for verdict in verdicts if verdict.suspicion is not None]
        alarms = [verdict.is_alarm for verdict in verdicts if verdict.is_alarm is not None]
        is_held = state == "held" and known is not None
        return {
            "purifier_state": state,
            "verdicts": verdicts,
            "suspicion": max(suspicions, default=None),
            "is_alarm": any(alarms) if alarms else None,
            "is_deadline_missed": is_missed,
            "held_age_ms": 1000 * (time.monotonic() - known.arrived_s) if is_held and known else None,
            "purified_HWC": known.purified_HWC if state == "active" and known else None,
        }

    def _learn(self, job: Job, found: Found) -> None:
        ids = self._tracker.update(job.boxes)
        self._votes.keep_only(self._tracker.live_ids)
        verdicts = self._verdicts(job.boxes, ids, found.findings)
        suspected = max(found.findings, key=lambda finding: finding.suspicion or 0.0)
        self._known = _Known(verdicts, job.arrived_s, suspected.purified_HWC)

    def _forget(self, connection: int, since_s: float) -> None:
        """Let go of tracks, their votes, and verdicts: anything may have come before the camera meanwhile."""
        self._connection, self._connected_s = connection, since_s
        self._tracker.forget()
        self._known = None

    def _learn_nothing(self, arrived_s: float) -> None:
        self._tracker.update([])
        self._known = _Known((), arrived_s)

    def _verdicts(
        self, boxes: Sequence[Box], ids: Sequence[int], findings: Sequence[Finding]
    ) -> tuple[RegionVerdict, ...]:
        verdicts: list[RegionVerdict] = []
        for box, track_id, finding in zip(boxes, ids, findings, strict=True):
            tally = self._votes.cast(track_id, finding.index, finding.score)
            verdicts.append(
                RegionVerdict(
                    box=box,
                    track_id=track_id,
                    index=finding.index,
                    label=self._labels[finding.index],
                    score=finding.score,
                    suspicion=finding.suspicion,
                    is_alarm=finding.is_alarm,
                    raw_label=None if finding.raw_index is None else self._labels[finding.raw_index],
                    voted_label=self._labels[tally.index],
                    vote_share=tally.share,
                )
            )
        return tuple(verdicts)

    def _count_health(self, health: Health) -> None:
        self._count(black=health == "black", frozen=health == "frozen")

    def _count(self, **more: int) -> None:
        self.counts = replace(self.counts, **{name: getattr(self.counts, name) + more[name] for name in more})


def _warm_up(passes: Passes, worker: Worker, num_crops: int, config: StreamConfig) -> None:
    with_raw = config.deadline_ms is not None and config.on_deadline_miss == "bypass"
    for _ in range(config.max_failures + 1):
        try:
            running = worker.begin(lambda: passes.warm_up(num_crops, with_raw=with_raw))
            running.wait()  # however long: engines may build themselves in their first pass
            return running.result()
        except ArtifactError as error:
            if "exported without it" in str(error):  # no attempt will bring the output about
                raise
            reason: Exception = error
        except Exception as error:  # an engine that fails once is an engine that may run
            reason = error
    raise RunnerFailedError(
        f"expected the engine to run, but it failed {config.max_failures + 1} times before the first frame, "
        f"the last with: {reason}; check the bundle with capgan-edge verify"
    ) from reason


def _split(picture: Picture, found: Found | None, whole_ms: float) -> LatencySplit:
    resize_ms = None if found is None else found.resize_ms
    inference_ms = None if found is None else found.inference_ms
    rest_ms = whole_ms - (resize_ms or 0) - (inference_ms or 0)
    return LatencySplit(
        capture_ms=picture.capture_ms, resize_ms=resize_ms, inference_ms=inference_ms, post_ms=max(0.0, rest_ms)
    )
