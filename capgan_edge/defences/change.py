"""How much a purifier without a domain classifier changed its input: what stands in for suspicion and attention.

Nothing here is trained. APE-GAN and HGD have no classifier that tells attacked images from clean ones, and the graph
contract asks for one; a purifier that works changes attacked images more than clean ones. FGSM of 8/255 moves a pixel
by 8 levels of 255, so that the logit of an image that was moved by half of that is 0.
Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from capgan_edge.models.purifier import Translated

EVEN_LEVELS = 4.0
"""Mean change, in levels of 8 bits, at which an image is as suspicious as not."""


def translated(x_BCHW: Tensor, image_BCHW: Tensor) -> Translated:
    """Return what a purifier made, its domain logit 255 mean|T(x) - x| - 4, and where it changed how much."""
    change_BCHW = (image_BCHW - x_BCHW).abs()
    logits_B1 = 255 * change_BCHW.mean(dim=(1, 2, 3))[:, None] - EVEN_LEVELS
    return Translated(image_BCHW, logits_B1, F.avg_pool2d(change_BCHW.mean(dim=1, keepdim=True), 4)[:, 0])
