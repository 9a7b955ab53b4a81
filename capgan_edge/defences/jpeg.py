"""JPEG: compress, decompress, and hope that the perturbation is gone; Pillow's codec behind an image -> image module.

Dziugaite et al., A study of the effect of JPG compression on adversarial images (arXiv 1608.00853). The codec gives no
gradient: an attacker uses a surrogate's, the victim's own, the outputs alone, or takes the codec for the identity
(`capgan_edge.attacks.IdentityBackward`, BPDA). It is a codec and no graph: nothing of it is exported.
Shapes: B batch, C channel, H height, W width.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]
_PILLOWS: dict[str, int] = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
_BATCH = 256
QUALITIES = tuple(range(5, 100, 5))
"""Those of a sweep: Pillow's scale ends at 95, above which files grow and nothing else changes."""


class Jpeg(nn.Module):
    """Compress and decompress float32 RGB in [0, 1], [B, 3, H, W], as 8-bit images; the result has no gradient."""

    def __init__(self, quality: int = 75, subsampling: Subsampling = "4:2:0") -> None:
        super().__init__()
        if not 1 <= quality <= 100 or subsampling not in _PILLOWS:
            raise ConfigError(
                f"expected a quality in [1, 100] and a subsampling among {', '.join(_PILLOWS)}, got {quality} and "
                f"{subsampling!r}"
            )
        self.quality, self.subsampling = quality, subsampling

    @torch.no_grad()
    def forward(self, x_BCHW: Tensor) -> Tensor:
        levels_BHWC = (x_BCHW * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        coded_BHWC = np.stack([self._coded(image_HWC) for image_HWC in levels_BHWC])
        return torch.from_numpy(coded_BHWC).to(x_BCHW.device).permute(0, 3, 1, 2).float() / 255

    def _coded(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(image_HWC).save(buffer, "JPEG", quality=self.quality, subsampling=_PILLOWS[self.subsampling])
        return np.asarray(Image.open(buffer))

    @property
    def config(self) -> NoReturn:
        """Export asks a purifier for its settings first."""
        raise not_exportable()


def not_exportable() -> ConfigError:
    """Return the error for whoever wants JPEG in a graph."""
    return ConfigError(
        "expected a purifier that is a network, got JPEG, which is a codec and has no graph to export; compress the "
        "frames before they reach the bundle, or export another defence"
    )


class Tried(NamedTuple):
    """One quality of a sweep."""

    quality: int
    clean_percent: float
    """Accuracy of the victim on clean images behind the codec."""


class Choice(NamedTuple):
    """The quality that was chosen, and all that were tried."""

    chosen: Tried
    sweep: tuple[Tried, ...]


@torch.no_grad()
def choose_quality(
    victim: nn.Module, images: ImageSet, target_percent: float, *, qualities: Sequence[int] = QUALITIES,
    subsampling: Subsampling = "4:2:0",
) -> Choice:  # fmt: skip
    """Return the quality whose clean accuracy is nearest the target, the stronger compression where two are.

    Args:
        victim: a frozen classifier in eval mode, float32 RGB in [0, 1] to logits.
        images: clean ones that nothing is reported on, such as held-out training images.
        target_percent: the accuracy to meet; the paper's is 74.76.
        qualities: those to try.
        subsampling: of the colours.
    """
    if not 0 <= target_percent <= 100 or not qualities or not len(images):
        raise ConfigError(
            f"expected a target in [0, 100] percent, a quality and an image, got {target_percent}, {len(qualities)} "
            f"qualities and {len(images)} images"
        )
    sweep = tuple(Tried(quality, _clean_percent(Jpeg(quality, subsampling), victim, images)) for quality in qualities)
    return Choice(min(sweep, key=lambda tried: (abs(tried.clean_percent - target_percent), tried.quality)), sweep)


def _clean_percent(jpeg: Jpeg, victim: nn.Module, images: ImageSet) -> float:
    device, num_right = next(victim.parameters(), torch.zeros(())).device, 0
    for start in range(0, len(images), _BATCH):
        x_BCHW = torch.from_numpy(images.images_NHWC[start : start + _BATCH]).permute(0, 3, 1, 2).float() / 255
        labels_B = torch.from_numpy(images.labels_N[start : start + _BATCH]).to(device)
        num_right += int((victim(jpeg(x_BCHW).to(device)).argmax(1) == labels_B).sum())
    return 100 * num_right / len(images)
