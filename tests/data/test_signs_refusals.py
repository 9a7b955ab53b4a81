"""What the sign generator refuses, and that it says so in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from capgan_edge.data.signs import Variation, contact_sheet, draw_face, draw_sign, load_signs
from capgan_edge.errors import CapganError, ConfigError, InputError


class Refusal(NamedTuple):
    name: str
    call: Callable[[], object]
    error: type[CapganError]
    message: str


RNG = np.random.default_rng(0)
REFUSALS = [
    Refusal("split", lambda: load_signs("val", n=20), ConfigError, "'train' or 'test', got 'val'"),  # type: ignore[arg-type]
    Refusal("tiny", lambda: load_signs("train", size_px=15), ConfigError, r"size_px .* in \[16, 512\], got 15"),
    Refusal("huge", lambda: load_signs("train", size_px=513), ConfigError, r"in \[16, 512\], got 513"),
    Refusal("half a pixel", lambda: load_signs("train", size_px=32.5), ConfigError, "whole number"),  # type: ignore[arg-type]
    Refusal("few", lambda: load_signs("train", n=19), ConfigError, "n to be a whole number of at least 20, got 19"),
    Refusal("true", lambda: load_signs("train", n=True), ConfigError, "got True"),
    Refusal("seed", lambda: load_signs("train", n=20, seed=-1), ConfigError, "seed .* at least 0, got -1"),
    Refusal("memory", lambda: load_signs("train", size_px=512), ConfigError, "8.8 GiB.*smaller n"),
    Refusal("class", lambda: draw_sign(20, size_px=32, rng=RNG), ConfigError, r"class_index .* \[0, 19\], got 20"),
    Refusal("no class", lambda: draw_face(-1, size_px=32), ConfigError, "got -1"),
    Refusal("size", lambda: draw_sign(0, size_px=4, rng=RNG), ConfigError, "got 4"),
    Refusal("face size", lambda: draw_face(0, size_px=4096), ConfigError, "got 4096"),
    Refusal("tilt", lambda: Variation(tilt=1.5), ConfigError, r"tilt in \[0, 1\], got 1.5"),
    Refusal("nan", lambda: Variation(blur=float("nan")), ConfigError, "blur .* got nan"),
    Refusal("fill", lambda: Variation(fill=(0.9, 0.5)), ConfigError, "smallest <= largest"),
    Refusal(
        "backdrop",
        lambda: draw_sign(0, size_px=32, rng=RNG, backdrop_HWC=np.zeros((16, 16, 3), np.uint8)),
        InputError,
        r"\(32, 32, 3\), got uint8 \(16, 16, 3\)",
    ),
    Refusal("empty sheet", lambda: contact_sheet(np.zeros((0, 8, 8, 3), np.uint8), columns=2), InputError, "at least"),
    Refusal("columns", lambda: contact_sheet(np.zeros((1, 8, 8, 3), np.uint8), columns=0), ConfigError, "columns"),
    Refusal("wide", lambda: contact_sheet(np.zeros((1, 8, 8, 3), np.uint8), columns=9999), ConfigError, "width"),
]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_a_wrong_argument_is_refused_in_one_line(case: Refusal) -> None:
    with pytest.raises(case.error, match=case.message) as caught:
        case.call()
    assert "\n" not in str(caught.value)


def test_without_pillow_the_module_imports_and_drawing_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "from capgan_edge.data.signs import SIGN_CLASSES, load_signs\n"
        "from capgan_edge.errors import MissingDependencyError\n"
        "try: load_signs('test', n=20)\n"
        "except MissingDependencyError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "drawing road signs needs Pillow" in run.stdout
    assert "capgan-edge[cpu]" in run.stdout
