"""What the server counts beside KServe's own latencies, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REFUSED = Counter("capgan_serve_refused", "Requests that got no result, REST and gRPC, by HTTP status", ["status"])
for _status in (400, 401, 403, 404, 408, 413, 500, 503):
    REFUSED.labels(status=str(_status))  # 0 from the start: a rate of what is not there yet is no rate
OPEN = Gauge("capgan_serve_open_requests", "Requests that are being read, wait, or are being answered")
WAITING = Gauge("capgan_serve_waiting_frames", "Frames that wait for the engine")
BATCH = Histogram("capgan_serve_batch_frames", "Frames of a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
ENGINE = Histogram("capgan_serve_engine_seconds", "Wall time of a batch in the engine",
                   buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2))  # fmt: skip
ENGINE_FAILURES = Counter("capgan_serve_engine_failures", "Batches that the engine failed on")
SUSPICION = Histogram("capgan_serve_suspicion", "Suspicion of a frame, in [0, 1]",
                      buckets=(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0))  # fmt: skip
ALARMS = Counter("capgan_serve_alarms", "Frames with a suspicion above the artifact's threshold")
REPLACED = Gauge("capgan_serve_bundle_replaced", "1 where the bundle on disk is no longer the one served")
