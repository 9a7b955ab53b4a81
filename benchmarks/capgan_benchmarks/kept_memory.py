"""What it is worth that a process which trains or attacks keeps the memory that it freed (`capgan_edge.allocator`).

    python -m capgan_benchmarks.kept_memory      # on an idle machine

Steps of CAP-GAN's whole loss at `nano`, and PGD on a pair end to end, in processes of their own that keep it or do not,
in turn. Writes `benchmarks/results/kept-memory_HARDWARE_DATE.json`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from capgan_benchmarks.records import ROOT, record_head, record_name
from capgan_benchmarks.script import run_script
from capgan_benchmarks.training_speed import TrainingSpeedConfig, drawn_batch, fast_loop, spread
from capgan_edge.allocator import SWITCH, keep_freed_memory
from capgan_edge.errors import CapganError

WORKLOADS = ("whole loss", "PGD end to end")
_ATTACK_STEPS = 10


def main(
    rounds: Annotated[int, typer.Option(min=2, help="In each, every workload runs with and without (a count).")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Batches that a process times (a count).")] = 4,
    batch: Annotated[int, typer.Option(min=2, help="Images of a batch.")] = 128,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all of this process).")] = None,
    one: Annotated[str, typer.Option(hidden=True, help="Time this workload here, and print its seconds.")] = "",
) -> None:
    """Measure, and write the record."""
    from capgan_edge.hardware import num_cpus

    threads = threads or num_cpus()
    if one:
        typer.echo(json.dumps(timed(one, steps=steps, batch=batch, threads=threads)))
        return
    from capgan_benchmarks.latency.conditions import read_conditions
    from capgan_edge.files import write_json

    given = {"rounds": rounds, "steps": steps, "batch": batch, "threads": threads}
    rows = [row_of(workload, given) for workload in WORKLOADS]
    head = record_head("kept-memory", command="python -m capgan_benchmarks.kept_memory",
                       environment=read_conditions(threads=threads, has_gpu=False))  # fmt: skip
    record = {**head, "protocol": {**given, "preset": "nano", "attack_steps": _ATTACK_STEPS, "seed": 0}, "rows": rows}
    path = ROOT / "benchmarks" / "results" / record_name("kept-memory", record)
    write_json(path, record)
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


def row_of(workload: str, given: dict[str, int]) -> dict[str, Any]:
    """Return images a second of a workload with and without, and the ratio of each round."""
    speeds: dict[str, list[float]] = {"kept": [], "returned": []}
    found: dict[str, dict[str, Any]] = {}
    for index in range(given["rounds"]):
        for which in ("kept", "returned") if index % 2 == 0 else ("returned", "kept"):
            found[which] = _in_a_process(workload, which == "kept", given)
            speeds[which].append(given["steps"] * given["batch"] / found[which]["seconds"])
            typer.echo(f"{workload}, memory {which}: {speeds[which][-1]:.1f} images/s", err=True)
    ratios = [kept / returned for kept, returned in zip(speeds["kept"], speeds["returned"], strict=True)]
    return {
        "workload": workload,
        "images_per_s": {which: spread(values) for which, values in speeds.items()},
        "kept_over_returned": spread(ratios),
        "peak_mib": {which: each["peak_mib"] for which, each in found.items()},
        "page_faults": {which: each["page_faults"] for which, each in found.items()},
    }


def _in_a_process(workload: str, is_kept: bool, given: dict[str, int]) -> dict[str, Any]:
    options = [f"--{name}={given[name]}" for name in ("steps", "batch", "threads")]
    command = [sys.executable, "-m", "capgan_benchmarks.kept_memory", "--one", workload, *options]
    done = subprocess.run(command, env=os.environ | {SWITCH: str(int(is_kept))}, check=False, capture_output=True,
                          text=True)  # fmt: skip
    if done.returncode:
        raise CapganError(f"expected {workload} to be timed in a process of its own, but: {done.stderr.strip()[-400:]}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def timed(workload: str, *, steps: int, batch: int, threads: int) -> dict[str, Any]:
    """Return the seconds of some batches here, after one that is not counted, and the page faults in them."""
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()
    step = dict(zip(WORKLOADS, (_whole_loss, _attack), strict=True))[workload](batch)
    step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    started_s = time.perf_counter()
    for _ in range(steps):
        step()
    seconds = time.perf_counter() - started_s
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": seconds, "page_faults": used.ru_minflt - before, "peak_mib": used.ru_maxrss / 1024}


def _whole_loss(batch: int) -> Callable[[], object]:
    from capgan_edge.models.presets import preset

    loop, (x_BCHW, y_B) = fast_loop(preset("nano")), drawn_batch(TrainingSpeedConfig(batch_size=batch))
    return lambda: loop.step(loop.pair(x_BCHW, y_B))


def _attack(batch: int) -> Callable[[], object]:
    from capgan_edge import zoo
    from capgan_edge.attacks import PGD
    from capgan_export.fused import inference_copy, inference_victim

    pair = zoo.load("signs-nano")
    purifier, victim = inference_copy(pair.purifier), inference_victim(pair.victim)
    x_BCHW, y_B = drawn_batch(TrainingSpeedConfig(batch_size=batch))
    attack = PGD(steps=_ATTACK_STEPS, seed=0)
    return lambda: attack(lambda images_BCHW: victim(purifier(images_BCHW)), x_BCHW, y_B)


if __name__ == "__main__":
    run_script(main)
