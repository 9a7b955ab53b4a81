"""`capgan-edge attack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def attack(
    subject: Annotated[str, typer.Argument(help="A bundle, a purifier's run, or a name in the zoo.")] = "bundle",
    scenario: Annotated[str, typer.Option(help="Threat model, e.g. transfer or end-to-end.")] = "end-to-end",
    attack_name: Annotated[str, typer.Option("--attack", help="E.g. fgsm, pgd-40, cw, square-1000.")] = "pgd-40",
    epsilon: Annotated[str, typer.Option(help="L-infinity: a level of 255 (8), 8/255, or a share as 0.03.")] = "8",
    n: Annotated[int | None, typer.Option(min=1, help="Test images (default: all, fewer of slow attacks).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of images and of the attack.")] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write (.npz).")] = Path("attacked.npz"),
    is_replaced: Annotated[bool, typer.Option("--force", help="Replace the file where it is there.")] = False,
    artifact: Annotated[str | None, typer.Option(help="Of the bundle, where the threat model is about one.")] = None,
    data: Annotated[str | None, typer.Option("--data", "--images", help="Test images: signs, a folder, a zip.")] = None,
    against: Annotated[str | None, typer.Option(help="The bundle's torch pair: a run or a zoo name.")] = None,
    surrogate: Annotated[Path | None, typer.Option(help="A victim's run, for transfer.")] = None,
    temperature: Annotated[float, typer.Option(help="artifact-fake-quant: divides the logits.")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="Images attacked at once (a count).")] = 64,
    cache: Annotated[Path | None, typer.Option(help="Folder of crafted batches (default: the user's cache).")] = None,
    allow_host_code: Annotated[
        bool, typer.Option("--allow-host-code", help="Run the code inside a version-compatible engine: trust it first.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print the manifest as one JSON object.")] = False,
) -> None:
    """Attack test images and write them as a set: benchmark robustness OTHER --replay SET."""
    from capgan_benchmarks.robustness.attack_session import config_of_one, run_command

    config = config_of_one(
        scenario, attack_name, epsilon, subject=subject, artifacts=() if artifact is None else (artifact,), n=n,
        seed=seed, data=data, against=against, surrogate=surrogate, temperature=temperature, batch=batch, cache=cache,
        allow_host_code=allow_host_code,
    )  # fmt: skip
    run_command(config, out, is_replaced=is_replaced, is_json=is_json)
