"""The command of calibration: `calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="A bundle that capgan-edge export wrote.")] = Path("bundle"),
    images: Annotated[
        str | None, typer.Option(help="signs, a folder or zip with train/ and test/, a known name, or loose images.")
    ] = None,
    mix: Annotated[
        str, typer.Option(help="Kinds and ratios: clean, adversarial, adversarial-end-to-end, purified.")
    ] = "clean:1,adversarial:1",
    n: Annotated[int, typer.Option(min=2, help="Frames to calibrate on (a count).")] = 512,
    method: Annotated[str, typer.Option(help="Of the ranges: minmax, percentile or entropy.")] = "percentile",
    percentile: Annotated[float, typer.Option(help="Share that is not clipped, in percent.")] = 99.999,
    attack: Annotated[str, typer.Option(help="pgd or fgsm.")] = "pgd",
    epsilon: Annotated[float, typer.Option(min=0, max=1, help="Of the attack, in [0, 1].")] = 8 / 255,
    steps: Annotated[int, typer.Option(min=1, help="Of pgd (a count).")] = 7,
    exclude: Annotated[list[str] | None, typer.Option(help="A layer, or a pattern, that stays; repeatable.")] = None,
    quantise_ends: Annotated[bool, typer.Option(help="First and last layers of purifier and victim too.")] = False,
    rest: Annotated[
        str | None,
        typer.Option(
            help="Precision of what is not INT8: fp32, or fp16 for TensorRT (default: fp32; with --auto, fp16)."
        ),
    ] = None,
    sensitivity: Annotated[bool, typer.Option("--sensitivity", help="Rank layers by loss of robustness.")] = False,
    mode: Annotated[str, typer.Option(help="Of the ranking: quantise one layer only, or leave-out one.")] = "only",
    auto: Annotated[bool, typer.Option("--auto", help="Leave the costliest layers in FP16 until limits hold.")] = False,
    max_clean_drop: Annotated[float, typer.Option(min=0, max=100, help="Limit of --auto, in points.")] = 1.0,
    max_robust_drop: Annotated[float, typer.Option(min=0, max=100, help="Limit of --auto, in points.")] = 1.0,
    against: Annotated[str | None, typer.Option(help="The run or zoo name of the bundle's pair, to attack.")] = None,
    victim: Annotated[str | None, typer.Option(help="The victim, for a run before a brought one.")] = None,
    victim_state: Annotated[Path | None, typer.Option(help="Safetensors weights of that --victim.")] = None,
    num_check: Annotated[int, typer.Option(min=32, help="Test frames to compare with FP32 (a count).")] = 256,
    num_rank: Annotated[int, typer.Option(min=32, help="Frames to rank layers with (a count).")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of images, order and attack.")] = 0,
    resize: Annotated[bool, typer.Option("--resize", help="Bring images of another size to the graph's.")] = False,
    cache: Annotated[bool, typer.Option(help="Use ranges measured before on the very same.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace an INT8 graph that is there.")] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """Make an INT8 graph with ranges from clean and attacked frames, hold it against FP32, add it to the bundle."""
    from capgan_calibration.options import request_from_options
    from capgan_calibration.session import run_calibrate

    request = request_from_options(
        bundle=bundle, images=images, mix=mix, n=n, method=method, percentile=percentile, attack=attack,
        epsilon=epsilon, steps=steps, exclude=exclude or [], quantise_ends=quantise_ends, rest=rest,
        mode=mode if sensitivity or auto else None, limits=(max_clean_drop, max_robust_drop) if auto else None,
        against=against, victim=victim, victim_state=victim_state, num_check=num_check, num_rank=num_rank, seed=seed,
        resize=resize, has_cache=cache, force=force,
    )  # fmt: skip
    run_calibrate(request, is_json=is_json)
