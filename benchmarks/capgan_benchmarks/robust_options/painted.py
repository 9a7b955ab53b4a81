"""What a robust purifier paints, of signs that are drawn by code: clean, and attacked end to end.

    python -m capgan_benchmarks.robust_options.painted gtsrb-robust-nano

Writes `docs/painted-PAIR.png`. The drawn signs are not what the pair was trained on, only their names are the same: the
picture is for looking, the tables are for figures.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from capgan_benchmarks.demo.sheet import draw_tile
from capgan_benchmarks.records import ROOT
from capgan_benchmarks.script import run_script
from capgan_edge.errors import ConfigError
from capgan_edge.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.data.images import ImageSet
    from capgan_edge.zoo import Pair

NUM_DRAWN, NUM_SHOWN, STEPS = 20, 10, 20
"""Signs are drawn with their classes in turn: one of each of the 20."""
LINES = ("clean", "T(clean)", "attacked end to end\n(PGD-20, 8/255)", "T(attacked)")


def main(
    name: Annotated[str, typer.Argument(help="A packaged pair of the mode robust that knows signs.")],
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw the picture."""
    from capgan_edge import zoo

    pair = zoo.load(name)
    path = ROOT / "docs" / f"painted-{name}.png"
    write_atomic(path, picture_of(pair, drawn_signs(pair), seed=seed))
    typer.echo(f"wrote {path.relative_to(ROOT)}", err=True)


def drawn_signs(pair: Pair) -> ImageSet:
    """Return a drawn sign of each of the first classes whose names the pair knows, at its size, with its labels.

    Raises:
        ConfigError: it knows none of them.
    """
    from capgan_edge.data.images import ImageSet
    from capgan_edge.data.signs import load_signs

    signs = load_signs("test", size_px=pair.size_px[0], n=NUM_DRAWN)
    known = [(i, pair.labels.index(label)) for i, label in enumerate(signs.class_names) if label in pair.labels]
    if not known:
        raise ConfigError(
            f"expected a pair that knows signs as they are drawn here ({', '.join(signs.class_names[:4])}, ...), got "
            f"{pair.name} of {', '.join(pair.labels[:4])}, ...; name gtsrb-robust-nano"
        )
    firsts = [int(np.flatnonzero(signs.labels_N == own)[0]) for own, _ in known[:NUM_SHOWN]]
    return ImageSet(name=signs.name, images_NHWC=signs.images_NHWC[firsts], class_names=pair.labels,
                    labels_N=np.array([its for _, its in known[:NUM_SHOWN]]))  # fmt: skip


def picture_of(pair: Pair, signs: ImageSet, *, seed: int) -> bytes:
    """Return a PNG with a column a sign and f's verdict under every image: green where it is right."""
    from matplotlib.figure import Figure

    rows = _images(pair, signs, seed=seed)
    figure = Figure(figsize=(1.4 * len(signs) + 0.9, 6.6), layout="constrained")
    grid = figure.subplots(len(LINES), len(signs), squeeze=False)
    for line, (images_NHWC, said_N) in enumerate(rows):
        for column, (image_HWC, said) in enumerate(zip(images_NHWC, said_N, strict=True)):
            draw_tile(grid[line][column], image_HWC, signs.class_names[said], is_right=said == signs.labels_N[column])
        grid[line][0].set_ylabel(LINES[line], fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _images(pair: Pair, signs: ImageSet, *, seed: int) -> list[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Return the images of every line, [N, H, W, 3] in 8 bits, with what f says of each."""
    import torch

    from capgan_benchmarks.attacked_sets import Chain
    from capgan_edge.attacks import PGD

    x_NCHW = torch.from_numpy(signs.images_NHWC).permute(0, 3, 1, 2).float().div(255)
    chain: Any = Chain(pair.purifier, pair.victim)
    a_NCHW = PGD(steps=STEPS, seed=seed)(chain, x_NCHW, torch.from_numpy(signs.labels_N)).images_BCHW
    with torch.no_grad():
        lines: list[Tensor] = [x_NCHW, pair.purifier(x_NCHW), a_NCHW, pair.purifier(a_NCHW)]
        return [((each * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy(), pair.victim(each).argmax(1).numpy())
                for each in lines]  # fmt: skip


if __name__ == "__main__":
    run_script(main)
