"""The warm-up of CAP-GAN: T_AC alone learns to give f what f needs, without cycle and GAN. Not in the paper.

Shapes: B batch, C channel, H height, W width, J pooled views of the attention, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.models.purifier import Purifier
from capgan_edge.training.config import CapGanConfig
from capgan_edge.training.losses import domain_loss, semantic_loss, total_loss
from capgan_edge.training.pairs import Pair
from capgan_edge.training.update import update


def semantic_step(
    t_ac: Purifier, optimizer: torch.optim.Optimizer, pair: Pair, config: CapGanConfig, victim: nn.Module,
    fabric: Fabric,
) -> dict[str, Tensor]:  # fmt: skip
    """Train T_AC by L1, semantic and CAM losses on A2C and C2C: of the last two, those that are on."""
    x, a, z_x = pair
    with fabric.autocast():
        out = t_ac.translate(torch.cat([a, x]))
        fake_logits_2BK = victim(out.image_BCHW) if config.has_semantic else None
    losses = {"l1": F.l1_loss(out.image_BCHW, torch.cat([x, x])) * 2}
    if fake_logits_2BK is not None:
        losses["semantic"] = semantic_loss(z_x, torch.stack(fake_logits_2BK.chunk(2)), config.weights)
    if config.has_cam:
        losses["cam"] = domain_loss(*out.domain_logits_BJ.chunk(2))
    update(fabric, optimizer, total_loss(losses, config.weights), t_ac, max_norm=config.max_gradient_norm)
    return losses
