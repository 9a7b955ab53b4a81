"""An attacked set as one file that others can score: arrays, and inside it a manifest that says what and of what.

An .npz without compression, read without unpickling. Originals are not in it, only their hashes: whoever replays a set
brings the images. Float images are not in it either; a set that is read has its frames, divided by 255, in their place.
Shapes: N images, H height, W width.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, ValidationError

import capgan_edge
from capgan_benchmarks.records import timestamp
from capgan_benchmarks.robustness.npz import BROKEN, member
from capgan_benchmarks.robustness.record import DataIdentity, Rounding
from capgan_benchmarks.threats.catalogue import THREATS
from capgan_benchmarks.threats.crafting import images_as_floats
from capgan_benchmarks.threats.rounding import RoundingLoss, levels_within
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import DataError
from capgan_edge.files import sha256_of_bytes, write_atomic
from capgan_edge.runtime.fields import Count, Date, Name, Record, Sha256
from capgan_edge.runtime.sidecar import first_problem

if TYPE_CHECKING:
    from capgan_benchmarks.threats.crafted import CraftedSet

SET_SCHEMA = 1
MAX_BYTES = 8 << 30
"""Of all arrays, as the file promises them before any is read."""
_MOST_OF_ONE = 1 << 40
"""Queries or gradients of one image: more is no count, and the sum of all could not be told."""
_ARRAYS: Mapping[str, type[np.generic]] = {
    "frames_NHWC": np.uint8, "labels_N": np.int64, "queries_N": np.int64, "gradients_N": np.int64, "l2_N": np.float64,
    "original_sha256_N": np.str_,
}  # fmt: skip
_MANIFEST = "manifest"
_TOOLS = ("numpy", "torch", "onnxruntime")


@dataclass(frozen=True, kw_only=True, slots=True)
class SetFacts:
    """What a crafted set does not know of itself."""

    subject: str
    """A bundle's, run's or packaged pair's name."""
    systems: Mapping[str, str]
    """The subject's systems, each with the SHA-256 of its file or weights."""
    data: DataIdentity
    epsilon: float | None
    """L-infinity, pixels in [0, 1]; None where the attack has no such bound."""
    seed: int
    batch: int
    """Images attacked at once."""


class SetManifest(Record):
    """What the file says about its arrays."""

    schema_version: Literal[1] = 1
    kind: Literal["attacked-set"] = "attacked-set"
    date: Date
    tools: dict[str, str]
    """Versions of what made it."""
    subject: Name
    systems: dict[str, Sha256]
    scenario: Name
    gradient_by: Name
    attack: Name
    settings: dict[str, Any]
    epsilon: Annotated[FiniteFloat, Field(ge=0, le=1)] | None
    seed: Count
    batch: Annotated[int, Field(ge=1)]
    data: DataIdentity
    n: Annotated[int, Field(ge=1)]
    """The first n of the data's images."""
    rounding: Rounding
    num_lost_queries: Count
    num_confident: Count | None = None
    """As in a record's cell."""
    num_fooled: Count | None = None
    """Images that fool what was attacked, before rounding; None in sets that were written before it was kept."""
    sum_l2_fooled: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    """Of their distances from their originals."""
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    arrays: dict[str, Sha256]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSet:
    """A set as it was read; its epsilon is the manifest's, against which its frames were checked."""

    crafted: CraftedSet
    manifest: SetManifest


def write_set(path: Path, crafted: CraftedSet, images: ImageSet, facts: SetFacts) -> SetManifest:
    """Write a crafted set, atomically, and return its manifest.

    Args:
        path: of the file; one that is there is replaced.
        crafted: frames of the first of `images`, in their order.
        images: the originals.
        facts: what else the manifest says.
    """
    n = len(crafted.labels_N)
    assert (crafted.labels_N == images.labels_N[:n]).all()
    held = {"original_sha256_N": _hashes_of(images.images_NHWC[:n])}
    arrays = {name: held[name] if name in held else np.ascontiguousarray(getattr(crafted, name), kind)
              for name, kind in _ARRAYS.items()}  # fmt: skip
    manifest = SetManifest(
        date=timestamp(), tools=_tools(), subject=facts.subject,
        systems=dict(facts.systems), scenario=crafted.scenario, gradient_by=crafted.knowledge, attack=crafted.name,
        settings=crafted.settings, epsilon=facts.epsilon, seed=facts.seed, batch=facts.batch, data=facts.data, n=n,
        rounding=Rounding(**asdict(crafted.rounding)), num_lost_queries=crafted.num_lost_queries,
        num_confident=crafted.num_confident, num_fooled=crafted.num_fooled, sum_l2_fooled=crafted.sum_l2_fooled,
        seconds=crafted.seconds,
        arrays={name: _sha256(array) for name, array in arrays.items()},
    )  # fmt: skip
    text = np.frombuffer(manifest.model_dump_json(indent=2).encode(), np.uint8)
    write_atomic(path, lambda file: np.savez(file, manifest=text, **arrays))  # type: ignore[arg-type]
    return manifest


def read_manifest(path: Path) -> SetManifest:
    """Return what a file says about itself; its arrays are not read.

    Raises:
        DataError: it cannot be read, or is no such file.
    """
    return _read(path, ())[0]


