"""`capgan-edge benchmark paper`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from capgan_edge.errors import ConfigError


def paper(
    table: Annotated[list[str], typer.Argument(help="I, II, III, IV, V, VI; 1, 3, 5 (the figures); or all.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Runs, crafted images, records, pages.")] = Path(
        "runs/paper"
    ),
    data: Annotated[str, typer.Option(help="As train takes it.")] = "cifar10-jpeg",
    scale: Annotated[str, typer.Option(help="Of the networks: nano, small or paper.")] = "nano",
    epochs: Annotated[int, typer.Option(min=1, help="Of every defence: the budget, the same for all.")] = 2,
    train_images: Annotated[
        int | None, typer.Option(min=1, help="Of the data, for every defence: a smaller budget (default: all).")
    ] = None,
    victim: Annotated[str, typer.Option(help="A packaged pair (its classifier) or a victim's run.")] = "cifar10-nano",
    surrogate: Annotated[
        Path | None, typer.Option(help="A victim's run, for transfer (default: the one packaged beside the pair).")
    ] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Test images (default: all; slow attacks take fewer).")] = None,
    skip: Annotated[list[str] | None, typer.Option(help="Leave an attack out, e.g. spsa-1; again for more.")] = None,
    at_most: Annotated[
        list[str] | None, typer.Option(help="Test images of one attack, e.g. cw=64; again for more.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Images a step of training.")] = 128,
    mirror: Annotated[
        bool | None, typer.Option("--mirror/--no-mirror", help="Default: all but `signs` and GTSRB.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: torch's choice).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it will cost, in PFLOP and hours.")] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")] = False,
) -> None:
    """The paper's tables and figures: train what is missing, attack, set ours beside theirs. Cut off, it goes on."""
    from capgan_benchmarks.paper.plan import EVERY, PaperConfig
    from capgan_benchmarks.paper.session import run_command
    from capgan_edge.training.start import is_mirrored

    tables = tuple(dict.fromkeys(each for name in table for each in (EVERY if name == "all" else (name,))))
    config = PaperConfig(tables=tables, out=out, data=data, scale=scale, epochs=epochs, victim=victim,
                         train_images=train_images,
                         surrogate=surrogate, n=n, skipped=tuple(skip or ()), at_most=_numbers(at_most or []),
                         batch_size=batch_size, is_mirrored=is_mirrored(mirror, data), seed=seed,
                         threads=threads)  # fmt: skip
    run_command(config, is_dry=dry_run, is_json=is_json)


def _numbers(given: list[str]) -> dict[str, int]:
    """Return attacks and their numbers from `cw=64`."""
    found = dict[str, int]()
    for each in given:
        name, _, number = each.partition("=")
        if not number.isdecimal():
            raise ConfigError(f"expected --at-most as an attack and a count of images, cw=64, got {each!r}; pass it so")
        found[name] = int(number)
    return found
