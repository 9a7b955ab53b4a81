"""The bundle that is tried: one that was named, or the packaged pair `signs-nano`, exported for the occasion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PAIR = "signs-nano"
_NUM_FRAMES = 40
"""On which its parity with torch is checked."""


@contextmanager
def bundle_or_packaged(bundle: Path | None) -> Iterator[Path]:
    """Yield the bundle, or for None one of the packaged pair, which is gone at the end.

    Raises:
        MissingDependencyError: the packaged pair cannot be exported without the extra `train`.
    """
    if bundle is not None:
        yield bundle
        return
    from capgan_export.bundling import export_pair
    from capgan_export.parity import ParityConfig
    from capgan_export.source import find_source, load_frames

    source = find_source(PAIR)
    frames = load_frames(source.data, source.size_px, num_frames=_NUM_FRAMES)
    with TemporaryDirectory() as folder:
        out = Path(folder) / PAIR
        export_pair(source.purifier, source.victim, labels=source.labels, size_px=source.size_px, frames=frames,
                    parity=ParityConfig(num_frames=_NUM_FRAMES), out=out, name=source.name)  # fmt: skip
        yield out
