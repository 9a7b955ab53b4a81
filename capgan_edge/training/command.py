"""`capgan-edge train victim|purifier|recipe`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
train = typer.Typer(no_args_is_help=True, help="Train a victim, or a purifier before a frozen one.")
app.add_typer(train, name="train")


class Weights(str, Enum):
    """Inner weights of the losses."""

    paper = "paper"
    ugatit = "ugatit"


class PrecisionOption(str, Enum):
    """Precision of training."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


Data = Annotated[
    str, typer.Option(help="signs, signs:SIZE, a folder, a zip, CIFAR-10's archive, or a name under $CAPGAN_EDGE_DATA.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run: checkpoints, log.csv, figures.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the folder's last checkpoint, with its settings.")]
Precision = Annotated[PrecisionOption, typer.Option(help="auto is bf16 where the processor computes it natively.")]
Devices = Annotated[int, typer.Option(min=1, help="Processes (gloo) or GPUs that share each batch.")]
Seed = Annotated[int, typer.Option(min=0)]
BatchSize = Annotated[int, typer.Option(min=2, help="Images a step.")]
Mirror = Annotated[bool, typer.Option("--mirror/--no-mirror", help="Mirror half of the images; not for road signs.")]


@train.command("victim")
def victim_command(
    data: Data = "signs",
    out: Out = Path("runs/victim"),
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak rate of SGD.")] = 0.2,
    small_crop_epochs: Annotated[int, typer.Option(min=0, help="First epochs on 24 px crops, at half the cost.")] = 0,
    batch_size: BatchSize = 128,
    mirror: Mirror = True,
    seed: Seed = 0,
    precision: Precision = PrecisionOption.auto,
    devices: Devices = 1,
    resume: Resume = False,
) -> None:
    """Train Madry's simple ResNet on a data set."""
    from capgan_edge.training.start import start_victim
    from capgan_edge.training.victim import VictimConfig

    config = VictimConfig(epochs=epochs, learning_rate=learning_rate, small_crop_epochs=small_crop_epochs,
                          batch_size=batch_size, is_mirrored=mirror, seed=seed)  # fmt: skip
    start_victim(config, data, out, precision=precision.value, devices=devices, is_resumed=resume)


@train.command("purifier")
def purifier_command(
    victim: Annotated[
        str,
        typer.Option(
            help="A victim's run, package.module:factory, a .pt2 file or an .onnx file (default: newest run)."
        ),
    ] = "",
    victim_state: Annotated[Path | None, typer.Option(help="Safetensors for a module:factory victim.")] = None,
    data: Data = "signs",
    out: Out = Path("runs/purifier"),
    preset: Annotated[str, typer.Option(help="paper, small or nano.")] = "nano",
    weights: Annotated[Weights, typer.Option(help="Inner weights of identity and cycle: 1, or 10.")] = Weights.paper,
    epochs: Annotated[int, typer.Option(min=1, help="All epochs; the paper trains 200.")] = 6,
    semantic_epochs: Annotated[int, typer.Option(min=0, help="First epochs without cycle and GAN.")] = 4,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak rate of Adam; the paper's is 1e-4.")] = 2e-3,
    schedule: Annotated[str, typer.Option(help="one-cycle, cosine (the paper's) or steps.")] = "one-cycle",
    batch_size: BatchSize = 128,
    mirror: Mirror = True,
    seed: Seed = 0,
    precision: Precision = PrecisionOption.auto,
    devices: Devices = 1,
    resume: Resume = False,
) -> None:
    """Train CAP-GAN's purifier before a frozen victim."""
    from capgan_edge.training.start import cap_gan_config, start_purifier

    config = cap_gan_config(preset, weights.value, epochs=epochs, semantic_epochs=semantic_epochs, schedule=schedule,
                            learning_rate=learning_rate, batch_size=batch_size, is_mirrored=mirror,
                            seed=seed)  # fmt: skip
    start_purifier(config, preset, victim, victim_state, data, out, precision=precision.value, devices=devices,
                   is_resumed=resume)  # fmt: skip


@train.command("recipe")
def recipe_command(
    name: Annotated[str, typer.Argument(help="signs-nano or cifar10-nano.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of both runs (default: runs/NAME).")] = None,
    resume: Resume = False,
) -> None:
    """Make a packaged pair again from nothing: its victim, then its purifier."""
    from capgan_edge.training.recipes import train_recipe

    train_recipe(name, out or Path("runs") / name, is_resumed=resume)
