"""Does one INT8 file serve TensorRT and OpenVINO? What OpenVINO makes of it as it stands, and written as unsigned.

    python -m capgan_benchmarks.unsigned_int8 BUNDLE      # on an idle machine

TensorRT takes Q/DQ of signed values around zero and nothing else; the INT8 products of x86 are of unsigned activations
by signed weights. `OpenVinoRunner` rewrites its own copy of the graph (`runtime/openvino_unsigned.py`). Here both are
timed in turn, and the logits of both held against ONNX Runtime's, which rounds as the nodes say and multiplies in FP32:
on drawn frames, and on the same with every value moved by 8 levels up or down.
Writes `benchmarks/results/unsigned-int8-SUBJECT_HARDWARE_DATE.json`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from capgan_benchmarks.records import ROOT, record_head, record_name
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError

ARTIFACT = "model.int8.onnx"
BATCHES = (1, 64)
NUM_COMPARED = 256
"""Frames whose logits are compared."""
_LEVELS = 8

Call = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def in_openvino(model_bytes: bytes, *, batch: int, is_unsigned: bool) -> Call:
    """Return a call of the graph in OpenVINO, FP32 around the INT8, that gives the logits."""
    from capgan_edge.runtime.openvino_unsigned import with_unsigned_activations

    core = importlib.import_module("openvino").Core()
    model = core.read_model(model_bytes)
    if is_unsigned:
        with_unsigned_activations(model)
    sizes = [size.get_length() for size in list(model.inputs[0].get_partial_shape())[1:]]
    model.reshape({model.inputs[0]: [batch, *sizes]})
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda frames_NHWC: np.array(request.infer({0: frames_NHWC})["logits"])


def ratio_in_openvino(model_bytes: bytes, *, batch: int, num_rounds: int, num_calls: int) -> dict[str, Any]:
    """Return milliseconds of both and the ratio signed / unsigned, of the medians and of each round.

    Args:
        model_bytes: the INT8 graph that ships.
        batch: frames of a call.
        num_rounds: in each both are called in turn.
        num_calls: of each in a round.
    """
    from capgan_benchmarks.latency.in_turn import LatencyConfig, time_in_turn

    frames_NHWC = _frames(model_bytes, batch)
    signed, unsigned = (in_openvino(model_bytes, batch=batch, is_unsigned=which) for which in (False, True))
    calls = {"signed": lambda: signed(frames_NHWC), "unsigned": lambda: unsigned(frames_NHWC)}
    config = LatencyConfig(num_warm_up=3, num_rounds=num_calls)
    rounds = [time_in_turn(calls, config) for _ in range(num_rounds)]
    medians = {name: [held[name].p50_ms for held in rounds] for name in calls}
    ratios = [one_ms / other_ms for one_ms, other_ms in zip(medians["signed"], medians["unsigned"], strict=True)]
    return {
        "batch": batch,
        "n": num_rounds * num_calls,
        "p50_ms": {name: float(np.median(values)) for name, values in medians.items()},
        "signed_over_unsigned": {"median": float(np.median(ratios)), "low": min(ratios), "high": max(ratios)},
    }


def agreement_with_ort(model_bytes: bytes, *, num: int = NUM_COMPARED) -> list[dict[str, Any]]:
    """Return how far the logits of both are from ONNX Runtime's, and how often the labels are the same."""
    from capgan_edge.runtime.ort import OrtRunner

    drawn_NHWC = _frames(model_bytes, num)
    shift_NHWC = np.random.default_rng(0).choice([-_LEVELS, _LEVELS], drawn_NHWC.shape)
    moved_NHWC = np.clip(drawn_NHWC.astype(np.int16) + shift_NHWC, 0, 255).astype(np.uint8)
    calls = {name: in_openvino(model_bytes, batch=num, is_unsigned=name == "unsigned")
             for name in ("signed", "unsigned")}  # fmt: skip
    rows = []
    with OrtRunner(model_bytes) as runner:
        for said, frames_NHWC in (("drawn", drawn_NHWC), (f"moved by {_LEVELS} levels", moved_NHWC)):
            wanted_NK = runner(frames_NHWC).logits_NK
            row: dict[str, Any] = {"frames": said, "n": num, "std_logits": float(wanted_NK.std())}
            for name, call in calls.items():
                held_NK = call(frames_NHWC)
                row[name] = {
                    "max_abs_logits": float(np.abs(held_NK - wanted_NK).max()),
                    "mean_abs_logits": float(np.abs(held_NK - wanted_NK).mean()),
                    "same_labels_percent": 100 * float((held_NK.argmax(1) == wanted_NK.argmax(1)).mean()),
                }
            rows.append(row)
    return rows


def _frames(model_bytes: bytes, num: int) -> NDArray[np.uint8]:
    from capgan_benchmarks.latency.frames import draw_frames
    from capgan_edge.runtime.ort import OrtRunner

    with OrtRunner(model_bytes) as runner:
        return np.ascontiguousarray(draw_frames(runner.contract.size_px, num)[0][:num])


def main(
    bundle: Annotated[Path, typer.Argument(help="A bundle with an INT8 graph.")],
    rounds: Annotated[int, typer.Option(min=2, help="Rounds (a count).")] = 10,
    calls: Annotated[int, typer.Option(min=10, help="Of each graph in a round (a count).")] = 50,
) -> None:
    """Measure, and write the record."""
    from capgan_benchmarks.latency.conditions import read_conditions
    from capgan_edge.files import write_json
    from capgan_edge.hardware import num_cpus, sums_int8_exactly
    from capgan_edge.runtime.bundle import Bundle

    if not sums_int8_exactly():
        raise ConfigError("expected a processor with VNNI or AMX, got one without: nothing is multiplied in INT8 "
                          "here, since its sums saturate; run it on another machine")  # fmt: skip
    held = Bundle.open(bundle)
    model_bytes = held.read_artifact("int8")
    record: dict[str, Any] = {
        **record_head("unsigned-int8", command="python -m capgan_benchmarks.unsigned_int8",
                      environment=read_conditions(threads=num_cpus(), has_gpu=False)),
        "subject": held.manifest.purifier.name,
        "artifact": ARTIFACT,
        "sha256": held.manifest.files[ARTIFACT].sha256,
        "rows": [ratio_in_openvino(model_bytes, batch=batch, num_rounds=rounds, num_calls=calls)
                 for batch in BATCHES],
        "against_ort": agreement_with_ort(model_bytes),
    }  # fmt: skip
    path = ROOT / "benchmarks" / "results" / record_name(f"unsigned-int8-{record['subject']}", record)
    write_json(path, record)
    for row in record["rows"]:
        ratio = row["signed_over_unsigned"]
        typer.echo(f"batch {row['batch']}: signed {row['p50_ms']['signed']:.3f} ms, unsigned "
                   f"{row['p50_ms']['unsigned']:.3f} ms: {ratio['median']:.2f} times ({ratio['low']:.2f} to "
                   f"{ratio['high']:.2f}), n = {row['n']}")  # fmt: skip
    for row in record["against_ort"]:
        typer.echo(f"labels as in ONNX Runtime, frames {row['frames']}: signed "
                   f"{row['signed']['same_labels_percent']:.1f} %, unsigned "
                   f"{row['unsigned']['same_labels_percent']:.1f} %, n = {row['n']}")  # fmt: skip
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    run_script(main)
