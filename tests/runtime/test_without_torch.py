"""An edge device has no torch: a bundle loads and classifies in an interpreter where torch cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys

from capgan_edge.runtime.bundle import Bundle

CODE = """
import sys
for name in ("torch", "onnx", "tensorrt", "cv2", "matplotlib", "lightning_fabric", "safetensors"):
    sys.modules[name] = None
import numpy as np
import capgan_edge
with capgan_edge.load(sys.argv[1], threads=1) as classifier:
    frame = np.full((31, 17, 3), (10, 200, 10), np.uint8)
    print(classifier.classify(frame)[0].label, classifier.purify(frame).shape)
"""


def test_load_and_classify_work_where_torch_cannot_be_imported(shared_bundle: Bundle) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, str(shared_bundle.path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("yield (1, 8, 8, 3)\n", "")
