"""`capgan-edge benchmark training`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def training(
    preset: Annotated[list[str] | None, typer.Option(help="nano, small or paper; again for more.")] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="Images of a step (a count).")] = 128,
    size: Annotated[int, typer.Option(min=32, help="Of the images (px).")] = 32,
    rounds: Annotated[int, typer.Option(min=2, help="Rounds in which both loops have a turn (a count).")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Of a turn (a count).")] = 4,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all).")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder to write the record to.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print the record as one JSON object.")] = False,
) -> None:
    """Time CAP-GAN's training against the plain FP32 loop of the same losses, in rounds."""
    import json

    from capgan_benchmarks.records import record_name
    from capgan_benchmarks.training_speed import TrainingSpeedConfig, measure_training
    from capgan_edge.files import make_folder, write_json

    config = TrainingSpeedConfig(presets=tuple(preset or ("nano",)), batch_size=batch_size, size_px=size,
                                 num_rounds=rounds, num_steps=steps, threads=threads)  # fmt: skip
    if out is not None:
        make_folder(out)
    record = measure_training(config)
    if out is not None:
        path = out / record_name("training-speed", record)
        write_json(path, record)
        typer.echo(f"wrote {path}", err=True)
    if is_json:
        typer.echo(json.dumps(record))
        return
    for row in record["rows"]:
        fast, plain, ratio = row["loops"]["fast"], row["loops"]["plain"], row["ratio"]
        said = (
            f"{each['images_per_s']['median']:.1f} images/s in {each['precision']}, "
            f"{each['roof_percent']:.0f} % of its roof"
            for each in (fast, plain)
        )
        typer.echo(f"{row['preset']}: {'; plain '.join(said)}: {ratio['median']:.2f} times "
                   f"({ratio['low']:.2f} to {ratio['high']:.2f} over {ratio['num_rounds']} rounds)")  # fmt: skip
