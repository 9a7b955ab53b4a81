"""Where and in which precision a run computes: Lightning Fabric, set up once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from capgan_edge.allocator import keep_freed_memory

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
    """Start Fabric; on a CPU `devices` is the number of processes (gloo), which share each batch.

    Without BatchNorm n processes make the weights of one, to rounding. With it (the presets small and nano, and the
    victim) each takes the statistics of its own share of the batch, so that the weights differ slightly. From here on
    the process keeps memory that it freed (`capgan_edge.allocator`).
    """
    keep_freed_memory()
    use_bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16())
    fabric: Fabric = Fabric(
        accelerator="cpu" if accelerator == "auto" and not torch.cuda.is_available() else accelerator,
        devices=devices,
        precision="bf16-mixed" if use_bf16 else "32-true",
        strategy="ddp" if devices > 1 else "auto",
    )
    fabric.launch()
    return fabric


def precision_of(fabric: Fabric) -> Literal["bf16", "fp32"]:
    """Return the precision in which a Fabric computes."""
    return "bf16" if str(fabric.strategy.precision.precision).startswith("bf16") else "fp32"


def place(fabric: Fabric, module: ModuleT) -> ModuleT:
    """Move a module to the device in channels_last, the layout in which convolutions are fastest here."""
    move: Any = module.to  # torch's own stub lacks this form
    move(memory_format=torch.channels_last)
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


def average_statistics(fabric: Fabric, *modules: nn.Module) -> None:
    """Average the running statistics of BatchNorm over the processes, in one message.

    Each process counts its own share of the batches; what is evaluated and saved must be of all of them. The mean of
    the variances leaves out how far the shares' means lie apart, which is small for shares of shuffled batches.
    """
    if fabric.world_size == 1:
        return
    norms = [m for module in modules for m in module.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    found = itertools.chain.from_iterable((norm.running_mean, norm.running_var) for norm in norms)
    statistics = [buffer for buffer in found if buffer is not None]
    if not statistics:
        return
    flat = cast(Tensor, fabric.all_reduce(torch.cat([one.flatten() for one in statistics]), reduce_op="mean"))
    for one, averaged in zip(statistics, torch.split(flat, [one.numel() for one in statistics]), strict=True):
        one.copy_(averaged.view_as(one))
