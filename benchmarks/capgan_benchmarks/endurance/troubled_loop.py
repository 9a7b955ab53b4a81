"""`capgan-edge run` with an engine that fails: `python -m capgan_benchmarks.endurance.troubled_loop 10 1 BUNDLE ...`.

The first two arguments are the call of the engine that fails first, from 0, and how many fail; the others are those of
`capgan-edge run`, which runs as it is but for the classifier that `capgan_edge.load` gives it.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import capgan_edge
from capgan_benchmarks.endurance.troubled import TroubledRunner
from capgan_edge.cli import main
from capgan_edge.runtime.backends import open_runner
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.loading import classifier_from_opened


def run(failing: range, arguments: list[str]) -> int:
    """Run the loop, calls `failing` of its engine being troubled, and return its exit code."""

    def load(path: Path, *, require_card: bool = False, **options: Any) -> Classifier:
        bundle = Bundle.open(path)
        opened = open_runner(bundle, **options)
        troubled: Any = TroubledRunner(opened.runner, failing=failing)
        return classifier_from_opened(bundle, dataclasses.replace(opened, runner=troubled), require_card=require_card)

    with mock.patch.object(capgan_edge, "load", load):
        return main(["run", *arguments])


if __name__ == "__main__":
    first, count = int(sys.argv[1]), int(sys.argv[2])
    raise SystemExit(run(range(first, first + count), sys.argv[3:]))
