"""Procedural road signs: the embedded data set, drawn by code at any size; no download and no font file."""

from capgan_edge.data.signs.catalogue import SIGN_CLASSES
from capgan_edge.data.signs.dataset import load_signs
from capgan_edge.data.signs.face import draw_face
from capgan_edge.data.signs.scene import DAILY, STUDIO, Variation, draw_sign
from capgan_edge.data.signs.sheet import contact_sheet

__all__ = ["DAILY", "SIGN_CLASSES", "STUDIO", "Variation", "contact_sheet", "draw_face", "draw_sign", "load_signs"]
