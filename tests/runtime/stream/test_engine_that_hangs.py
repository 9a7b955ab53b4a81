"""A pass that does not end: told, with an exit code of its own, and the process ends without the engine."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cameras import Connections, Gate, around
from footage import coloured
from onnx import TensorProto, helper, numpy_helper
from programs import rows_of, started

import capgan_edge
from capgan_edge.errors import CapganError
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.stream.event import Event
from capgan_edge.runtime.stream.failure import EngineHungError
from capgan_edge.runtime.stream.stopping import closing_unless_hung
from capgan_edge.runtime.stream.worker import Worker


def _endless_on_bright_frames(model: bytes) -> bytes:
    """Return the graph with a loop of so many rounds that it never ends, and of none where frames are black."""
    proto = onnx.load_from_string(model)
    logits = next(node for node in proto.graph.node if "logits" in node.output)
    logits.output[0] = "early_logits"
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_in"], ["go_out"]), helper.make_node("Mul", ["x_in", "half"], ["x_out"])],
        "body",
        [helper.make_tensor_value_info("round", TensorProto.INT64, []),
         helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x_in", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x_out", TensorProto.FLOAT, [])],
    )  # fmt: skip
    constants = {"half": np.float32(0.5), "zero": np.float32(0), "yes": np.array(True), "many": np.int64(1 << 50)}
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    proto.graph.node.extend([
        helper.make_node("ReduceMax", ["scaled"], ["brightest"], keepdims=0),
        helper.make_node("Ceil", ["brightest"], ["is_bright"]),
        helper.make_node("Cast", ["is_bright"], ["is_bright_int"], to=TensorProto.INT64),
        helper.make_node("Mul", ["is_bright_int", "many"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "yes", "zero"], ["nothing"], body=body),
        helper.make_node("Add", ["early_logits", "nothing"], ["logits"]),
    ])  # fmt: skip
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


@pytest.fixture
def hanging(tmp_path: Path, make_model: Any, make_manifest: Any) -> Bundle:
    """A real engine that really hangs, from the first frame that is not black: the warm-up is."""
    data = _endless_on_bright_frames(make_model())
    return write_bundle(tmp_path / "hanging", make_manifest(), {"model.fp32.onnx": data})


@pytest.mark.parametrize("options", [[], ["--deadline-ms", "50"],
                                     ["--deadline-ms", "50", "--on-deadline-miss", "bypass"]])  # fmt: skip
def test_the_program_ends_with_exit_7(options: list[str], hanging: Bundle, video: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    run = started(hanging.path, "--source", video, "--loop", "--hang-s", "0.5", "--jsonl", lines, *options)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 7, err
    assert "error: expected the engine to end its pass within 0.5 s, but it hangs" in err
    assert "Traceback" not in err
    rows = rows_of(lines.read_text())
    assert [row["source_state"] for row in rows][:2] == ["connecting", "live"]
    assert not any(row["verdicts"] for row in rows)


_CLOSING = """
import sys, threading, numpy as np, capgan_edge
from cameras import around
from capgan_edge.runtime.stream.stopping import closing_unless_hung
has_begun = threading.Event()
def wait_for_ever(number):
    has_begun.set()
    threading.Event().wait()
real = capgan_edge.load(sys.argv[1], backend="cpu")
hung, _ = around(real, wait_for_ever)
with closing_unless_hung(hung, hang_s=0.2):
    threading.Thread(target=hung.classify, args=(np.zeros((8, 8, 3), np.uint8),), daemon=True).start()
    has_begun.wait()
"""


def test_a_program_that_ends_does_not_wait_for_ever_to_close_an_engine_that_hangs(shared_bundle: Bundle) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", _CLOSING, str(shared_bundle.path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7
    assert "EngineHungError: expected the engine to end its pass within 0.2 s" in done.stderr


def test_an_engine_that_does_not_hang_is_closed_after_its_pass(classifier: Classifier) -> None:
    slow, _ = around(classifier, lambda number: None)
    with closing_unless_hung(slow, hang_s=30.0):
        assert len(slow.classify(coloured("r"))) == 1
    with pytest.raises(CapganError, match="closed"):
        slow.classify(coloured("r"))


@pytest.mark.parametrize("policy", [{}, {"deadline_ms": 20.0}, {"deadline_ms": 20.0, "on_deadline_miss": "bypass"},
                                    {"deadline_ms": 20.0, "on_deadline_miss": "stop"}])  # fmt: skip
def test_each_policy_raises_and_the_frames_before_were_told(policy: dict[str, Any], classifier: Classifier) -> None:
    gate = Gate()
    calls: list[int] = []

    def before(number: int) -> None:
        if any(event.verdicts for event in got):
            calls.append(number)
            gate.wait()

    hung, _ = around(classifier, before)
    camera = Connections(
        itertools.chain.from_iterable((lambda: time.sleep(0.005), coloured("r", n)) for n in range(9999))
    )
    got: list[Event] = []
    policy = {**policy, "deadline_ms": 5_000.0} if policy.get("on_deadline_miss") == "stop" else policy
    try:
        with pytest.raises(EngineHungError, match=r"within 0.5 s, but it hangs") as caught:
            got.extend(capgan_edge.stream(hung, camera, hang_s=0.5, **policy))
    finally:
        gate.open()
    assert caught.value.exit_code == 7
    assert len(calls) == 1, "no pass is begun beside one that hangs"
    assert got[-1].counts.errors == 0


def test_a_first_pass_that_takes_long_does_not_hang(classifier: Classifier, video: Path) -> None:
    slow, _ = around(classifier, lambda number: time.sleep(1.2 if number == 0 else 0))
    events = list(capgan_edge.stream(slow, video, every_frame=True, hang_s=1.0))
    assert (events[-1].counts.frames, events[-1].counts.errors) == (12, 0)


def test_all_passes_of_a_loop_are_of_one_thread_that_ends_with_it(classifier: Classifier, video: Path) -> None:
    threads: list[threading.Thread] = []
    watched, _ = around(classifier, lambda number: threads.append(threading.current_thread()))
    events = list(capgan_edge.stream(watched, video, every_frame=True, deadline_ms=60_000))
    assert events[-1].counts.frames == 12
    assert len(threads) == 13
    assert len(set(threads)) == 1
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_what_work_raises_is_raised_where_it_is_awaited_and_the_worker_goes_on() -> None:
    worker = Worker(hang_s=30.0)
    with pytest.raises(ZeroDivisionError):
        worker.finished(worker.begin(lambda: 1 // 0))
    assert worker.finished(worker.begin(os.getpid)) == os.getpid()
    worker.close()
