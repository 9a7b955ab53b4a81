"""What the exported graph is held against: the unfolded modules in eager torch, in float32.

Where an ONNX victim does not convert to torch, its own file runs in ONNX Runtime behind the torch purifier.
Shapes: N frames, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from capgan_edge.errors import ArtifactError
from capgan_edge.runtime.ort import CPU, session_options
from capgan_edge.runtime.runner import Outputs
from capgan_export.parity import ProbeFrames, Reference, joined

if TYPE_CHECKING:
    from torch import Tensor

    from capgan_edge.models.purifier import Purifier
    from capgan_edge.models.victims import Victim

_BATCH = 32
_EPSILON = 8 / 255
_PGD_STEPS = 7


def reference_of(purifier: Purifier, victim: Victim) -> tuple[Reference, str]:
    """Return a function from frames to every output of the contract, and what it is."""
    import torch

    from capgan_export.fused import rounded, scaled, suspicion

    purifier = purifier.eval()
    classify, name = _classify(victim)

    def run(frames_NHWC: NDArray[np.uint8]) -> Outputs:
        x_NCHW = scaled(torch.from_numpy(frames_NHWC))
        translated = purifier.translate(x_NCHW)
        return Outputs(
            logits_NK=classify(translated.image_BCHW).numpy(),
            suspicion_N=suspicion(translated.domain_logits_BJ).numpy(),
            purified_NHWC=rounded(translated.image_BCHW).numpy(),
            raw_logits_NK=classify(x_NCHW).numpy(),
        )

    def run_in_batches(frames_NHWC: NDArray[np.uint8]) -> Outputs:
        with torch.no_grad():
            return joined([run(frames_NHWC[k : k + _BATCH]) for k in range(0, len(frames_NHWC), _BATCH)])

    return run_in_batches, name


def probe_frames(victim: Victim, frames_NHWC: NDArray[np.uint8], *, data: str, seed: int) -> list[ProbeFrames]:
    """Return the frames, and the same attacked, rounded to uint8 as a camera would see them.

    Half by FGSM and half by PGD-7, both 8/255 on the bare victim and away from its own label; where the victim has no
    torch module, uniform noise of the same size stands in, and the kind and the settings say so.
    """
    import torch

    clean = ProbeFrames(kind="clean", frames_NHWC=frames_NHWC, settings={"data": data})
    if victim.module is None:
        noise = np.random.default_rng(seed).uniform(-_EPSILON, _EPSILON, frames_NHWC.shape) * 255
        noisy_NHWC = np.clip(np.rint(frames_NHWC + noise), 0, 255).astype(np.uint8)
        why = "the ONNX victim does not convert to torch, so it could not be attacked"
        settings: dict[str, str | int | float] = {"data": data, "epsilon": _EPSILON, "noise": "uniform", "why": why}
        return [clean, ProbeFrames(kind="noisy", frames_NHWC=noisy_NHWC, settings=settings)]
    from capgan_edge.attacks import FGSM, PGD

    module = victim.module.eval()
    x_NCHW = torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        y_N = torch.cat([module(x_NCHW[k : k + _BATCH]).argmax(1) for k in range(0, len(x_NCHW), _BATCH)])
    half = (len(x_NCHW) + 1) // 2
    attacks = [(FGSM(epsilon=_EPSILON, seed=seed), slice(0, half)),
               (PGD(epsilon=_EPSILON, seed=seed, steps=_PGD_STEPS), slice(half, None))]  # fmt: skip
    attacked = [attack(module, x_NCHW[part], y_N[part]).images_BCHW for attack, part in attacks if len(x_NCHW[part])]
    attacked_NHWC = (torch.cat(attacked) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    settings = {"data": data, "epsilon": _EPSILON, "norm": "linf", "on": "the bare victim", "label": "its own",
                "attacks": f"fgsm on the first {half}, pgd-{_PGD_STEPS} on the rest"}  # fmt: skip
    return [clean, ProbeFrames(kind="attacked", frames_NHWC=attacked_NHWC, settings=settings)]


def _classify(victim: Victim) -> tuple[Callable[[Tensor], Tensor], str]:
    import torch

    if victim.module is not None:
        return victim.module.eval(), f"torch {torch.__version__}, eager, fp32"
    from capgan_edge.models.onnx_victim import onnx_victim_from_bytes

    assert victim.onnx_model is not None
    described = onnx_victim_from_bytes(victim.onnx_model, str(victim.identity.get("name", "victim")))
    session = session_of_victim(victim.onnx_model)

    def classify(x_NCHW: Tensor) -> Tensor:
        return torch.from_numpy(session.run([described.output_name], {described.input_name: x_NCHW.numpy()})[0])

    return classify, f"torch {torch.__version__} for the purifier, the victim's own ONNX file in ONNX Runtime, fp32"


def session_of_victim(model_bytes: bytes) -> Any:
    """Return an ONNX Runtime session on a victim's own file, which may not reach for other files.

    Raises:
        ArtifactError: ONNX Runtime cannot load it.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model_bytes, session_options(), providers=[CPU])
    except Exception as error:  # ONNX Runtime's errors share no base class
        detail = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"expected an ONNX victim that ONNX Runtime loads, but: {detail}; export the victim again with opset 20"
        ) from error
