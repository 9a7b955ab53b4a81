"""`capgan-edge train victim|purifier|defence|recipe`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()
train = typer.Typer(no_args_is_help=True, help="Train a victim, a purifier before a frozen one, or another defence.")
app.add_typer(train, name="train")


class Weights(str, Enum):
    """Inner weights of the losses."""

    paper = "paper"
    ugatit = "ugatit"


class Mode(str, Enum):
    """What a purifier is trained against."""

    cap_gan = "cap-gan"
    robust = "robust"


class PrecisionOption(str, Enum):
    """Precision of training."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


_SETTINGS = ("epochs", "semantic_epochs", "small_crop_epochs", "learning_rate", "schedule", "smallest_epsilon",
             "weights", "preset", "batch_size", "mirror", "seed")  # fmt: skip
"""Options that a run keeps; precision, processes, data, victim and mode are compared where they are read."""
_PRECISION_HELP = "auto is bf16 where the processor computes it natively (default: auto; with --resume, the run's)."
_DEVICES_HELP = (
    "Processes (gloo) or GPUs that share each batch (default: 1; with --resume, the run's). BatchNorm (presets small "
    "and nano, victim) normalises each one's share by itself, so that weights differ slightly from one process's; "
    "without it they are equal, to rounding."
)
Data = Annotated[
    str, typer.Option(help="signs, signs:SIZE, a folder, a zip, CIFAR-10's archive, or a name under $CAPGAN_EDGE_DATA.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run: checkpoints, log.csv, figures.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from the folder's last checkpoint, with its settings; others are refused."),
]
Precision = Annotated[PrecisionOption | None, typer.Option(help=_PRECISION_HELP)]
Devices = Annotated[int | None, typer.Option(min=1, help=_DEVICES_HELP)]
Seed = Annotated[int, typer.Option(min=0)]
BatchSize = Annotated[int, typer.Option(min=2, help="Images a step.")]
Mirror = Annotated[
    bool | None,
    typer.Option("--mirror/--no-mirror", help="Mirror half of the images (default: all but `signs` and GTSRB)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


@train.command("victim")
def victim_command(
    context: typer.Context,
    data: Data = "signs",
    out: Out = Path("runs/victim"),
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak rate of SGD.")] = 0.2,
    small_crop_epochs: Annotated[int, typer.Option(min=0, help="First epochs on 24 px crops, at half the cost.")] = 0,
    adversarial: Annotated[
        str,
        typer.Option(help="Train on attacked images alone: n-fgsm, or pgd-K with K steps (default: on clean ones)."),
    ] = "",
    epsilon: Annotated[
        float | None, typer.Option(min=0, max=255, help="Of that attack, in levels of 255 (default: 8).")
    ] = None,
    batch_size: BatchSize = 128,
    mirror: Mirror = None,
    seed: Seed = 0,
    precision: Precision = None,
    devices: Devices = None,
    resume: Resume = False,
    is_json: Json = False,
) -> None:
    """Train Madry's simple ResNet on a data set, as it is or adversarially."""
    from capgan_edge.training.start import is_mirrored, start_victim
    from capgan_edge.training.victim import VictimConfig
    from capgan_edge.training.victim_attack import attack_settings, refuse_other_attack

    attack = attack_settings(adversarial, epsilon, is_resumed=resume)
    if resume:
        _refuse_other_settings(context, out)
        refuse_other_attack(out, attack)
    config = VictimConfig(epochs=epochs, learning_rate=learning_rate, small_crop_epochs=small_crop_epochs,
                          batch_size=batch_size, is_mirrored=is_mirrored(mirror, data), seed=seed,
                          **attack)  # fmt: skip
    summary = start_victim(config, data, out, precision=precision.value if precision else None, devices=devices,
                           is_resumed=resume)  # fmt: skip
    _tell(summary, is_json=is_json)


@train.command("purifier")
def purifier_command(
    context: typer.Context,
    victim: Annotated[
        str,
        typer.Option(
            help="A victim's run, package.module:factory, a .pt2 file or an .onnx file (default: the newest run; with "
            "--resume, the run's own)."
        ),
    ] = "",
    victim_state: Annotated[Path | None, typer.Option(help="Safetensors for a module:factory victim.")] = None,
    data: Data = "signs",
    out: Out = Path("runs/purifier"),
    preset: Annotated[
        str | None,
        typer.Option(
            help="paper, small or nano (default); of --mode robust: robust-nano (default), robust-nano-maps "
            "(for many classes), robust-nano-prototypes, robust-nano-deep or robust-small."
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="cap-gan (default): attacks on the victim alone, as in the paper. robust: attacks on victim and "
            "purifier together. With --resume, the run's."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Mode robust: NAME=VALUE, any setting of RobustConfig, as in attack=pgd-7."),
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Mode robust with --set init=run: the purifier's run to start from.")
    ] = None,
    weights: Annotated[
        Weights | None, typer.Option(help="Inner weights of identity and cycle: 1 (paper, default), or 10.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="All epochs (default: 6); the paper trains 200.")] = None,
    semantic_epochs: Annotated[
        int | None, typer.Option(min=0, help="First epochs without cycle and GAN (default: half); the paper has none.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Peak rate of Adam (default: 2e-3); the paper's is 1e-4.")
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="one-cycle (default), cosine (the paper's) or steps.")] = None,
    smallest_epsilon: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=8,
            help="Levels of 255. Each attacked image has a size of its own, from this one (default: 0) to 8; with 8 "
            "all have the same, as in the paper, and smaller perturbations need not be undone.",
        ),
    ] = None,
    batch_size: BatchSize = 128,
    mirror: Mirror = None,
    seed: Seed = 0,
    precision: Precision = None,
    devices: Devices = None,
    resume: Resume = False,
    is_json: Json = False,
) -> None:
    """Train a purifier before a frozen victim: CAP-GAN's, or one that holds end to end (--mode robust)."""
    from capgan_edge.training.robust_mode import PurifierOptions, start_mode
    from capgan_edge.training.start import is_mirrored

    if resume:
        _refuse_other_settings(context, out)
    options = PurifierOptions(
        mode=mode.value if mode else None, settings=tuple(settings or ()), init_from=init_from, preset=preset,
        weights=weights.value if weights else None, epochs=epochs, semantic_epochs=semantic_epochs,
        learning_rate=learning_rate, schedule=schedule, smallest_epsilon=smallest_epsilon, batch_size=batch_size,
        is_mirrored=is_mirrored(mirror, data), seed=seed,
    )  # fmt: skip
    summary = start_mode(options, victim, victim_state, data, out, devices=devices, is_resumed=resume,
                         precision=precision.value if precision else None)  # fmt: skip
    _tell(summary, is_json=is_json)


@train.command("defence")
def defence_command(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="ape-gan, hgd, adversarial-training, thermometer, cap-gan, cap-gan-without-cycle, pixel, pixel-cam or "
            "pixel-semantic."
        ),
    ],
    victim: Annotated[
        str, typer.Option(help="Of a purifier, as in `train purifier` (default: the newest run; resumed, its own).")
    ] = "",
    victim_state: Annotated[Path | None, typer.Option(help="Safetensors for a module:factory victim.")] = None,
    data: Data = "signs",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run (default: runs/NAME).")] = None,
    preset: Annotated[
        str, typer.Option("--preset", "--scale", help="Of a purifier: nano, small, or paper, with the papers' rates.")
    ] = "nano",
    epochs: Annotated[int, typer.Option(min=1, help="All epochs: the budget that a table's rows share.")] = 6,
    batch_size: BatchSize = 128,
    mirror: Mirror = None,
    seed: Seed = 0,
    precision: Precision = None,
    devices: Devices = None,
    resume: Resume = False,
    is_json: Json = False,
) -> None:
    """Train a defence of the paper's tables: a purifier before a frozen victim, or a victim of its own."""
    from capgan_edge.training.defence import Budget, check_resumed, start_defence
    from capgan_edge.training.start import is_mirrored

    folder = out or Path("runs") / name
    if resume:
        check_resumed(name, folder, _given(context))
    budget = Budget(scale=preset, epochs=epochs, batch_size=batch_size, is_mirrored=is_mirrored(mirror, data),
                    seed=seed)  # fmt: skip
    summary = start_defence(name, budget, victim, victim_state, data, folder, devices=devices, is_resumed=resume,
                            precision=precision.value if precision else None)  # fmt: skip
    _tell(summary, is_json=is_json)


