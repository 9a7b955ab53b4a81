"""The threat models by name, in words, without torch; and a pair that none about gradients takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from capgan_benchmarks.threats.catalogue import THREATS, threat_named
from capgan_benchmarks.threats.defended import defended_from_source
from capgan_edge.errors import ConfigError
from capgan_edge.models.victims import Victim
from capgan_export.source import Source


def test_every_threat_model_has_a_name_and_says_in_words_who_and_what() -> None:
    assert [threat.name for threat in THREATS] == [
        "transfer", "white-box-victim", "bpda", "query", "end-to-end", "class-head", "stealthy",
        "artifact-transfer", "artifact-query", "artifact-fake-quant",
    ]  # fmt: skip
    assert len({threat.knows for threat in THREATS}) == len(THREATS)
    for threat in THREATS:
        assert threat.knows.endswith(".")
        assert threat_named(threat.name) is threat
    with pytest.raises(ConfigError, match=r"among transfer, .*artifact-fake-quant, got 'grey-box'"):
        threat_named("grey-box")


def test_the_words_need_neither_torch_nor_onnx() -> None:
    code = (
        "import sys\nfor m in ('torch', 'onnx', 'onnxruntime'): sys.modules[m] = None\n"
        "import capgan_benchmarks.threats.catalogue"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pair_whose_classifier_has_no_gradients_is_refused_with_what_would_work(signs_source: Source) -> None:
    held = signs_source.victim
    graph_alone = Victim(module=None, onnx_model=b"...", num_classes=held.num_classes, identity=held.identity)
    source = Source(name="brought", origin="a test", purifier=signs_source.purifier, victim=graph_alone,
                    labels=signs_source.labels, size_px=signs_source.size_px, data=signs_source.data)  # fmt: skip
    with pytest.raises(ConfigError, match="use artifact-query"):
        defended_from_source(source)
