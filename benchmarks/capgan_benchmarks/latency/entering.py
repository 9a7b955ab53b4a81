"""Open everyone who is to be timed; who cannot be is told, and is an error where it was named."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from capgan_benchmarks.latency.contestant import Contestant
from capgan_benchmarks.latency.own import Graph, classify_contestant, contestants_of, engine_contestant
from capgan_benchmarks.latency.peers.catalogue import ALL, chosen_peers, make_peer
from capgan_benchmarks.latency.record import NotRun
from capgan_benchmarks.latency.request import LatencyRequest
from capgan_benchmarks.latency.subject import Subject
from capgan_edge.errors import CapganError, ConfigError


@dataclass(slots=True)
class Field:
    """Everyone who is timed, and who is not; closes them all."""

    contestants: list[Contestant] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)
    bundle_path: Path | None = None
    """Records say its name alone."""

    def close(self) -> None:
        """Free every engine."""
        with contextlib.ExitStack() as stack:
            for each in self.contestants:
                stack.callback(each.close)

    def enter(self, name: str, make: Callable[[], tuple[Contestant, ...]], *, is_named: bool) -> None:
        """Take who `make` gives; where it raises and nobody named them, keep why."""
        try:
            self.contestants.extend(make())
        except CapganError as error:
            if is_named:
                raise
            why = " ".join(str(error).split())
            if self.bundle_path is not None:
                why = why.replace(str(self.bundle_path), self.bundle_path.name)
            self.not_run.append(NotRun(name=name, why=why))


def open_field(subject: Subject, request: LatencyRequest, threads: int) -> Field:
    """Return everyone: the classifier alone and the purified artifact in each runtime, `classify`, and the peers.

    Raises:
        CapganError: somebody who was named cannot run here, or nobody can.
    """
    peers, others = chosen_peers(request.against)
    runtimes = tuple(dict.fromkeys((request.runtime, *others)))
    held = Field(bundle_path=None if subject.bundle is None else subject.bundle.path)
    try:
        for graph in subject.graphs:
            for runtime in runtimes:
                # A runtime that cannot run one of several graphs still runs the others.
                is_named = len(subject.graphs) == 1 and (runtime == request.runtime or ALL not in request.against)
                held.enter(f"{graph.name}, {runtime}", partial(contestants_of, graph, runtime, threads),
                           is_named=is_named)  # fmt: skip
        for name in subject.engines:
            made_engine = partial(_engine, subject, name, allow_host_code=request.allow_host_code)
            held.enter(name, made_engine, is_named=name in request.artifacts)
        if not any(each.role == "purified" for each in held.contestants):
            reasons = "; ".join(f"{each.name}: {each.why}" for each in held.not_run)
            raise ConfigError(f"expected an artifact that runs here, but: {reasons}; name another with --artifact")
        for graph in subject.graphs:
            made = partial(_classify, subject, graph, request.runtime, threads)
            held.enter(f"classify, {graph.name}, {request.runtime}", made, is_named=False)
        for name in peers if subject.graphs else ():
            held.enter(name, partial(_peer, subject, name, threads), is_named=name in request.against)
    except BaseException:
        held.close()
        raise
    return held


def _classify(subject: Subject, graph: Graph, runtime: str, threads: int) -> tuple[Contestant, ...]:
    return (classify_contestant(graph, runtime, threads, labels=subject.labels, size_px=subject.size_px),)


def _peer(subject: Subject, name: str, threads: int) -> tuple[Contestant, ...]:
    """Return a peer that has answered once: a compiler that is missing or a library that fails shows only then."""
    peer = make_peer(name, graph=subject.graphs[0], source=subject.source, threads=threads)
    try:
        peer.call(np.zeros((1, *subject.size_px, 3), np.uint8))
    except CapganError:
        raise
    except Exception as error:  # other people's libraries raise what they like
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise CapganError(f"expected {name} to classify a frame, but: {detail}; leave it out") from error
    return (peer,)


def _engine(subject: Subject, name: str, *, allow_host_code: bool) -> tuple[Contestant, ...]:
    from capgan_edge.runtime.engine_opening import open_engine

    assert subject.bundle is not None
    manifest = subject.bundle.manifest
    runner = open_engine(subject.bundle, name, allow_host_code=allow_host_code)
    return (engine_contestant(runner, name, precision=manifest.engines[name].precision,
                              sha256=manifest.files[name].sha256, providers=runner.providers),)  # fmt: skip
