"""Quantise a fused graph with NVIDIA ModelOpt, on the CPU; runs in ModelOpt's own environment, not in capgan-edge's.

python quantise.py MODEL.onnx FRAMES.npy OUT.onnx entropy|max
"""

from __future__ import annotations

import sys

import numpy as np
from modelopt.onnx.quantization import quantize


def main() -> None:
    """Calibrate on uint8 frames [N, H, W, 3]; what is not quantised stays FP32, as in our own INT8 graphs."""
    model_path, frames_path, out_path, method = sys.argv[1:]
    frames_NHWC = np.load(frames_path, allow_pickle=False)
    quantize(
        model_path,
        quantize_mode="int8",
        calibration_data={"frames": frames_NHWC},
        calibration_method=method,
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=out_path,
        log_level="WARNING",
    )


if __name__ == "__main__":
    main()
