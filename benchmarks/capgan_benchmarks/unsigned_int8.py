"""Does one INT8 file serve TensorRT and OpenVINO? Its speed in OpenVINO beside a twin with unsigned activations.

    python -m capgan_benchmarks.unsigned_int8 BUNDLE      # on an idle machine

TensorRT takes Q/DQ of signed values around zero and nothing else; the INT8 products of x86 are of unsigned activations
by signed weights, and OpenVINO has to bring the one to the other. The twin has our scales and a zero point of 128: the
same values, written as OpenVINO would like them. Writes `benchmarks/results/unsigned-int8-SUBJECT_HARDWARE_DATE.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from capgan_benchmarks.records import ROOT, record_head, record_name
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError

ARTIFACT = "model.int8.onnx"
BATCHES = (1, 64)
_MIDDLE = 128
"""Zero point of the unsigned twin."""


def unsigned_twin(model_bytes: bytes) -> bytes:
    """Return the graph with every activation quantised to [0, 255] around 128, which stands for the same values.

    A clip at -128, which symmetric ranges never reach but by rounding, becomes one at 0: the same value.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load_model_from_string(model_bytes)
    graph = model.graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    quantised = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    added: dict[str, Any] = {}
    for node in graph.node:
        is_activation = node.op_type == "QuantizeLinear" or (
            node.op_type == "DequantizeLinear" and node.input[0] in quantised
        )
        if is_activation:
            signed = numpy_helper.to_array(held[node.input[2]])
            assert signed.dtype == np.int8, "a symmetric graph has signed zero points"
            assert not signed.any()
            name = f"{node.input[2]}.unsigned"
            added[name] = numpy_helper.from_array(np.full(signed.shape, _MIDDLE, np.uint8), name)
            node.input[2] = name
    graph.initializer.extend(added.values())
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def ratio_in_openvino(signed: bytes, unsigned: bytes, *, batch: int, num_rounds: int, num_calls: int) -> dict[str, Any]:
    """Return milliseconds of both and the ratio signed / unsigned, of the medians and of each round.

    Args:
        signed: the INT8 graph that ships.
        unsigned: its twin.
        batch: frames of a call.
        num_rounds: in each both are called in turn.
        num_calls: of each in a round.
    """
    from capgan_benchmarks.latency.frames import draw_frames
    from capgan_benchmarks.latency.in_turn import LatencyConfig, time_in_turn
    from capgan_edge.runtime.openvino import OpenVinoRunner

    with OpenVinoRunner(signed) as ours, OpenVinoRunner(unsigned) as twin:
        frames_NHWC, _ = draw_frames(ours.contract.size_px, batch)
        frames_NHWC = np.ascontiguousarray(frames_NHWC[:batch])
        logits = [runner(frames_NHWC).logits_NK for runner in (ours, twin)]
        calls = {"signed": lambda: ours(frames_NHWC), "unsigned": lambda: twin(frames_NHWC)}
        config = LatencyConfig(num_warm_up=3, num_rounds=num_calls)
        rounds = [time_in_turn(calls, config) for _ in range(num_rounds)]
    medians = {name: [held[name].p50_ms for held in rounds] for name in calls}
    ratios = [ours_ms / twin_ms for ours_ms, twin_ms in zip(medians["signed"], medians["unsigned"], strict=True)]
    return {
        "batch": batch,
        "n": num_rounds * num_calls,
        "p50_ms": {name: float(np.median(values)) for name, values in medians.items()},
        "signed_over_unsigned": {"median": float(np.median(ratios)), "low": min(ratios), "high": max(ratios)},
        "same_labels_percent": 100 * float((logits[0].argmax(1) == logits[1].argmax(1)).mean()),
        "max_abs_logits": float(np.abs(logits[0] - logits[1]).max()),
    }


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
    signed = held.read_artifact("int8")
    unsigned = unsigned_twin(signed)
    record: dict[str, Any] = {
        **record_head("unsigned-int8", command="python -m capgan_benchmarks.unsigned_int8",
                      environment=read_conditions(threads=num_cpus(), has_gpu=False)),
        "subject": held.manifest.purifier.name,
        "artifact": ARTIFACT,
        "sha256": held.manifest.files[ARTIFACT].sha256,
        "rows": [ratio_in_openvino(signed, unsigned, batch=batch, num_rounds=rounds, num_calls=calls)
                 for batch in BATCHES],
    }  # fmt: skip
    path = ROOT / "benchmarks" / "results" / record_name(f"unsigned-int8-{record['subject']}", record)
    write_json(path, record)
    for row in record["rows"]:
        ratio = row["signed_over_unsigned"]
        typer.echo(f"batch {row['batch']}: signed {row['p50_ms']['signed']:.3f} ms, unsigned "
                   f"{row['p50_ms']['unsigned']:.3f} ms: {ratio['median']:.2f} times ({ratio['low']:.2f} to "
                   f"{ratio['high']:.2f}), n = {row['n']}")  # fmt: skip
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    run_script(main)
