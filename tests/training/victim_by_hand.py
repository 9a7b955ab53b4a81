"""One step of adversarial training by hand, whatever the attack."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_edge.data.images import ImageSet
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.training.batches import Batches, split_validation
from capgan_edge.training.victim import VictimConfig

Attack = Callable[[SimpleResNet, Tensor, Tensor], Tensor]


def check_step(config: VictimConfig, signs: ImageSet, trained: SimpleResNet, attack: Attack) -> None:
    """Assert that a run of one step of 48 images, flipped and cropped, ended in an ordinary step on attacked ones."""
    torch.manual_seed(config.seed)
    fitted, _ = split_validation(signs, config.num_held_out, seed=config.seed)
    victim = SimpleResNet(20, units_per_stage=1)
    victim.mean_C.copy_(trained.mean_C)
    victim.std_C.copy_(trained.std_C)
    ((x_BCHW, y_B),) = Batches(fitted, 48, seed=config.seed).epoch(0)
    victim.eval()
    a_BCHW = attack(victim, x_BCHW, y_B)
    victim.train()
    optimizer = torch.optim.SGD(victim.parameters(), config.learning_rate, momentum=0.9, nesterov=True,
                                weight_decay=config.weight_decay)  # fmt: skip
    F.cross_entropy(victim(a_BCHW), y_B).backward()
    optimizer.step()
    for name, tensor in victim.state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], tensor, rtol=1e-2, atol=1e-3, msg=name)
