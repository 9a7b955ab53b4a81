"""Make the attack of the demo's drive: one perturbation a class, against the victim of signs-nano alone.

    python -m capgan_benchmarks.drive_attack [--epsilon 16] [--steps 60] [--seed 0]

Each perturbation is universal over the sizes, places and noise that the drive shows its sign in. It is stored beside
the drive, with how it was made and what it does to the victim and to the purified victim on the drive as rendered.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from capgan_benchmarks.script import run_script
from capgan_edge.files import write_atomic
from capgan_edge.runtime.frames import fit_frames
from capgan_edge.runtime.stream.demo_drive import ATTACK_PATH, FRAMES_PER_SIGN, SIGNS_ON_ROUTE, DemoDrive


def main(
    epsilon: Annotated[int, typer.Option(min=1, max=64, help="Largest change of a pixel (levels of 255).")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of sign descent (a count).")] = 60,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Where to store it.")] = ATTACK_PATH,
) -> None:
    """Make the perturbations and store them."""
    from capgan_edge import zoo

    pair = zoo.load("signs-nano")
    crops_NHWC, labels_N = crops_of_drive(DemoDrive(seed=seed), pair.size_px)
    perturbation_KHWC = universal_perturbations(pair, crops_NHWC, labels_N, epsilon=epsilon, steps=steps, seed=seed)
    attacked = DemoDrive("attack", seed=seed + 1, perturbation_KHWC=perturbation_KHWC)
    facts = {"epsilon": epsilon / 255, "norm": "Linf", "steps": steps, "seed": seed, "against": "the victim alone",
             "victim_sha256": pair.card["victim"]["sha256"], "clean": shares(pair, DemoDrive(seed=seed + 1)),
             "attacked": shares(pair, attacked)}  # fmt: skip
    store(out, perturbation_KHWC, facts)
    typer.echo(json.dumps(facts, indent=2))


def crops_of_drive(drive: DemoDrive, size_px: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the sign in each frame, in the victim's size [N, H, W, 3], and its class."""
    crops: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    while (picture := drive.read()) is not None:
        assert picture.boxes is not None
        (box,) = picture.boxes
        labels.append(SIGNS_ON_ROUTE[len(crops) // FRAMES_PER_SIGN])
        crops.append(picture.frame_HWC[box.top : box.bottom, box.left : box.right])
    return fit_frames(crops, size_px), np.array(labels)


def universal_perturbations(
    pair: Any, crops_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64], *, epsilon: int, steps: int, seed: int
) -> NDArray[np.int8]:
    """Return the perturbation of each class [K, H, W, 3] in levels of 255; classes that are not on the route have none.

    Sign descent on the margin of the true class, averaged over its crops.
    """
    import torch

    torch.manual_seed(seed)
    height, width = pair.size_px
    perturbation_KHWC = np.zeros((len(pair.labels), height, width, 3), np.int8)
    for label in np.unique(labels_N):
        x_NCHW = torch.from_numpy(crops_NHWC[labels_N == label]).permute(0, 3, 1, 2).float()
        d_CHW = torch.zeros(x_NCHW.shape[1:]).uniform_(-epsilon, epsilon).requires_grad_()
        for step in range(steps):
            logits_NK = pair.victim((x_NCHW + d_CHW).clamp(0, 255) / 255)
            others_NK = logits_NK.index_fill(1, torch.tensor([int(label)]), float("-inf"))
            margin = (logits_NK[:, label] - others_NK.max(dim=1).values).mean()
            (gradient_CHW,) = torch.autograd.grad(margin, d_CHW)
            size = epsilon / 4 * (1 - step / steps)
            d_CHW = (d_CHW - size * gradient_CHW.sign()).detach().clamp(-epsilon, epsilon).requires_grad_()
        perturbation_KHWC[label] = d_CHW.detach().round().permute(1, 2, 0).numpy().astype(np.int8)
    return perturbation_KHWC


def shares(pair: Any, drive: DemoDrive) -> dict[str, float | int]:
    """Return the share of the drive's frames that are right, with and without purification, in [0, 1]."""
    import torch

    crops_NHWC, labels_N = crops_of_drive(drive, pair.size_px)
    x_NCHW = torch.from_numpy(crops_NHWC).permute(0, 3, 1, 2).float() / 255
    y_N = torch.from_numpy(labels_N)
    with torch.no_grad():
        raw_N = pair.victim(x_NCHW).argmax(1) == y_N
        purified_N = pair.victim(pair.purifier(x_NCHW)).argmax(1) == y_N
    return {"n": len(y_N), "right_unpurified": raw_N.float().mean().item(),
            "right_purified": purified_N.float().mean().item()}  # fmt: skip


def store(path: Path, perturbation_KHWC: NDArray[np.int8], facts: dict[str, Any]) -> None:
    """Write the perturbations and their facts as one file of plain arrays."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, perturbation_KHWC=perturbation_KHWC, facts=np.array(json.dumps(facts)))
    write_atomic(path, buffer.getvalue())


if __name__ == "__main__":
    run_script(main)
