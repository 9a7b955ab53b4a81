"""Peers in PyTorch: the same pair as two modules, other purifiers and ART's preprocessors before the same classifier.

Shapes: N frames, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_benchmarks.latency.contestant import Contestant, Stopwatch
from capgan_edge.errors import CapganError, ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from capgan_export.source import Source

UNTRAINED = "its architecture with random weights: for latency alone, it defends nothing"
_ART = "adversarial-robustness-toolbox"
_NUM_SPACE = 10
"""Levels of the thermometer: ART's default."""


def eager(source: Source) -> Contestant:
    """Return the pair as its two modules."""
    purifier, victim = source.purifier.eval(), source.victim.torch_module().eval()
    return _in_torch("torch-eager", lambda x_NCHW: victim(purifier(x_NCHW)), runtime="torch-eager")


def eager_victim(source: Source) -> Contestant:
    """Return the classifier alone: what ran before there was a defence."""
    return _in_torch("torch-eager-victim", source.victim.torch_module().eval(), runtime="torch-eager",
                     note="the classifier alone, undefended")  # fmt: skip


def compiled(source: Source) -> Contestant:
    """Return the pair through torch.compile."""
    import torch

    purifier, victim = source.purifier.eval(), source.victim.torch_module().eval()

    def pair(x_NCHW: Tensor) -> Tensor:
        logits_NK: Tensor = victim(purifier(x_NCHW))
        return logits_NK

    compiled_pair = torch.compile(pair, dynamic=False)

    def guarded(x_NCHW: Tensor) -> Tensor:
        try:
            return compiled_pair(x_NCHW)
        except Exception as error:  # what lies between Python and the C++ compiler raises what it likes
            detail = " ".join(str(error).split())[:200]
            raise CapganError(f"expected torch.compile to compile the pair, but: {detail}; "
                              "install a C++ compiler, or leave torch-compile out") from error  # fmt: skip

    return _in_torch("torch-compile", guarded, runtime="torch-compile")


def hgd(source: Source) -> Contestant:
    """Return HGD's denoiser at its paper's widths before the same classifier."""
    return _with_preset("hgd", "hgd-paper", source)


def ape_gan(source: Source) -> Contestant:
    """Return APE-GAN's generator before the same classifier."""
    return _with_preset("ape-gan", "ape-gan", source)


def art(name: str, source: Source) -> Contestant:
    """Return one of ART's preprocessors before the same classifier.

    Raises:
        ConfigError: ART is not installed.
    """
    try:
        preprocessor = importlib.import_module("art.defences.preprocessor")
    except ImportError as error:
        raise ConfigError(f"{name} needs {_ART}, which is not installed; pip install {_ART}") from error
    victim = source.victim.torch_module().eval()
    made: Any
    note = None
    if name == "art-jpeg":
        made = preprocessor.JpegCompression(clip_values=(0, 1), quality=50, channels_first=True)
    elif name == "art-spatial-smoothing":
        made = preprocessor.SpatialSmoothing(window_size=3, clip_values=(0, 1), channels_first=True)
    else:
        made = preprocessor.ThermometerEncoding(clip_values=(0, 1), num_space=_NUM_SPACE, channels_first=True)
        victim = _widened(victim, 3 * _NUM_SPACE)
        note = f"the classifier's first layer reads {3 * _NUM_SPACE} channels, {UNTRAINED}"
    engine = Stopwatch()

    def call(frames_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        x_NCHW = np.ascontiguousarray(frames_NHWC.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
        return _forward(victim, made(x_NCHW)[0], engine)

    return Contestant(name=name, role="peer", runtime="torch-eager", provider="torch CPU", precision="fp32",
                      call=call, engine=engine, note=note)  # fmt: skip


def _with_preset(name: str, preset_name: str, source: Source) -> Contestant:
    """Return the untrained network of a preset, which takes every size that the pair's own purifier does."""
    import torch

    from capgan_edge.models.presets import preset, purifier_from

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = purifier_from(preset(preset_name)).eval().requires_grad_(False)
    victim = source.victim.torch_module().eval()
    return _in_torch(name, lambda x_NCHW: victim(network(x_NCHW)), runtime="torch-eager",
                     note=f"the preset {preset_name}, {UNTRAINED}")  # fmt: skip


def _in_torch(name: str, forward: Callable[[Tensor], Tensor], *, runtime: str, note: str | None = None) -> Contestant:
    engine = Stopwatch()

    def call(frames_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        x_NCHW = np.ascontiguousarray(frames_NHWC.transpose(0, 3, 1, 2), np.float32) / np.float32(255)
        return _forward(forward, x_NCHW, engine)

    return Contestant(name=name, role="peer", runtime=runtime, provider="torch CPU", precision="fp32", call=call,
                      engine=engine, note=note)  # fmt: skip


def _forward(forward: Callable[[Tensor], Any], x_NCHW: NDArray[np.float32], engine: Stopwatch) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode(), engine:
        logits_NK: NDArray[np.float32] = forward(torch.from_numpy(x_NCHW)).numpy()
    return logits_NK


def _widened(victim: nn.Module, num_channels: int) -> nn.Module:
    """Return a copy whose first convolution reads more channels, with random weights there."""
    import torch
    from torch import nn

    from capgan_edge.models.victim import SimpleResNet

    if not isinstance(victim, SimpleResNet):
        raise ConfigError(f"art-thermometer needs a victim whose first layer can be widened, a simple-resnet, got "
                          f"{type(victim).__name__}; leave it out")  # fmt: skip
    twin, stem = copy.deepcopy(victim), victim.stem
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        twin.stem = nn.Conv2d(num_channels, stem.out_channels, 3, 1, 1, bias=False).requires_grad_(False)
    twin.mean_C, twin.std_C = torch.zeros(num_channels, 1, 1), torch.ones(num_channels, 1, 1)
    return twin
