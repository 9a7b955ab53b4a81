"""Keep a training run that is not packaged as a dated record: `python -m capgan_benchmarks.run_record RUN THEME`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from capgan_benchmarks.records import ROOT, record_name, timestamp
from capgan_benchmarks.script import run_script
from capgan_edge.files import write_json


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a purifier's run.")],
    theme: Annotated[str, typer.Argument(help="First part of the record's name.")],
) -> None:
    """Write the run's settings and the rows of its log to benchmarks/results/THEME_HARDWARE_DATE.json."""
    from capgan_benchmarks.demo.environment import read_environment
    from capgan_benchmarks.make_zoo import training_facts
    from capgan_edge.training.checkpoint import load_checkpoint

    state = load_checkpoint(run, "purifier").state
    record = {
        "date": timestamp(),
        "environment": asdict(read_environment(None)),
        "config": without_paths(state["config"]),
        "purifier": state["purifier"],
        "victim": state["victim"],
        "data": state["data"],
        "held_out": {"attacks": "on f alone: FGSM, PGD-20 of step epsilon/4", "n": state["config"]["num_watched"]},
        **training_facts(run),
    }  # fmt: skip
    path = ROOT / "benchmarks" / "results" / record_name(theme, record)
    write_json(path, record)
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


def without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Return settings without the path of a teacher, which says nothing elsewhere; its hash is in the run's state."""
    return config | ({"teacher": Path(config["teacher"]).name} if config.get("teacher") else {})


if __name__ == "__main__":
    run_script(main)
