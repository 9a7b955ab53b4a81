"""Do spinning and pinning pay? Settings of the two CPU engines against what the runners use, in turn, on one machine.

    python -m capgan_benchmarks.session_options BUNDLE      # on an idle machine

ONNX Runtime's threads spin while they wait for work, which an edge box pays for in heat and in its other processes;
OpenVINO's do not, and are pinned to cores. Each row is one setting turned over, with the other settings of speed as the
runners have them, and the logits alone asked for; the ratio is its time over that without the change, above 1 where the
change is slower. Writes
`benchmarks/results/session-options-SUBJECT_HARDWARE_DATE.json`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from capgan_benchmarks.records import ROOT, record_head, record_name
from capgan_benchmarks.script import run_script

Call = Callable[[], Any]
ORT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "no spinning": ("session.intra_op.allow_spinning", "0"),
        "denormals as zero": ("session.set_denormal_as_zero", "1"),
        "no packed weights": ("session.disable_prepacking", "1"),
    }
)
"""What is changed in ONNX Runtime: an entry of the session's configuration."""
OPENVINO: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {
        "not pinned": ("ENABLE_CPU_PINNING", False),
        "throughput hint": ("PERFORMANCE_HINT", "THROUGHPUT"),
        "one thread": ("INFERENCE_NUM_THREADS", 1),
    }
)
"""What is changed in OpenVINO: a property of the compiled model."""
BATCHES = (1, 64)


def ort_calls(model_bytes: bytes, frames_NHWC: NDArray[np.uint8]) -> dict[str, Call]:
    """Return a call of the session as the runner makes it, and one for each setting turned over."""
    import onnxruntime

    from capgan_edge.runtime.ort import session_options

    def call(entry: tuple[str, str] | None) -> Call:
        options = session_options(threads=None)
        if entry is not None:
            options.add_session_config_entry(*entry)
        session = onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda: session.run(["logits"], {name: frames_NHWC})

    return {"as it ships": call(None)} | {name: call(entry) for name, entry in ORT.items()}


def openvino_calls(model_bytes: bytes, frames_NHWC: NDArray[np.uint8]) -> dict[str, Call]:
    """Return a call of the compiled model as the runner makes it, and one for each setting turned over."""
    core = importlib.import_module("openvino").Core()

    def call(setting: tuple[str, Any] | None) -> Call:
        model = core.read_model(model_bytes)
        model.reshape({model.inputs[0]: list(frames_NHWC.shape)})
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", settings | dict([setting] if setting else [])).create_infer_request()
        return lambda: request.infer({0: frames_NHWC})

    return {"as it ships": call(None)} | {name: call(setting) for name, setting in OPENVINO.items()}


def ratios(calls: dict[str, Call], *, num_rounds: int, num_calls: int) -> list[dict[str, Any]]:
    """Return a row for each setting: milliseconds, and its time over that of the first, of the median and of rounds.

    In a round each has a turn of its own, with a warm-up: threads that spin after another's call take a core from it.
    """
    from capgan_benchmarks.latency.in_turn import LatencyConfig, time_in_turn

    config = LatencyConfig(num_warm_up=5, num_rounds=num_calls)
    rounds = [{name: time_in_turn({name: call}, config)[name] for name, call in calls.items()}
              for _ in range(num_rounds)]  # fmt: skip
    own, *others = calls
    rows = []
    for name in others:
        each = [held[name].p50_ms / held[own].p50_ms for held in rounds]
        rows.append({
            "setting": name, "n": num_rounds * num_calls,
            "p50_ms": {key: float(np.median([held[key].p50_ms for held in rounds])) for key in (own, name)},
            "over_as_it_ships": {"median": float(np.median(each)), "low": min(each), "high": max(each)},
        })  # fmt: skip
    return rows


def main(
    bundle: Annotated[Path, typer.Argument(help="A bundle with its FP32 graph.")],
    rounds: Annotated[int, typer.Option(min=2, help="Rounds (a count).")] = 10,
    calls: Annotated[int, typer.Option(min=10, help="Of each setting in a round (a count).")] = 30,
) -> None:
    """Measure, and write the record."""
    from capgan_benchmarks.latency.conditions import read_conditions
    from capgan_benchmarks.latency.frames import draw_frames
    from capgan_edge.files import write_json
    from capgan_edge.hardware import num_cpus
    from capgan_edge.runtime.bundle import Bundle

    held = Bundle.open(bundle)
    model_bytes, size_px = held.read_artifact("fp32"), (held.manifest.input.height, held.manifest.input.width)
    rows: list[dict[str, Any]] = []
    for batch in BATCHES:
        frames_NHWC = np.ascontiguousarray(draw_frames(size_px, batch)[0][:batch])
        for engine, make in (("ort", ort_calls), ("openvino", openvino_calls)):
            made = ratios(make(model_bytes, frames_NHWC), num_rounds=rounds, num_calls=calls)
            rows += [{"engine": engine, "batch": batch} | row for row in made]
    record: dict[str, Any] = {
        **record_head(
            "session-options",
            command="python -m capgan_benchmarks.session_options",
            environment=read_conditions(threads=num_cpus(), has_gpu=False),
        ),
        "subject": held.manifest.purifier.name,
        "rows": rows,
    }
    path = ROOT / "benchmarks" / "results" / record_name(f"session-options-{record['subject']}", record)
    write_json(path, record)
    for row in rows:
        ratio = row["over_as_it_ships"]
        typer.echo(f"{row['engine']}, batch {row['batch']}, {row['setting']}: {ratio['median']:.2f} times "
                   f"({ratio['low']:.2f} to {ratio['high']:.2f}), n = {row['n']}")  # fmt: skip
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


if __name__ == "__main__":
    run_script(main)
