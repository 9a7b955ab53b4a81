"""What FP16 and INT8 cost a packaged pair, by calibration set and method; beside it, what NVIDIA ModelOpt's INT8 costs.

    python -m capgan_benchmarks.precision cifar10-nano --n 1000 --modelopt VENV     # data from $CAPGAN_EDGE_DATA

Attacks are made once, on the FP32 twin: PGD-40 on f and PGD-40 end to end. Every variant sees the same 8-bit frames.
Writes `benchmarks/results/precision-NAME_HARDWARE_DATE.json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capgan_benchmarks.records import ROOT, record_name, recorded_arguments, revision, timestamp
from capgan_benchmarks.script import run_script
from capgan_calibration.ranges import Method

if TYPE_CHECKING:
    from capgan_benchmarks.attacked_sets import AttackedSet
    from capgan_benchmarks.variants import Variant
    from capgan_calibration.frames import CalibrationSet
    from capgan_edge.zoo import Pair

MIXTURES = ("clean", "adversarial", "clean:1,adversarial:1", "purified", "clean:1,adversarial-end-to-end:1")
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")


def main(
    name: Annotated[str, typer.Argument(help="A packaged pair.")],
    n: Annotated[int, typer.Option(min=1, help="Test images, for every figure.")] = 1000,
    num_calibration: Annotated[int, typer.Option(min=2, help="Training images that ranges come from.")] = 512,
    modelopt: Annotated[Path | None, typer.Option(help="The environment that holds ModelOpt.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Measure every variant and write the record."""
    from capgan_benchmarks.demo.environment import read_environment
    from capgan_benchmarks.variants import labels_of, scored
    from capgan_edge import data, zoo
    from capgan_edge.files import write_json
    from capgan_edge.runtime.ort import OrtRunner

    pair, graph = zoo.load(name), _graph(name)
    sets = _attacked(pair, data.load(pair.data, "test").take(n, seed=seed), seed)
    with OrtRunner(graph) as runner:
        reference = {each.title: labels_of(runner, each.frames_NHWC) for each in sets}
    rows = []
    for variant in _variants(name, graph, num_calibration, modelopt, seed):
        rows.append(scored(variant, sets, reference))
        _say(rows[-1])
    record = {
        "date": timestamp(),
        "pair": name,
        "weights_sha256": pair.card["weights_sha256"],
        "data": f"{pair.data}/test",
        "seed": seed,
        "code": revision(),
        "environment": asdict(read_environment(None)),
        "command": "python -m capgan_benchmarks.precision",
        "arguments": recorded_arguments(),
        "frames": [{"frames": each.title, "n": len(each.labels_N), "settings": each.settings} for each in sets],
        "variants": rows,
    }
    path = ROOT / "benchmarks" / "results" / record_name(f"precision-{name}", record)
    write_json(path, record)
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


def _graph(name: str) -> bytes:
    from capgan_edge import zoo
    from capgan_edge.models.victims import victim_from_module
    from capgan_export.fused import GraphOutputs
    from capgan_export.onnx_graph import graph_from_pair

    pair = zoo.load(name)
    victim = victim_from_module(pair.victim, {"kind": "simple-resnet", "name": name}, size_px=pair.size_px)
    return graph_from_pair(pair.purifier, victim, size_px=pair.size_px, outputs=GraphOutputs(),
                           properties={"precision": "fp32"})  # fmt: skip


def _attacked(pair: Pair, test: Any, seed: int) -> list[AttackedSet]:
    from capgan_benchmarks.attacked_sets import Chain, attacked_set, clean_set
    from capgan_edge.attacks import PGD
    from capgan_edge.models.victim import folded

    victim, attack = folded(pair.victim), PGD(steps=40, seed=seed)
    return [
        clean_set(test),
        attacked_set(attack, victim, "f", test, is_bf16=False),
        attacked_set(attack, Chain(pair.purifier, victim), "f(T(.))", test, is_bf16=False),
    ]


def _variants(name: str, graph: bytes, num: int, modelopt: Path | None, seed: int) -> Iterator[Variant]:
    from capgan_benchmarks.variants import Variant
    from capgan_calibration.qdq import int8_from_fp32
    from capgan_calibration.range_cache import ranges_of
    from capgan_calibration.ranges import RangeConfig
    from capgan_export.precision.fp16 import fp16_from_fp32
    from capgan_export.precision.rounding import rounded_twin

    yield Variant(name="fp32", model_bytes=graph, made={"precision": "fp32"})
    half = fp16_from_fp32(graph)
    yield Variant(name="fp16", model_bytes=half.model_bytes, run_bytes=rounded_twin(half.model_bytes),
                  made={"precision": "fp16", "num_kept_in_fp32": len(half.kept),
                        "arithmetic": "every FP16 value rounded to FP16, sums within a node in FP32"})  # fmt: skip
    for held in _calibration_sets(name, num, seed):
        for method in METHODS:
            config = RangeConfig(method=method)
            int8 = int8_from_fp32(graph, ranges_of(graph, held, config, cache=None).limit_of_node)
            counts = {"num_quantised": len(int8.quantised), "num_kept": len(int8.kept)}
            made = {"precision": "int8", "by": "capgan-edge", "ranges": config.description, **counts,
                    "calibration": held.identity(method).model_dump()}  # fmt: skip
            yield Variant(name=f"int8 {_mixture(held)} {method}", model_bytes=int8.model_bytes, made=made)
        if modelopt is not None:
            yield from _by_modelopt(graph, held, modelopt)


def _calibration_sets(name: str, num: int, seed: int) -> Iterator[CalibrationSet]:
    from capgan_calibration.attacker import Attacker
    from capgan_calibration.frames import make_calibration_set
    from capgan_calibration.images import Images
    from capgan_calibration.mixture import mixture_from_text
    from capgan_edge import data
    from capgan_export.source import find_source

    source = find_source(name, victim=None, victim_state=None)
    train = data.load(source.data, "train").take(num, seed=seed)
    images = Images(name=train.name, frames_NHWC=train.images_NHWC, labels_N=train.labels_N)
    for text in MIXTURES:
        yield make_calibration_set(images, mixture_from_text(text), Attacker(source), seed=seed)


def _by_modelopt(graph: bytes, held: CalibrationSet, environment: Path) -> Iterator[Variant]:
    from capgan_benchmarks.modelopt import int8_by_modelopt, version_in
    from capgan_benchmarks.variants import Variant

    version = version_in(environment)
    for method in ("max", "entropy"):
        made = {"precision": "int8", "by": f"nvidia-modelopt {version}",
                "calibration": held.identity(method).model_dump()}  # fmt: skip
        model_bytes = int8_by_modelopt(graph, held.frames_NHWC, method, environment)
        yield Variant(name=f"modelopt int8 {_mixture(held)} {method}", model_bytes=model_bytes, made=made)


def _mixture(held: CalibrationSet) -> str:
    return "+".join(f"{100 * share:.0f}% {kind}" for kind, share in held.mixture.items())


def _say(row: dict[str, Any]) -> None:
    said = "  ".join(
        f"{score['frames']} {score['accuracy']['percent']:.1f} % (agrees {score['agreement_with_fp32']['percent']:.1f})"
        for score in row["scores"]
    )
    typer.echo(f"{row['name']}: {said}", err=True)


if __name__ == "__main__":
    run_script(main)
