"""A server under more than it takes, with an engine that fails, and with its bundle replaced under it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import NAME, PATIENCE_S, Obedient, Poisoned, Running, frames_of, json_request, load, logits_of, output

from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.runner import Runner
from capgan_edge.runtime.serve.limits import Limits
from capgan_edge.runtime.serve.loaded import load_for_serving
from capgan_edge.runtime.serve.server import EdgeServer, Place


def around(kind: type[Obedient], made: list[Any]) -> Callable[[Runner], Runner]:
    def wrap(runner: Runner) -> Runner:
        made.append(kind(runner))
        return made[0]

    return wrap


def test_ten_times_too_much_gets_503_and_the_rest_right_answers(shared_bundle: Bundle) -> None:
    made: list[Obedient] = []
    limits = Limits(max_queue=4, max_batch=2, max_wait_ms=0)
    with Running(load(shared_bundle, around(Obedient, made)), limits=limits) as running, ThreadPoolExecutor(60) as pool:
        (runner,) = made
        runner.may_go.clear()
        requests = {number: frames_of(1, seed=number) for number in range(60)}
        asked = {pool.submit(running.infer, json_request(frames, id=str(number))): number
                 for number, frames in requests.items()}  # fmt: skip
        num_refused = 0
        for future in as_completed(asked, PATIENCE_S):
            reply = future.result()
            if reply.status == 503:
                num_refused += 1
                assert reply.headers["retry-after"] == "1"
                assert "come again later" in reply.error
                if num_refused == 54:  # of the others, at most two are with the engine and four wait
                    runner.may_go.set()
                continue
            assert (reply.status, reply.json["id"]) == (200, str(asked[future]))
            frames = requests[asked[future]]
            np.testing.assert_allclose(output(reply, "logits"), logits_of(frames), rtol=1e-5)
        assert num_refused >= 54
        assert running.infer(json_request(frames_of(1))).status == 200


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ArtifactError("expected TensorRT to run, but: out of memory; build it again"), "out of memory"),
        (
            RuntimeError("secret of the inside\nin two lines"),
            "internal error: RuntimeError; the server's log says more",
        ),
        (MemoryError(), "internal error: MemoryError"),
    ],
    ids=["ours", "foreign", "memory"],
)
def test_an_engine_that_fails_is_500_with_a_line_and_the_server_lives(
    failure: Exception, message: str, shared_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Obedient] = []
    with Running(load(shared_bundle, around(Obedient, made))) as running:
        made[0].failure = failure
        for _ in range(3):
            reply = running.infer(json_request(frames_of(1)))
            assert reply.status == 500
            assert message in reply.error
            assert "secret" not in reply.error
        made[0].failure = None
        assert running.infer(json_request(frames_of(1))).status == 200
    assert "Traceback" not in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_one_clients_failing_frame_is_not_anothers(shared_bundle: Bundle) -> None:
    made: list[Poisoned] = []
    limits = Limits(max_wait_ms=200)
    with Running(load(shared_bundle, around(Poisoned, made)), limits=limits) as running, ThreadPoolExecutor(9) as pool:
        made[0].failure = ArtifactError("wanted")
        batches = [frames_of(2, seed=number) for number in range(8)]
        good = [pool.submit(running.infer, json_request(frames)) for frames in batches]
        bad = pool.submit(running.infer, json_request(np.zeros((1, 8, 8, 3), np.uint8)))
        assert "not black" in bad.result(PATIENCE_S).error
        for frames, future in zip(batches, good, strict=True):
            np.testing.assert_allclose(output(future.result(PATIENCE_S), "logits"), logits_of(frames), rtol=1e-5)


def test_it_is_live_but_not_ready_before_it_is_warm(shared_bundle: Bundle) -> None:
    made: list[Obedient] = []
    loaded = load(shared_bundle, around(Obedient, made))
    (runner,) = made
    runner.may_go.clear()
    with ThreadPoolExecutor(1) as pool:
        running = Running(loaded)
        started = pool.submit(running.__enter__)
        try:
            assert runner.has_come.wait(PATIENCE_S)  # it listens before it warms up
            assert running.ask("GET", "/v2/health/live").json == {"live": True}
            for path in ("/v2/health/ready", f"/v2/models/{NAME}/ready"):
                reply = running.ask("GET", path)
                assert (reply.status, "not ready" in reply.error) == (503, True)
            reply = running.infer(json_request(frames_of(1)))
            assert (reply.status, "not ready" in reply.error) == (503, True)
        finally:
            runner.may_go.set()
        started.result(PATIENCE_S)
        try:
            assert running.ask("GET", "/v2/health/ready").json == {"ready": True}
        finally:
            running.__exit__()


def test_an_engine_that_fails_while_it_warms_up_ends_the_server_with_its_error(shared_bundle: Bundle) -> None:
    made: list[Obedient] = []
    loaded = load(shared_bundle, around(Obedient, made))
    made[0].failure = ArtifactError("expected the engine to run, but: no memory; use another")
    with pytest.raises(ArtifactError, match="no memory"), Running(loaded):
        pass


def test_a_bundle_that_is_replaced_is_still_served_as_it_was_and_said(
    shared_bundle: Bundle, tmp_path: Path, make_model: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "bundle"
    shutil.copytree(shared_bundle.path, path)
    loaded = load_for_serving(path, backend="cpu", threads=1)
    about = f"/v2/models/{NAME}/about"
    with Running(loaded) as running:
        before = running.infer(json_request(frames_of(2)))
        assert running.ask("GET", about).json["bundle_on_disk"] == "as loaded"
        other = {"model.fp32.onnx": make_model(scale=3.0)}
        write_bundle(path, shared_bundle.manifest, other, overwrite=True)
        after = running.infer(json_request(frames_of(2)))
        np.testing.assert_array_equal(output(before, "logits"), output(after, "logits"))
        assert before.json["parameters"] == after.json["parameters"]
        said = running.ask("GET", about).json
        assert (said["bundle_on_disk"], said["sha256"]) == ("replaced", loaded.sha256)
        for _ in range(600):  # the watch looks every 0.05 s
            if "the bundle on disk is replaced" in caplog.text:
                break
            time.sleep(0.05)
        assert caplog.text.count("the bundle on disk is replaced; still serving model.fp32.onnx") == 1
        assert "capgan_serve_bundle_replaced 1.0" in running.ask("GET", "/metrics").body.decode()
        shutil.rmtree(path)
        assert running.ask("GET", about).json["bundle_on_disk"] == "gone"
        assert running.infer(json_request(frames_of(2))).status == 200


def test_a_batch_above_what_the_engine_takes_is_refused(shared_bundle: Bundle) -> None:
    loaded = load(shared_bundle)
    with pytest.raises(ConfigError, match="expected --max-batch of at most 64"):
        EdgeServer(NAME, loaded, place=Place(), limits=Limits(max_batch=65))
    loaded.close()


@pytest.mark.parametrize("what", ["http", "grpc"])
def test_a_port_that_is_taken_is_one_line(what: str, server: Running, shared_bundle: Bundle) -> None:
    http, rpc = int(server.authority.split(":")[1]), int(server.grpc.split(":")[1])
    place = Place(port=http, grpc_port=None) if what == "http" else Place(port=0, grpc_port=rpc)
    option = {"http": r"REST at 127.0.0.1:\d+, .*--port", "grpc": r"gRPC at 127.0.0.1:\d+, .*--grpc-port"}[what]
    message = f"expected a free port for {option} .0 takes a free one"
    with pytest.raises(ConfigError, match=message), Running(load(shared_bundle), place=place):
        pass
