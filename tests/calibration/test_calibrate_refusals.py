"""What `capgan-edge calibrate` refuses: in one line, with the bundle as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from calibrating import INT8, PARTS, calibrate
from PIL import Image
from small_graph import SIZE_PX, small_bytes, small_model

from capgan_edge.cli import main
from capgan_edge.files import sha256_of_bytes
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.growth import locked


class Refused(NamedTuple):
    name: str
    options: list[str]
    says: str


REFUSED = [
    Refused("mixture", ["--mix", "dirty"], "expected kinds among"),
    Refused("method", ["--method", "best"], "expected --method minmax or percentile or entropy, got 'best'"),
    Refused("rest", ["--rest", "int4"], "expected --rest fp32 or fp16"),
    Refused("layer", ["--exclude", "nothing"], "fits none of the 10"),
    Refused("all layers", ["--exclude", "*"], "expected at least one layer"),
    Refused("epsilon", ["--epsilon", "8"], "--epsilon"),
    Refused("another pair", ["--against", "signs-nano"], "expected the bundle's own pair to attack"),
    Refused("attacked frames of an unknown pair", ["--mix", "adversarial"], "expected the bundle's own pair to attack"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_bad_options_are_one_line_and_change_nothing(
    case: Refused, small_bundle: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (small_bundle / "manifest.json").read_bytes()
    assert calibrate(small_bundle, camera, *case.options) != 0
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("making", "measuring"))]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert case.says in lines[0]
    assert (small_bundle / "manifest.json").read_bytes() == before


def test_bad_images_are_one_line_and_change_nothing(
    small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def folder(name: str, n: int, size_px: tuple[int, int], value: int) -> Path:
        (tmp_path / name).mkdir()
        for index in range(n):
            pixels_HWC = np.full((*size_px, 3), value * index, np.uint8)
            Image.fromarray(pixels_HWC).save(tmp_path / name / f"{index}.png")
        return tmp_path / name

    cases = {
        folder("one", 1, SIZE_PX, 0): "got 1 image",
        folder("black", 5, SIZE_PX, 0): "copies of one image",
        folder("flat", 5, SIZE_PX, 9): "of one colour each",
        folder("wide", 5, (8, 9), 9): "expected images of 8x8 px",
        folder("empty", 0, SIZE_PX, 0): "expected images",
        tmp_path / "nowhere": "expected the data set",
    }
    for images, says in cases.items():
        assert calibrate(small_bundle, images) == 1
        error = capsys.readouterr().err
        assert says in error.splitlines()[-1], error
        assert "Traceback" not in error
    assert Bundle.open(small_bundle).precisions == ("fp32",)


def test_a_foreign_graph_in_a_bundle_is_refused(
    small_bundle: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = small_model()
    del model.graph.node[:]
    for foreign in (b"no onnx", small_bytes()[:-99], model.SerializeToString()):
        write_bundle(small_bundle, Bundle.open(small_bundle).manifest, {"model.fp32.onnx": foreign}, overwrite=True)
        assert calibrate(small_bundle, camera) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: expected a")
    assert sha256_of_bytes(foreign) == Bundle.open(small_bundle).manifest.files["model.fp32.onnx"].sha256


def test_a_graph_that_is_there_is_not_replaced_unasked_nor_beside_another_writer(
    small_bundle: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(small_bundle):
        assert calibrate(small_bundle, camera) == 1
        assert "nobody else is writing to" in capsys.readouterr().err
    assert calibrate(small_bundle, camera) == 0
    capsys.readouterr()
    assert calibrate(small_bundle, camera) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: expected no {INT8} in {small_bundle}, got one; pass --force to replace it"
    ]


def test_a_result_that_is_too_far_from_fp32_is_not_written(
    small_bundle: Path, camera: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(small_bundle, camera, "--percentile", "1") == 1
    assert "nothing was written: --auto leaves" in capsys.readouterr().err
    assert Bundle.open(small_bundle).precisions == ("fp32",)


def test_a_ranking_wants_labelled_images(
    signs_copy: Callable[[], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "loose"
    folder.mkdir()
    for index in range(4):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
            folder / f"{index}.png"
        )
    assert main(["calibrate", str(signs_copy()), "--images", str(folder), "--n", "2", "--sensitivity"], PARTS) == 1
    assert "labelled images beside those of the calibration to rank layers with" in capsys.readouterr().err
