"""Attacks on torch models, one a file; an attack is one `run`, the base owns everything that all attacks share."""

from capgan_edge.attacks.apgd_ce import APGDCE
from capgan_edge.attacks.apgd_t import APGDT
from capgan_edge.attacks.autoattack import AutoAttack
from capgan_edge.attacks.base import Attack, Attacked, LinfAttack
from capgan_edge.attacks.bpda import IdentityBackward
from capgan_edge.attacks.cw_l2 import CWL2
from capgan_edge.attacks.eot import EOT
from capgan_edge.attacks.fab_t import FABT
from capgan_edge.attacks.fgsm import FGSM
from capgan_edge.attacks.mi_fgsm import MIFGSM
from capgan_edge.attacks.pgd import PGD
from capgan_edge.attacks.spsa import SPSA
from capgan_edge.attacks.square import Square
from capgan_edge.attacks.stealthy_pgd import StealthyPGD, Watched

__all__ = [
    "APGDCE",
    "APGDT",
    "CWL2",
    "EOT",
    "FABT",
    "FGSM",
    "MIFGSM",
    "PGD",
    "SPSA",
    "Attack",
    "Attacked",
    "AutoAttack",
    "IdentityBackward",
    "LinfAttack",
    "Square",
    "StealthyPGD",
    "Watched",
]
