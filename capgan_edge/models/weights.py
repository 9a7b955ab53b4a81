"""The hash that names a network: of its weights alone, whichever file they came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_edge.files import sha256_of_bytes

if TYPE_CHECKING:
    from torch import nn


def weights_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of a module's parameters and buffers as safetensors holds them."""
    from safetensors.torch import save

    # Cloned: safetensors takes no two tensors that share their memory, as tied weights do.
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
    return sha256_of_bytes(save(weights))
