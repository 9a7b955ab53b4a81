"""The paper's own figures for CAP-GAN and its bare classifier (arXiv 2102.07304, Tables I to IV; CIFAR-10, 8/255).

Percent of images classified rightly, as printed there. PGD is printed for 7 and 40 steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLEAN = "clean"
CAP_GAN: Mapping[tuple[str, str], float] = MappingProxyType({
    (CLEAN, CLEAN): 85.62,
    ("transfer", "FGSM"): 82.73, ("transfer", "MIFGSM-20"): 81.96, ("transfer", "PGD-7"): 84.22,
    ("transfer", "PGD-40"): 84.43, ("transfer", "CWL2-1000"): 84.78,
    ("query", "SPSA-1"): 79.28, ("query", "Square-5000"): 53.07, ("query", "5 starts of Square-5000"): 43.6,
    ("bpda", "PGD-40"): 78.27,
    ("white-box-victim", "FGSM"): 82.48, ("white-box-victim", "MIFGSM-20"): 81.45, ("white-box-victim", "PGD-7"): 84.07,
    ("white-box-victim", "PGD-40"): 83.93, ("white-box-victim", "CWL2-1000"): 84.9,
    ("end-to-end", "FGSM"): 53.11, ("end-to-end", "MIFGSM-20"): 19.24, ("end-to-end", "PGD-7"): 25.17,
    ("end-to-end", "PGD-40"): 6.58,
})  # fmt: skip
"""Of (threat model, attack). How many queries Square had is not printed; its r=1, r=5 stand here at 5000, and its SPSA
at one iteration."""
BARE: Mapping[tuple[str, str], float] = MappingProxyType({
    (CLEAN, CLEAN): 92.8, ("white-box-victim", "FGSM"): 28.81, ("white-box-victim", "MIFGSM-20"): 0.94,
    ("white-box-victim", "PGD-7"): 0.56, ("white-box-victim", "PGD-40"): 0.01, ("white-box-victim", "CWL2-1000"): 0.28,
})  # fmt: skip
"""Of the classifier alone."""
EPSILON = 8 / 255
