"""Attacks on torch models, one a file; an attack is one `run`, the base owns everything that all attacks share."""

from capgan_edge.attacks.base import Attacked, LinfAttack
from capgan_edge.attacks.fgsm import FGSM
from capgan_edge.attacks.pgd import PGD

__all__ = ["FGSM", "PGD", "Attacked", "LinfAttack"]
