"""Labelled images: folders, zips of folders, CIFAR-10's python archive, and road signs drawn by code."""

from capgan_edge.data.images import ImageSet
from capgan_edge.data.sources import find_source, load

__all__ = ["ImageSet", "find_source", "load"]
