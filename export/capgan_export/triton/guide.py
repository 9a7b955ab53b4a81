"""The README of a model repository: what is in it, what the server needs, and a first request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from capgan_edge.runtime.bundle import Bundle

if TYPE_CHECKING:
    from capgan_export.triton.repository import TritonModel


def guide_to(bundle: Bundle, models: Sequence[TritonModel]) -> str:
    """Return it as Markdown."""
    rows = "".join(f"| {model.name} | {model.artifact} | {model.max_batch} | {model.needs} |\n" for model in models)
    manifest, size = bundle.manifest, bundle.manifest.input
    return f"""# Triton model repository

Written by `capgan-edge export-triton` from purifier {manifest.purifier.name} and victim {manifest.victim.name}.

| model | artifact of the bundle | largest batch | Triton has to bring |
|---|---|---|---|
{rows}
A TensorRT engine runs in the very version of TensorRT that built it, on the GPUs named: choose the Triton container by
that version. A model whose needs are not met is refused by Triton when it loads; the others still run with
`--exit-on-error=false`.

    tritonserver --model-repository=/path/to/this/directory

Input `frames`: UINT8 [N, {size.height}, {size.width}, 3], RGB, pixels as they are: scaling is inside the graph. Output
`suspicion` is [N, 1] here and [N] in the bundle, since Triton keeps at least one dimension beside the batch.
`labels.txt` names the classes: ask for `logits` with `class_count=1`.

`config.pbtxt` names the SHA-256 of the artifact, and in `capgan_card` the state of its robustness card when this was
written: `passed`, `weak` (passed, yet says little), `failed`, `other runtime` (measured on what Triton does not run it
with), `stale` (of other bytes) or `none`. Where it is not `passed`, `capgan_card_warning` says why.
"""