def read_set(path: Path, images: ImageSet) -> StoredSet:
    """Read a set that was crafted from the first of these images.

    Raises:
        DataError: the file is damaged or no such set, it contradicts itself, it is of other images, labels, order or
            size, or a frame lies outside its epsilon.
    """
    from capgan_benchmarks.threats.crafted import CraftedSet

    manifest, arrays = _read(path, tuple(_ARRAYS))
    _require_sense(path, manifest, arrays)
    _require_same_images(path, manifest, arrays, images)
    _require_within_epsilon(path, manifest, arrays["frames_NHWC"], images.images_NHWC[: manifest.n])
    frames_NHWC = arrays["frames_NHWC"]
    crafted = CraftedSet(
        name=manifest.attack, knowledge=manifest.gradient_by, scenario=manifest.scenario, settings=manifest.settings,
        x_NCHW=images_as_floats(frames_NHWC), frames_NHWC=frames_NHWC, labels_N=arrays["labels_N"],
        queries_N=arrays["queries_N"], gradients_N=arrays["gradients_N"], l2_N=arrays["l2_N"],
        rounding=RoundingLoss(**manifest.rounding.model_dump()), num_lost_queries=manifest.num_lost_queries,
        num_confident=manifest.num_confident, num_fooled=manifest.num_fooled, sum_l2_fooled=manifest.sum_l2_fooled,
        seconds=manifest.seconds,
    )  # fmt: skip
    return StoredSet(crafted=crafted, manifest=manifest)


def _read(path: Path, names: tuple[str, ...]) -> tuple[SetManifest, dict[str, NDArray[Any]]]:
    """Return the manifest, and the arrays wanted, each as the manifest's hash and the schema want it."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"its arrays are larger than {MAX_BYTES >> 30} GiB")
        with np.load(path, allow_pickle=False) as held:
            manifest = SetManifest.model_validate_json(member(held, _MANIFEST).tobytes())
            json.dumps(manifest.settings, allow_nan=False)  # records are JSON too
            arrays = {name: member(held, name) for name in names}
        for name, array in arrays.items():
            if not np.issubdtype(array.dtype, _ARRAYS[name]) or len(array.shape) != (4 if "NHWC" in name else 1):
                raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")
            if len(array) != manifest.n or manifest.arrays.get(name) != _sha256(array):
                raise ValueError(f"{name} is not what its manifest describes: it was changed or damaged")
    except BROKEN as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else " ".join(str(error).split())[:200]
        raise DataError(
            f"{path}: expected an attacked set (.npz) of capgan-edge attack, schema {SET_SCHEMA}, but: "
            f"{problem or type(error).__name__}; export it again"
        ) from error
    return manifest, arrays


def _require_sense(path: Path, manifest: SetManifest, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse what no attack of ours writes, and what would be scored as something else than it was checked as."""
    threats = [threat.name for threat in THREATS]
    if manifest.scenario not in threats:
        raise DataError(
            f"{path}: expected a threat model among {', '.join(threats)}, got {manifest.scenario!r}; export the set "
            "with this version"
        )
    told = manifest.settings.get("epsilon", manifest.epsilon)
    if told != manifest.epsilon:
        raise DataError(
            f"{path}: expected settings of epsilon {manifest.epsilon}, as the manifest has it, got {told!r}; the set "
            "was edited: export it again"
        )
    for name in ("queries_N", "gradients_N", "l2_N"):
        array_N = arrays[name]
        most = _MOST_OF_ONE if name != "l2_N" else np.inf
        if not (np.isfinite(array_N) & (array_N >= 0) & (array_N < most)).all():
            raise DataError(f"{path}: expected counts and distances of 0 or more, got others in {name}; the set was "
                            "edited: export it again")  # fmt: skip


def _require_same_images(
    path: Path, manifest: SetManifest, arrays: Mapping[str, NDArray[Any]], images: ImageSet
) -> None:
    n, where = manifest.n, f"{manifest.data.name}, n = {manifest.data.n}, seed {manifest.data.seed}"
    if n > len(images):
        raise DataError(
            f"{path}: expected a set of at most the {len(images)} images at hand, got one of {n} ({where}); "
            f"take as many with --n {n}"
        )
    size, own_size = arrays["frames_NHWC"].shape[1:], images.images_NHWC.shape[1:]
    if size != own_size:
        raise DataError(
            f"{path}: expected frames of {list(own_size)}, the size of {images.name}, got {list(size)} ({where}); "
            "export a set of this size"
        )
    for noun, are_same_N in (
        ("image", _hashes_of(images.images_NHWC[:n]) == arrays["original_sha256_N"]),
        ("label", images.labels_N[:n] == arrays["labels_N"]),
    ):
        if not are_same_N.all():
            raise DataError(
                f"{path}: expected a set of the images of {images.name} in their order, but {int((~are_same_N).sum())} "
                f"of {n} have another {noun}, the first at index {int(are_same_N.argmin())}; it was crafted from "
                f"{where}: take the same with --data and --seed, or export a set of these"
            )


def _require_within_epsilon(
    path: Path, manifest: SetManifest, frames_NHWC: NDArray[np.uint8], originals_NHWC: NDArray[np.uint8]
) -> None:
    if manifest.epsilon is None:
        return
    farthest = int(np.abs(frames_NHWC.astype(np.int16) - originals_NHWC).max())
    if farthest > levels_within(manifest.epsilon):
        raise DataError(
            f"{path}: expected frames within epsilon {manifest.epsilon:g}, {levels_within(manifest.epsilon)} levels of "
            f"255, of their originals, got one {farthest} levels away; export the set again"
        )


def _hashes_of(images_NHWC: NDArray[np.uint8]) -> NDArray[np.str_]:
    return np.array([sha256_of_bytes(image_HWC.tobytes()) for image_HWC in images_NHWC], "U64")


def _sha256(array: NDArray[Any]) -> str:
    return sha256_of_bytes(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes())


def _tools() -> dict[str, str]:
    found = {"capgan-edge": capgan_edge.__version__}
    for name in _TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
