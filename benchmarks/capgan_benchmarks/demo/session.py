"""One run of the demo, from the command line or from Python."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from capgan_benchmarks.demo import figures as figures_of
from capgan_benchmarks.demo.config import PGD_NAME, DemoConfig
from capgan_benchmarks.demo.environment import read_environment
from capgan_benchmarks.demo.figures import CLEAN, Conditions
from capgan_benchmarks.demo.findings import Findings
from capgan_benchmarks.demo.folder import BUNDLE, REPORT_HTML, REPORT_JSON, SHEET, fresh_folder, refuse_to_replace
from capgan_benchmarks.demo.measure import Measured, attack_victim, draw, export_and_verify, measure
from capgan_benchmarks.demo.record import record_of
from capgan_benchmarks.demo.report_page import page_of
from capgan_benchmarks.demo.rows import Choice, Row, choose, make_rows
from capgan_benchmarks.demo.sheet import sheet_of
from capgan_benchmarks.demo.terminal import Narrator
from capgan_benchmarks.demo.weights import next_run_path, packaged_pair, trained_pair
from capgan_benchmarks.records import timestamp
from capgan_edge.errors import MissingDependencyError
from capgan_edge.files import write_atomic, write_json

if TYPE_CHECKING:
    from capgan_edge.data.images import ImageSet
    from capgan_edge.runtime.bundle import Bundle
    from capgan_edge.runtime.manifest import Figure
    from capgan_export.source import Source

_NEEDED = {
    "torch": "train",
    "onnx": "train",
    "onnxscript": "train",
    "matplotlib": "train",
    "onnxruntime": "cpu",
    "PIL": "cpu",
}


def run_command(config: DemoConfig, out: Path, *, is_json: bool) -> Path:
    """Run the demo, print what comes of it, and return the report's path; with `is_json` stdout holds JSON alone."""
    import json

    from rich.console import Console

    started_s = time.monotonic()
    refuse_to_replace(out.absolute())
    _require_packages()
    narrator = Narrator(Console(stderr=is_json))
    with contextlib.redirect_stdout(sys.stderr) if is_json else contextlib.nullcontext():
        source = source_of(config, narrator)
        findings = run(config, source, out, narrator, started_s=started_s)
    report = out.absolute() / REPORT_HTML
    narrator.conclude(findings, str(report))
    if is_json:
        sys.stdout.write(json.dumps(record_of(findings), indent=2, allow_nan=False) + "\n")
    return report


def run(config: DemoConfig, source: Source, out: Path, narrator: Narrator, *, started_s: float) -> Findings:
    """Run the demo on a pair and write bundle and report to `out`, all of it or nothing."""
    environment = read_environment(config.threads)
    with fresh_folder(out) as fresh:
        narrator.say(f"weights: {source.origin}")
        narrator.say(f"drawing {config.n} road signs, seed {config.seed}")
        images = draw(source, config)
        attacked = attack_victim(source, images, config, narrator)
        narrator.say("exporting purifier and victim as one ONNX file, and holding it against torch")
        bundle, verification = export_and_verify(source, images, fresh / BUNDLE)
        narrator.say(f"verified: {', '.join(check.name for check in verification.checks if check.verdict == 'passed')}")
        measured = measure(source, bundle, images, attacked, config, environment.threads, narrator)
        choice, rows = _shown(measured, source, bundle, environment.threads)
        findings = Findings(
            created=timestamp(),
            config=config,
            environment=environment,
            origin=source.origin,
            data=images.name,
            manifest=bundle.manifest,
            artifact=bundle.artifact("fp32").name,
            verification=verification,
            figures=tuple(_figures(measured, images, bundle, environment.device, config)),
            scored=measured.scored,
            choice=choice,
            hero=rows[0],
            grid=tuple(rows[1 : 1 + len(choice.grid)]),
            failures=tuple(rows[1 + len(choice.grid) :]),
            seconds=time.monotonic() - started_s,
        )
        write_atomic(fresh / REPORT_HTML, page_of(findings).encode())
        write_atomic(fresh / SHEET, sheet_of(findings.grid or (findings.hero,)))
        write_json(fresh / REPORT_JSON, record_of(findings))
    return findings


def source_of(config: DemoConfig, narrator: Narrator) -> Source:
    """Return the packaged pair, or where it is asked for one that is trained from nothing."""
    if not config.is_trained:
        return packaged_pair(config.pair)
    run_path = next_run_path(config.recipe)
    how = "going on with the training" if run_path.is_dir() else "training"
    narrator.say(f"{how} in {run_path}: a victim, then a purifier; stopped with Ctrl-C, the same command goes on")
    return trained_pair(config.recipe, run_path)


def _shown(measured: Measured, source: Source, bundle: Bundle, threads: int) -> tuple[Choice, list[Row]]:
    from capgan_edge.runtime.ort import OrtRunner

    clean, attacked = measured.scored[CLEAN], measured.scored[PGD_NAME]
    choice = choose(clean, attacked, source.labels)
    indices = (choice.hero, *choice.grid, *choice.failures)
    with OrtRunner(bundle.read_artifact("fp32"), threads=threads) as runner:
        return choice, make_rows(indices, clean, attacked, source.labels, runner, source.purifier)


def _figures(measured: Measured, images: ImageSet, bundle: Bundle, device: str, config: DemoConfig) -> list[Figure]:
    sha256 = bundle.manifest.files[bundle.artifact("fp32").name].sha256
    conditions = Conditions(seed=config.seed, device=device, data=images.name, artifact_sha256=sha256)
    protocol = {"batch": 1, "precision": "fp32", "runtime": "onnxruntime", "order": "in turn", **asdict(config.latency)}
    return [
        *figures_of.accuracy_figures(measured.scored, measured.attacked, conditions),
        *figures_of.rounding_figures(measured.attacked, conditions),
        *figures_of.suspicion_figures(measured.scored, conditions),
        *figures_of.latency_figures(measured.latencies, conditions, protocol),
    ]


def _require_packages() -> None:
    from importlib.util import find_spec

    for package, extra in _NEEDED.items():
        if find_spec(package) is None:
            raise MissingDependencyError(package, "the demo", f"cpu,{extra}" if extra != "cpu" else extra)
