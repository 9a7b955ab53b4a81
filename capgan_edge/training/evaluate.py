"""Accuracy of a torch model on an image set. Shapes: N images, B batch, K classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.data.images import ImageSet

Model = Callable[[Tensor], Tensor]


def batches_in_order(images: ImageSet, batch_size: int = 256) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield float32 RGB in [0, 1], [B, 3, H, W], channels last, and labels [B], in order and without augmentation."""
    for start in range(0, len(images), batch_size):
        x_BHWC = torch.from_numpy(images.images_NHWC[start : start + batch_size])
        yield (
            x_BHWC.permute(0, 3, 1, 2).float().div_(255),
            torch.from_numpy(images.labels_N[start : start + batch_size]),
        )


@torch.no_grad()
def accuracy_percent(model: nn.Module, images: ImageSet, fabric: Fabric) -> float:
    """Return the share of images that the model labels rightly, in percent; evaluated in eval mode."""
    was_training = model.training
    model.eval()
    correct = 0
    for x_BCHW, y_B in batches_in_order(images):
        x_BCHW, y_B = fabric.to_device((x_BCHW, y_B))
        with fabric.autocast():
            logits_BK = model(x_BCHW)
        correct += int((logits_BK.argmax(1) == y_B).sum())
    model.train(was_training)
    return 100 * correct / len(images)
