"""Prometheus metrics of one camera loop, served over HTTP."""

from __future__ import annotations

from typing import Any, get_args

from capgan_edge.errors import ConfigError, MissingDependencyError
from capgan_edge.runtime.stream.event import Counts, Event, PurifierState, SourceState

_AGES_S = (0.005, 0.01, 0.02, 0.033, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_STAGES = ("capture", "resize", "inference", "post")
_COUNTED = {
    "frames": "Frames that got an event",
    "dropped": "Frames that a newer one replaced before they were looked at",
    "unreadable": "Frames that came and could not be decoded",
    "errors": "Frames whose processing failed",
    "deadline_misses": "Frames whose verdict was not there in time",
    "held": "Frames answered with earlier verdicts",
    "bypassed": "Frames answered without purification",
    "black": "Black frames, not classified",
    "frozen": "Frozen frames, not classified",
    "regions_outside": "Regions wholly outside their frame, not classified",
    "reconnects": "Attempts to open the source again",
}


class Metrics:
    """Serve what the events say until it is closed; the metrics of each loop are its own."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Serve on a port; 0 takes a free one, see `port`.

        Raises:
            ConfigError: the port is taken, or the host is none of this machine's.
            MissingDependencyError: prometheus-client is not installed.
        """
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise MissingDependencyError("prometheus-client", "serving metrics", "camera") from error
        registry = prometheus.CollectorRegistry()
        self._counters = {
            name: prometheus.Counter(f"capgan_{name}", help_, registry=registry) for name, help_ in _COUNTED.items()
        }
        self._alarms = prometheus.Counter("capgan_alarms", "Frames with an alarm", registry=registry)
        self._age = prometheus.Histogram(
            "capgan_frame_age_seconds", "From arrival to event", buckets=_AGES_S, registry=registry
        )
        self._latency = prometheus.Histogram(
            "capgan_latency_seconds", "Wall time by stage", ["stage"], buckets=_AGES_S, registry=registry
        )
        self._suspicion = prometheus.Histogram(
            "capgan_suspicion", "Largest suspicion of a frame", buckets=_SHARES, registry=registry
        )
        self._source: Any = prometheus.Enum(
            "capgan_source_state", "Of the source", states=list(get_args(SourceState)), registry=registry
        )
        self._purifier: Any = prometheus.Enum(
            "capgan_purifier_state", "Of the last frame", states=[*get_args(PurifierState)], registry=registry
        )
        self._outputs = prometheus.Gauge("capgan_output_up", "1: an output works; 0: it failed", ["output"],
                                         registry=registry)  # fmt: skip
        self._counts = Counts()
        try:
            self._server, self._thread = prometheus.start_http_server(port, host, registry)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"expected a free port at {host}:{port} for metrics, but: {error}; name another"
            ) from error
        self.port: int = self._server.server_port

    def write(self, event: Event) -> None:
        for name, counter in self._counters.items():
            counter.inc(getattr(event.counts, name) - getattr(self._counts, name))
        self._counts = event.counts
        self._source.state(event.source_state)
        if event.kind == "source":
            return
        self._purifier.state(event.purifier_state)
        self._alarms.inc(bool(event.is_alarm))
        self._age.observe((event.age_ms or 0.0) / 1000)
        if event.suspicion is not None and event.purifier_state == "active":
            self._suspicion.observe(event.suspicion)
        for stage in _STAGES:
            spent_ms = getattr(event.latency, f"{stage}_ms", None)
            if spent_ms is not None:
                self._latency.labels(stage).observe(spent_ms / 1000)

    def show_output(self, name: str, *, is_up: bool) -> None:
        """Tell whether an output works."""
        self._outputs.labels(name).set(is_up)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
