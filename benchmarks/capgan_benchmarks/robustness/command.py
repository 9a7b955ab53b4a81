"""`capgan-edge benchmark robustness`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Several = list[str] | None
_Data = Annotated[
    str | None, typer.Option("--data", "--images", help="Test images: signs, a folder, a zip, or a known name.")
]


def robustness(
    subject: Annotated[str, typer.Argument(help="A bundle, a purifier's run, or a name in the zoo.")] = "bundle",
    artifact: Annotated[_Several, typer.Option(help="Score this one of the bundle; again for more.")] = None,
    backend: Annotated[str, typer.Option(help="What computes graphs: onnxruntime or openvino.")] = "onnxruntime",
    precision: Annotated[str | None, typer.Option(help="bf16: of the fp32 graph, which openvino alone has.")] = None,
    scenarios: Annotated[_Several, typer.Option(help="Threat models, with commas (default: all that apply).")] = None,
    attacks: Annotated[_Several, typer.Option(help="Attacks, with commas, e.g. fgsm,pgd-40,square-1000.")] = None,
    epsilons: Annotated[str, typer.Option(help="L-infinity: levels of 255 (4,8,16), 8/255, or shares as 0.03.")] = "",
    n: Annotated[int | None, typer.Option(min=1, help="Images (a count; default: the tier's).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of images and of the attacks.")] = 0,
    tier: Annotated[
        str, typer.Option(help="quick (minutes), paper (its tables), standard (and AutoAttack).")
    ] = "quick",
    data: _Data = None,
    against: Annotated[str | None, typer.Option(help="The bundle's torch pair: a run or a zoo name.")] = None,
    surrogate: Annotated[Path | None, typer.Option(help="A victim's run, for transfer.")] = None,
    temperature: Annotated[float, typer.Option(help="artifact-fake-quant: divides the logits.")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="Images attacked at once (a count).")] = 64,
    cache: Annotated[Path | None, typer.Option(help="Folder of crafted batches (default: the user's cache).")] = None,
    replay: Annotated[list[Path] | None, typer.Option(help="Score this exported set too; again for more.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for record.json and report.html.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="An earlier record: exit 1 if not held.")] = None,
    max_drop: Annotated[float, typer.Option(help="Allowed drop against the baseline (percentage points).")] = 1.0,
    junit: Annotated[Path | None, typer.Option(help="Write the comparison as a JUnit file.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch (default: torch's choice).")] = None,
    allow_host_code: Annotated[
        bool, typer.Option("--allow-host-code", help="Run the code inside a version-compatible engine: trust it first.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print the record as one JSON object.")] = False,
) -> None:
    """Attack what ships, per threat model. Exit 0: done; 1: not held against --baseline; 2: cannot be compared."""
    from capgan_benchmarks.robustness.config import RobustnessConfig, epsilons_from_text, names_from_text
    from capgan_benchmarks.robustness.session import Outputs, exit_code_of_errors, run_command

    with exit_code_of_errors(baseline):
        config = RobustnessConfig(
            subject=subject, artifacts=tuple(artifact or ()), backend=backend, precision=precision,
            scenarios=names_from_text(scenarios or ()), attacks=names_from_text(attacks or ()),
            epsilons=epsilons_from_text(epsilons), n=n, seed=seed, tier=tier, data=data,
            against=against, surrogate=surrogate, temperature=temperature, batch=batch, cache=cache,
            replays=tuple(replay or ()), threads=threads, allow_host_code=allow_host_code,
        )  # fmt: skip
        outputs = Outputs(folder=out, baseline=baseline, max_drop=max_drop, junit=junit)
    raise typer.Exit(run_command(config, outputs, is_json=is_json))