@train.command("recipe")
def recipe_command(
    name: Annotated[
        str,
        typer.Argument(
            help="signs-nano, signs-demo, cifar10-nano, gtsrb-nano, cifar10-robust-nano or gtsrb-robust-nano."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the runs (default: runs/NAME).")] = None,
    resume: Resume = False,
    is_json: Json = False,
) -> None:
    """Make a packaged pair again from nothing: its victim, then its purifier (after a first run, where it has one)."""
    from capgan_edge.training.start import start_recipe

    _tell(start_recipe(name, out or Path("runs") / name, is_resumed=resume), is_json=is_json)


def _refuse_other_settings(context: typer.Context, out: Path) -> None:
    """Refuse settings that were given beside --resume and are not those of the run."""
    from capgan_edge.training.resumed_options import refuse_other_settings

    refuse_other_settings(out, _given(context))


def _given(context: typer.Context) -> dict[str, Any]:
    """Return the settings that were really given, by the names of their options."""
    sources = {name: context.get_parameter_source(name) for name in _SETTINGS}
    given = {name: context.params[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    return {name: getattr(value, "value", value) for name, value in given.items()}


def _tell(summary: dict[str, Any] | None, *, is_json: bool) -> None:
    """Print the summary where asked; None comes from all processes of a run but the first."""
    if is_json and summary is not None:
        import json

        typer.echo(json.dumps(summary, allow_nan=False))
