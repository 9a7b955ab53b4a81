"""Where and in which precision a run computes: Lightning Fabric, set up once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Precision = Literal["auto", "bf16", "fp32"]


def has_fast_bf16() -> bool:
    """Whether this machine computes bf16 convolutions natively (AVX512-BF16, AMX, or a GPU that has them)."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.backends.cpu.get_cpu_capability().startswith("AVX512")) and _cpu_flag("avx512_bf16", "amx_bf16")


def _cpu_flag(*names: str) -> bool:
    try:
        with Path("/proc/cpuinfo").open() as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return False
    return any(name in flags.split() for name in names)


def start_fabric(precision: Precision = "auto", *, devices: int = 1, accelerator: str = "auto") -> Fabric:
    """Start Fabric; on a CPU `devices` is the number of processes (gloo)."""
    use_bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16())
    fabric: Fabric = Fabric(
        accelerator="cpu" if accelerator == "auto" and not torch.cuda.is_available() else accelerator,
        devices=devices,
        precision="bf16-mixed" if use_bf16 else "32-true",
        strategy="ddp" if devices > 1 else "auto",
    )
    fabric.launch()
    return fabric


def place(fabric: Fabric, module: ModuleT) -> ModuleT:
    """Move a module to the device in channels_last, the layout in which convolutions are fastest here."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's own stub
    fabric.to_device(module)
    return module


def average_gradients(fabric: Fabric, *modules: nn.Module) -> None:
    """Average gradients over the processes, in one message.

    Instead of wrapping in DistributedDataParallel: a GAN step runs one network several times before one backward,
    and the weights of n processes must be those of one.
    """
    if fabric.world_size == 1:
        return
    grads = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    flat = cast(Tensor, fabric.all_reduce(flat, reduce_op="mean"))
    offset = 0
    for grad in grads:
        grad.copy_(flat[offset : offset + grad.numel()].view_as(grad))
        offset += grad.numel()
