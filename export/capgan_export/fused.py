"""The inference-only module that is exported: frames in, purified, classified. Nothing of training is in it.

Shapes: N frames, C channel, H height, W width, J pooled views of the attention, K classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from capgan_edge.defences.jpeg import Jpeg, not_exportable
from capgan_edge.models.blocks import ConvNormAct, ResidualBlock
from capgan_edge.models.purifier import Purifier
from capgan_edge.models.victim import SimpleResNet, folded


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphOutputs:
    """What the graph gives beside `logits` and `suspicion`; each costs time on the edge."""

    has_purified: bool = False
    """`purified`: the purified frames as uint8, for people to look at."""
    has_raw_logits: bool = False
    """`raw_logits`: the victim without purification, for comparison; doubles what the victim costs."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which the graph gives them."""
        optional = (("purified", self.has_purified), ("raw_logits", self.has_raw_logits))
        return ("logits", "suspicion", *(name for name, is_wanted in optional if is_wanted))


class FusedGraph(nn.Module):
    """Purify frames, then classify them: uint8 RGB [N, H, W, 3] to the outputs of the graph contract, in its order.

    The victim sees the purified image in float32, as in training: not the one that is rounded to uint8 for people.
    """

    def __init__(self, purifier: Purifier, victim: nn.Module, outputs: GraphOutputs) -> None:
        super().__init__()
        self.purifier = purifier
        self.victim = victim
        self.outputs = outputs

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        x_NCHW = scaled(frames)
        translated = self.purifier.translate(x_NCHW)
        given = [self.victim(translated.image_BCHW), suspicion(translated.domain_logits_BJ)]
        if self.outputs.has_purified:
            given.append(rounded(translated.image_BCHW))
        if self.outputs.has_raw_logits:
            given.append(self.victim(x_NCHW))
        return tuple(given)


class PurifierGraph(nn.Module):
    """The same without a victim, which is merged in as an ONNX graph: gives `image`, `suspicion`, and what is wanted.

    `purified` and `scaled` (the frames as the victim takes them) follow where the outputs ask for them.
    """

    def __init__(self, purifier: Purifier, outputs: GraphOutputs) -> None:
        super().__init__()
        self.purifier = purifier
        self.outputs = outputs

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        wanted = {"purified": "purified", "raw_logits": "scaled"}
        return ("image", "suspicion", *(wanted[name] for name in self.outputs.names if name in wanted))

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        x_NCHW = scaled(frames)
        translated = self.purifier.translate(x_NCHW)
        given = [translated.image_BCHW, suspicion(translated.domain_logits_BJ)]
        if self.outputs.has_purified:
            given.append(rounded(translated.image_BCHW))
        if self.outputs.has_raw_logits:
            given.append(x_NCHW)
        return tuple(given)


def scaled(frames_NHWC: Tensor) -> Tensor:
    """Return uint8 frames as float32 NCHW in [0, 1]; the Cast comes first, since TensorRT takes uint8 nowhere else."""
    return frames_NHWC.to(torch.float32).permute(0, 3, 1, 2) / 255


def suspicion(domain_logits_NJ: Tensor) -> Tensor:
    """Return how adversarial the purifier finds each frame, in [0, 1], [N]."""
    return torch.sigmoid(domain_logits_NJ.mean(dim=1))


def rounded(image_NCHW: Tensor) -> Tensor:
    """Return float32 NCHW in [0, 1] as uint8 NHWC, each value to the nearest level; the Cast comes last."""
    return (image_NCHW * 255).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def inference_copy(purifier: Purifier) -> Purifier:
    """Return a frozen copy in eval mode with every batch norm folded into the convolution before it.

    Raises:
        ConfigError: the purifier is a codec.
    """
    given: nn.Module = purifier
    if isinstance(given, Jpeg):
        raise not_exportable()
    twin = copy.deepcopy(purifier).eval().requires_grad_(False)
    for module in twin.modules():
        if isinstance(module, ConvNormAct):
            module.conv[-1], module.norm = _folded(module.conv, module.norm)
        elif isinstance(module, ResidualBlock):
            module.conv1[-1], module.norm1 = _folded(module.conv1, module.norm1)
            module.conv2[-1], module.norm2 = _folded(module.conv2, module.norm2)
    return twin


def inference_victim(victim: nn.Module) -> nn.Module:
    """Return the victim as it is exported: our own with its inner batch norms folded, any other frozen as it is."""
    return folded(victim) if isinstance(victim, SimpleResNet) else victim.eval()


def _folded(convs: nn.Sequential, norm: nn.Module) -> tuple[nn.Module, nn.Module]:
    conv = convs[-1]
    if not isinstance(norm, nn.BatchNorm2d):
        return conv, norm
    assert isinstance(conv, nn.Conv2d)
    return fuse_conv_bn_eval(conv, norm), nn.Identity()
