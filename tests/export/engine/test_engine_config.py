"""Options of an engine: what is out of range is refused in one line before anything is opened."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from capgan_edge.errors import ConfigError
from capgan_edge.runtime.sidecar import Profile
from capgan_export.engine.compilation import LayerCounts, counts_from_inspector
from capgan_export.engine.config import EngineConfig, profile_from_text


@pytest.mark.parametrize(
    ("text", "profile"),
    [("1,1,8", (1, 1, 8)), ("4", (4, 4, 4)), ("1, 2 ,16", (1, 2, 16))],
)
def test_batches_are_read(text: str, profile: tuple[int, int, int]) -> None:
    assert profile_from_text(text) == Profile(min=profile[0], opt=profile[1], max=profile[2])


@pytest.mark.parametrize("text", ["", "0", "-1,1,1", "8,1,1", "1,9,8", "1,2", "1,2,3,4", "a,b,c", "1.5", "1,,8",
                                  "1,1,4097", "1,1,1000000000000", "9" * 5000])  # fmt: skip
def test_batches_out_of_order_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected --batch as min,opt,max .* <= 4096"):
        profile_from_text(text)


class Bad(NamedTuple):
    options: dict[str, Any]
    message: str


@pytest.mark.parametrize(
    "bad",
    [
        Bad({"targets": ("86",)}, "expected a target such as sm_86, got '86'"),
        Bad({"targets": ("sm_86", "sm_86")}, "every target once"),
        Bad({"workspace_gib": 0.0}, "workspace above 0 GiB"),
        Bad({"workspace_gib": float("nan")}, "workspace above 0 GiB"),
        Bad({"workspace_gib": 1025.0}, "of at most 1024, got 1025"),
        Bad({"workspace_gib": 1e300}, "of at most 1024"),
    ],
    ids=str,
)
def test_an_option_out_of_range_is_refused(bad: Bad) -> None:
    with pytest.raises(ConfigError, match=bad.message):
        EngineConfig(precision="fp16", **bad.options)


INSPECTED = """{"Layers": [
  {"Name": "a", "LayerType": "Reformat", "Origin": "REFORMAT"}, {"Name": "b", "LayerType": "Reformat"},
  {"Name": "c", "LayerType": "Reformat", "Origin": "CAST"}, {"Name": "d", "LayerType": "Cast"},
  {"Name": "e", "LayerType": "Reformat", "Origin": "QDQ"}, {"Name": "f", "LayerType": "CaskConvolution"}
], "Bindings": ["frames", "logits"]}"""


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (INSPECTED, LayerCounts(num_layers=6, num_casts=2, num_reformats=2)),
        ('{"Layers": ["a", "b"]}', LayerCounts(num_layers=2)),
        ("{}", LayerCounts()),
        ("none", LayerCounts()),
    ],
    ids=["details", "names alone", "nothing", "no JSON"],
)
def test_layers_are_counted_as_far_as_the_inspector_tells(text: str, counts: LayerCounts) -> None:
    assert counts_from_inspector(text) == counts
