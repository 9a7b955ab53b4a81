"""Verdicts on image files: read, classify in batches with a progress bar, and print for people or machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from capgan_edge.runtime.classifier import Classifier, Verdict
from capgan_edge.runtime.image_files import find_images, read_image


def classify_files(classifier: Classifier, paths: Sequence[Path]) -> dict[Path, Verdict]:
    """Return the verdict on each image file, in the order named; folders are searched."""
    images = find_images(paths)
    size = classifier.max_batch
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    verdicts: dict[Path, Verdict] = {}
    screen = Console(stderr=True)
    for batch in track(batches, "classifying", console=screen, transient=True, disable=not screen.is_terminal):
        verdicts.update(zip(batch, classifier.classify([read_image(path) for path in batch]), strict=True))
    return verdicts


def json_from_verdicts(classifier: Classifier, verdicts: dict[Path, Verdict]) -> str:
    """Return one JSON object: what classified, and a verdict an image."""
    rows: list[dict[str, Any]] = [{"image": str(path), **asdict(verdict)} for path, verdict in verdicts.items()]
    return json.dumps({"classifier": classifier.describe(), "verdicts": rows}, indent=2, allow_nan=False)


def print_verdicts(classifier: Classifier, verdicts: dict[Path, Verdict], console: Console) -> None:
    """Print a table for people; the columns `alarm` and `unpurified` only where the bundle gives them."""
    has_alarm = any(verdict.is_alarm is not None for verdict in verdicts.values())
    has_raw = any(verdict.raw_label is not None for verdict in verdicts.values())
    table = Table(caption=Text(classifier.backend_reason), caption_justify="left")
    more = [*(["alarm"] if has_alarm else []), *(["unpurified"] if has_raw else [])]
    for column in ("image", "label", "score", "suspicion", *more):
        table.add_column(column, overflow="fold")
    for path, verdict in verdicts.items():
        alarm = ["yes" if verdict.is_alarm else "no"] if has_alarm else []
        raw = [Text(verdict.raw_label or "")] if has_raw else []
        numbers = (f"{verdict.score:.3f}", f"{verdict.suspicion:.3f}")
        table.add_row(Text(str(path)), Text(verdict.label), *numbers, *alarm, *raw)
    console.print(table)
