"""A folder of images by class: `train/<class>/*` and `test/<class>/*`, in a directory or a zip.

A class's index is the place of its name among the sorted names; where all names are whole numbers (GTSRB's `0` to
`42`) they are sorted as numbers. Images come sorted by class, then by file name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from capgan_edge.data.decoded import Decoded, LoadReport, Split, logger
from capgan_edge.data.decoding import stack_images
from capgan_edge.data.tree import SPLITS, Member, Tree
from capgan_edge.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm"})
_CLUTTER = frozenset({"thumbs.db", "desktop.ini"})


def sorted_class_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the order of their labels: as numbers where all are whole numbers, else as text."""
    names = set(names)
    if names and all(name.isascii() and name.isdigit() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def decode_folder(tree: Tree, split: Split) -> Decoded:
    """Decode one split; the class names of both are compared.

    Raises:
        DataError: the split is missing or empty, a class is empty, the splits' classes differ, or sizes are mixed.
    """
    class_names = _class_names(tree, split)
    labels = {name: label for label, name in enumerate(class_names)}
    members = sorted(_images(tree, split), key=lambda member: (labels[_class_of(member)], member.name))
    labels_N = np.asarray([labels[_class_of(member)] for member in members], dtype=np.int64)
    _check_no_empty_class(tree, split, class_names, labels_N, "holds no image")

    stack = stack_images(tree, members)
    report = LoadReport(num_found=len(members), skipped=stack.skipped)
    labels_N = labels_N[stack.kept]
    if not len(labels_N):
        report.check(f"{tree.path}/{split}", 0.0)
    _check_no_empty_class(tree, split, class_names, labels_N, "holds no image that can be read")
    return Decoded(images_NHWC=stack.images_NHWC, labels_N=labels_N, class_names=class_names, report=report)


def _class_of(member: Member) -> str:
    return member.name.split("/")[1]


def _classes(tree: Tree, split: str) -> set[str]:
    return {name.split("/")[1] for name in tree.folders if name.count("/") == 1 and name.startswith(f"{split}/")}


def _class_names(tree: Tree, split: Split) -> tuple[str, ...]:
    """Return the sorted class names of `split`, which are those of the other split too, where there is one."""
    if split not in tree.folders:
        there = ", ".join(f"{name}/" for name in SPLITS if name in tree.folders)
        raise DataError(
            f"{tree.path}: expected a folder {split}/, got {there or 'neither split'} only; "
            f"add {split}/<class>/<image>, or ask for the split that is there"
        )
    classes = {name: _classes(tree, name) for name in SPLITS if name in tree.folders}
    if not classes[split]:
        raise DataError(
            f"{tree.path}: expected a folder for each class in {split}/, got none; "
            f"lay the images out as {split}/<class>/<image>"
        )
    train, test = classes.get("train", classes[split]), classes.get("test", classes[split])
    if train != test:
        gaps = [
            f"{name}/ lacks {_listed(gap)}" for name, gap in (("train", test - train), ("test", train - test)) if gap
        ]
        raise DataError(
            f"{tree.path}: expected the same classes in train/ and test/, got a mismatch: {' and '.join(gaps)}; "
            "add the missing folders, or remove or rename those without a partner"
        )
    return sorted_class_names(classes[split])


def _images(tree: Tree, split: Split) -> list[Member]:
    """Return the image files of `split`; what else lies there is counted in the log and left alone."""
    images: list[Member] = []
    others: Counter[str] = Counter()
    for member in tree.members:
        parts = PurePosixPath(member.name).parts
        if parts[0] != split or parts[-1].lower() in _CLUTTER:
            continue
        if len(parts) != 3:
            others["at the wrong depth"] += 1
        elif (suffix := PurePosixPath(parts[-1]).suffix.lower()) in SUFFIXES:
            images.append(member)
        else:
            others[suffix or "without extension"] += 1
    num_subfolders = sum(name.startswith(f"{split}/") and name.count("/") == 2 for name in tree.folders)
    if num_subfolders:
        others["folders inside a class"] = num_subfolders
    if others:
        found = ", ".join(f"{count} {what}" for what, count in sorted(others.items()))
        logger.warning(
            "%s/%s: left out what is not <class>/<image> with one of %s: %s",
            tree.path, split, " ".join(sorted(SUFFIXES)), found,
        )  # fmt: skip
    return images


def _check_no_empty_class(
    tree: Tree,
    split: Split,
    class_names: tuple[str, ...],
    labels_N: np.ndarray[tuple[int], np.dtype[np.int64]],
    what: str,
) -> None:
    counts_K = np.bincount(labels_N, minlength=len(class_names))
    empty = [name for name, count in zip(class_names, counts_K, strict=True) if not count]
    if empty:
        raise DataError(
            f"{tree.path}: expected images ({' '.join(sorted(SUFFIXES))}) in each class of {split}/, "
            f"but {_listed(empty)} {what}; add images, or remove the class from both splits"
        )


def _listed(names: Iterable[str], limit: int = 8) -> str:
    names = sorted(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
