"""What the paper prints (arXiv 2102.07304, Tables I to VI; CIFAR-10, 8/255): percent of images classified rightly.

By table, system and column; a column is a threat model and an attack of the menu. Where the paper does not say how many
queries Square had, its figure stands at 5000; nor how many iterations SPSA had, at one. A figure that is not here is
not printed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Column = tuple[str, str]
"""A threat model and an attack, as the robustness benchmark calls them."""
CLEAN: Column = ("clean", "clean")
PAPERS_DATA = "cifar10"
"""How the names of the paper's data begin. A figure of other data than the paper's has nothing to be held against."""
TRANSFER = tuple(("transfer", attack) for attack in ("fgsm", "mi-fgsm", "pgd-7", "pgd-40", "cw"))
VICTIM = tuple(("white-box-victim", attack) for attack in ("fgsm", "mi-fgsm", "pgd-7", "pgd-40", "cw"))
END_TO_END = tuple(("end-to-end", attack) for attack in ("fgsm", "mi-fgsm", "pgd-7", "pgd-40"))
QUERIES: tuple[Column, ...] = (("query", "spsa-1"), ("query", "square"), ("query", "square-r5"), ("bpda", "pgd-40"))
ABLATION: tuple[Column, ...] = (
    ("transfer", "mi-fgsm"), ("transfer", "pgd-7"), ("transfer", "pgd-40"), ("bpda", "pgd-40"))  # fmt: skip
PAPERS_RULE = "the one whose clean accuracy on held-out training images is nearest the paper's"
"""By which JPEG's quality is chosen on the paper's data: it prints none."""
COLUMNS: Mapping[str, tuple[Column, ...]] = MappingProxyType({
    "I": (CLEAN, *TRANSFER), "II": QUERIES, "III": (CLEAN, *VICTIM), "IV": (CLEAN, *END_TO_END),
    "V": (CLEAN, *ABLATION), "VI": (CLEAN, *ABLATION),
})  # fmt: skip

_ROWS: Mapping[str, Mapping[str, tuple[float | None, ...]]] = {
    "I": {
        "jpeg": (74.76, 59.53, 54.86, 67.1, 66.03, 71.06),
        "thermometer": (89.96, 83.25, 45.81, 71.17, 30.63, None),
        "ape-gan": (84.15, 67.52, 61.54, 73.21, 72.32, 80.3),
        "hgd": (87.68, 82.35, 80.37, 84.55, 84.39, 85.36),
        "adversarial-training": (78.1, 77.1, 76.9, 77.49, 77.46, 78.36),
        "cap-gan": (85.62, 82.73, 81.96, 84.22, 84.43, 84.78),
    },
    "II": {
        "jpeg": (74.9, 16.03, 7.35, 0.59),
        "ape-gan": (51.33, 33.57, 24.03, 0.09),
        "hgd": (31.26, 23.88, 14.26, 71.78),
        "cap-gan": (79.28, 53.07, 43.6, 78.27),
    },
    "III": {
        "bare": (92.8, 28.81, 0.94, 0.56, 0.01, 0.28),
        "jpeg": (74.76, 47.37, 34.33, 53.07, 50.7, 68.23),
        "thermometer": (89.96, 66.25, 20.01, 53.82, 10.74, None),
        "ape-gan": (84.15, 49.53, 30.76, 54.94, 55.32, 72.07),
        "hgd": (87.68, 81.55, 78.95, 84.65, 84.77, 86.07),
        "cap-gan": (85.62, 82.48, 81.45, 84.07, 83.93, 84.9),
    },
    "IV": {
        "ape-gan": (84.15, 18.96, 1.13, 0.58, 0.02),
        "hgd": (87.68, 26.6, 0.63, 0.67, 0.01),
        "adversarial-training": (78.1, 58.46, 49.54, 48.09, 45.22),
        "cap-gan": (85.62, 53.11, 19.24, 25.17, 6.58),
    },
    "V": {
        "temperature-1": (81.53, 78.47, 80.25, 80.24, 71.35),
        "temperature-5": (84.81, 80.97, 83.39, 83.29, 79.19),
        "cap-gan": (85.62, 81.96, 84.22, 84.43, 78.27),
        "alpha-0.5": (83.96, 80.94, 82.67, 82.67, 82.71),
        "alpha-0.9": (85.3, 81.43, 83.76, 83.76, 63.19),
    },
    "VI": {
        "pixel": (90.5, 57.03, 77.7, 77.67, 0.34),
        "pixel-cam": (88.0, 50.9, 75.13, 75.05, 0.2),
        "pixel-semantic": (83.53, 78.79, 81.64, 81.75, 38.71),
        "cap-gan-without-cycle": (82.39, 78.58, 80.52, 80.67, 58.18),
        "cap-gan": (85.62, 81.96, 84.22, 84.43, 78.27),
    },
}
SYSTEMS: Mapping[str, tuple[str, ...]] = MappingProxyType({table: tuple(rows) for table, rows in _ROWS.items()})
"""The rows of each table, in the paper's order."""


def printed_percent(table: str, system: str, column: Column) -> float | None:
    """Return the paper's figure; None where it prints none."""
    return dict(zip(COLUMNS[table], _ROWS[table][system], strict=True))[column]
