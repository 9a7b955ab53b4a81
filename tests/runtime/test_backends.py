"""The backend asked for is the one that runs; `auto` takes an engine, else CUDA, else the CPU, and says why."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_bundle import add_engine, build_plan, rtx
from gpu_double import NumpyDevice, TrtDouble

import capgan_edge
from capgan_edge.errors import ArtifactError, CapganError, ConfigError
from capgan_edge.runtime.backends import BACKENDS, Opened, open_runner
from capgan_edge.runtime.bundle import Bundle, write_bundle
from capgan_edge.runtime.classifier import Classifier
from capgan_edge.runtime.engine_opening import Machine, open_engine
from capgan_edge.runtime.gpu import first_gpu
from capgan_edge.runtime.loading import classifier_from_opened
from capgan_edge.runtime.ort import CPU, CUDA, OrtRunner, available_providers
from capgan_edge.runtime.sidecar import GpuIdentity

ModelFactory = Callable[..., bytes]
ManifestFactory = Callable[..., Any]
Opener = Callable[..., Any]
OUTPUTS = ("logits", "suspicion", "purified")


@pytest.fixture
def bundle(tmp_path: Path, make_model: ModelFactory, make_manifest: ManifestFactory) -> Bundle:
    """A bundle of one FP32 graph, with the outputs that the double's engine gives."""
    manifest = make_manifest()
    manifest = manifest.model_copy(update={"outputs": tuple(spec for spec in manifest.outputs if spec.name in OUTPUTS)})
    return write_bundle(tmp_path / "bundle", manifest, {"model.fp32.onnx": make_model(outputs=OUTPUTS)})


@pytest.fixture
def plan(make_model: ModelFactory) -> bytes:
    """A real plan of that graph, for sm_86."""
    return build_plan(make_model(outputs=OUTPUTS))


def opener(device: NumpyDevice, *, sm: str = "sm_86", **settings: Any) -> Opener:
    """Return what opens engines on a machine with the double's GPU."""
    trt = TrtDouble(device, **settings)
    trt.__version__ = rtx().__version__
    machine = Machine(find_gpu=lambda: GpuIdentity(name="Double", sm=sm), load_flavour=lambda name: trt,
                      open_device=lambda: device)  # fmt: skip
    return functools.partial(open_engine, machine=machine)


def without_gpu() -> Opener:
    return functools.partial(open_engine, machine=Machine(find_gpu=lambda: None))


def test_what_was_asked_for_is_what_runs(bundle: Bundle) -> None:
    opened = open_runner(bundle, backend="cpu")
    assert (opened.backend, opened.artifact, opened.reason) == ("cpu", "model.fp32.onnx", "cpu: asked for")
    with pytest.raises(ConfigError, match="auto, tensorrt, cuda, openvino, cpu, got 'tpu'"):
        open_runner(bundle, backend="tpu")
    for backend in BACKENDS:
        with pytest.raises(ConfigError, match="precision is one of auto, fp32, fp16, int8, bf16, got 'bogus'"):
            open_runner(bundle, backend=backend, precision="bogus")


def test_auto_takes_the_cpu_where_there_is_neither_engine_nor_cuda_and_says_so(bundle: Bundle) -> None:
    opened = open_runner(bundle, offered=(CPU,))
    assert opened.runner.providers == (CPU,)
    assert opened.reason == f"cpu: the bundle has no TensorRT engine; this onnxruntime offers no {CUDA}"


@pytest.mark.skipif(CUDA in available_providers(), reason="needs an onnxruntime without CUDA")
def test_cuda_that_does_not_load_is_an_error_when_asked_for_and_the_cpu_with_a_reason_when_not(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match=f"got {CUDA}"):
        open_runner(bundle, backend="cuda")
    opened = open_runner(bundle, offered=(CUDA, CPU))
    assert opened.runner.providers == (CPU,)
    assert f"; {CUDA} is offered but did not load (" in opened.reason


def test_a_broken_graph_is_an_error_also_where_cuda_was_tried_first(
    tmp_path: Path, make_manifest: ManifestFactory
) -> None:
    broken = write_bundle(tmp_path / "broken", make_manifest(), {"model.fp32.onnx": b"junk"})
    with pytest.raises(ArtifactError, match="expected an ONNX model"):
        open_runner(broken, offered=(CUDA, CPU))


@pytest.mark.parametrize("backend", ["auto", "tensorrt"])
def test_an_engine_that_fits_the_machine_runs_with_the_parity_of_the_graph(
    bundle: Bundle, plan: bytes, backend: str
) -> None:
    device = NumpyDevice()
    held = add_engine(bundle, plan)
    opened = open_runner(held, backend=backend, engine_opener=opener(device))
    assert (opened.backend, opened.artifact) == ("tensorrt", "engines/fp16.plan")
    assert opened.reason == "tensorrt: engines/fp16.plan loads"
    frames_NHWC = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    with opened.runner as runner, open_runner(held, backend="cpu").runner as reference:
        assert np.allclose(runner(frames_NHWC).logits_NK, reference(frames_NHWC).logits_NK, atol=1e-4)
    assert device.live == set()


def test_a_classifier_on_an_engine_says_what_it_runs_and_splits_by_the_profile(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan)
    opened = open_runner(held, engine_opener=opener(NumpyDevice()))
    with classifier_from_opened(held, opened) as classifier:
        facts = classifier.describe()
        assert len(classifier.classify(np.zeros((9, 8, 8, 3), np.uint8))) == 9
    assert facts["sha256"] == held.manifest.files["engines/fp16.plan"].sha256
    assert facts["max_batch"] == 4
    assert [facts[key] for key in ("backend", "precision", "providers")] == ["tensorrt", "fp16", ["tensorrt_rtx"]]


def test_a_classifier_on_an_engine_tells_how_its_calls_were_launched_so_far(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan)
    frame = np.zeros((8, 8, 3), np.uint8)

    def launches(classifier: Classifier) -> dict[str, Any]:
        facts: dict[str, Any] = classifier.describe()["launches"]
        return {name: facts[name] for name in ("plain", "graph", "not_ready", "refused")}

    with classifier_from_opened(held, open_runner(held, engine_opener=opener(NumpyDevice()))) as classifier:
        assert launches(classifier) == {"plain": 0, "graph": 0, "not_ready": 0, "refused": 0}
        for _ in range(3):
            classifier.classify(frame)
        assert launches(classifier) == {"plain": 1, "graph": 2, "not_ready": 0, "refused": 0}
    refusing = opener(NumpyDevice(refuses_capture=True))
    with classifier_from_opened(held, open_runner(held, engine_opener=refusing)) as classifier:
        for _ in range(3):
            classifier.classify(frame)
        assert launches(classifier) == {"plain": 3, "graph": 0, "not_ready": 0, "refused": 1}
        assert classifier.describe()["launches"]["refusal"] == "the double does not capture"
    with classifier_from_opened(held, open_runner(held, backend="cpu")) as classifier:
        assert "launches" not in classifier.describe()


def test_threads_that_share_a_classifier_on_an_engine_take_turns(bundle: Bundle, plan: bytes) -> None:
    device = NumpyDevice()
    held = add_engine(bundle, plan)
    classifier = classifier_from_opened(held, open_runner(held, engine_opener=opener(device)))
    device.pause_s = 0.02
    frames = [np.full((8, 8, 3), np.eye(3, dtype=np.uint8)[index] * 200) for index in range(3)]
    with classifier, ThreadPoolExecutor(3) as pool:
        verdicts = list(pool.map(lambda index: classifier.classify(frames[index % 3])[0].index, range(12)))
    assert verdicts == [0, 1, 2] * 4
    assert not device.has_overlapped


def test_an_engine_of_another_contract_is_refused_and_closed(
    bundle: Bundle, plan: bytes, make_manifest: ManifestFactory
) -> None:
    device = NumpyDevice()
    held = add_engine(bundle, plan)
    opened = open_runner(held, engine_opener=opener(device))
    other = Bundle(path=held.path, manifest=held.manifest.model_copy(update={"outputs": make_manifest().outputs}))
    with pytest.raises(ArtifactError, match=r"engines/fp16.plan: expected the outputs .*raw_logits as in the manifest"):
        classifier_from_opened(other, opened)
    assert device.live == set()


def test_auto_prefers_fp16_and_takes_int8_only_where_asked_or_alone(bundle: Bundle, plan: bytes) -> None:
    def opened(held: Bundle, precision: str = "auto") -> Opened:
        return open_runner(held, precision=precision, offered=(CPU,), engine_opener=opener(NumpyDevice()))

    int8 = add_engine(bundle, plan, precision="int8")
    assert opened(int8).artifact == "engines/int8.plan"
    every = add_engine(add_engine(int8, plan, precision="fp32"), plan, precision="fp16")
    assert opened(every).artifact == "engines/fp16.plan"
    assert opened(every, "int8").artifact == "engines/int8.plan"


def test_int8_is_no_stand_in_for_an_engine_that_does_not_run(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(add_engine(bundle, plan, precision="int8"), plan, precision="fp16", version="1.2.0.1")
    opened = open_runner(held, offered=(CPU,), engine_opener=opener(NumpyDevice()))
    assert (opened.backend, opened.artifact) == ("cpu", "model.fp32.onnx")
    assert "engines/fp16.plan does not run here (" in opened.reason


def test_auto_without_a_gpu_takes_the_cpu_and_tensorrt_never_falls_back(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan)
    opened = open_runner(held, offered=(CPU,), engine_opener=without_gpu())
    assert isinstance(opened.runner, OrtRunner)
    assert opened.reason.startswith("cpu: engines/fp16.plan does not run here (expected an NVIDIA GPU")
    with pytest.raises(ArtifactError, match=rf"engines/fp16.plan .*build-engine {held.path} --fp16\)") as caught:
        open_runner(held, backend="tensorrt", engine_opener=without_gpu())
    assert "\n" not in str(caught.value)
    with pytest.raises(ArtifactError, match=r"has no int8 TensorRT engine; .*--int8"):
        open_runner(held, backend="tensorrt", precision="int8", engine_opener=without_gpu())


def test_an_engine_for_another_gpu_or_version_names_the_command_that_rebuilds_it(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan)
    with pytest.raises(ArtifactError, match=r"compiled for sm_86, and Double is sm_89; .*--target sm_89 --force"):
        opener(NumpyDevice(), sm="sm_89")(held, "engines/fp16.plan")
    lying = add_engine(bundle, plan, precision="fp32", version="1.6.0.1")
    with pytest.raises(
        ArtifactError, match=r"engines/fp32.plan: .*1.6.0.1.*; build it again: capgan-edge build-engine"
    ):
        opener(NumpyDevice())(lying, "engines/fp32.plan")


def test_an_engine_of_a_graph_that_was_replaced_is_not_run(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan, source_sha256="d" * 64)
    with pytest.raises(
        ArtifactError, match=r"replaced since \(d{12}\.\.\.\); build it again: .* --fp16 --batch .* --force"
    ):
        open_runner(held, backend="tensorrt", engine_opener=opener(NumpyDevice()))
    assert "replaced since" in open_runner(held, engine_opener=opener(NumpyDevice()), offered=(CPU,)).reason


def test_a_version_compatible_engine_brings_code_that_runs_only_by_leave(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan, flags=("STRONGLY_TYPED", "VERSION_COMPATIBLE"))
    with pytest.raises(ArtifactError, match="expected leave to run the code"):
        open_runner(held, backend="tensorrt", engine_opener=opener(NumpyDevice()))
    device = NumpyDevice()
    with open_runner(held, backend="tensorrt", allow_host_code=True, engine_opener=opener(device)).runner:
        assert device.live


def test_an_engine_that_does_not_fit_into_memory_is_passed_over(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan)
    opened = open_runner(held, offered=(CPU,), engine_opener=opener(NumpyDevice(memory_bytes=100)))
    assert opened.backend == "cpu"
    assert "out of memory" in opened.reason


@pytest.mark.skipif(first_gpu() is not None, reason="needs a machine without a GPU")
def test_load_tells_the_truth_on_a_machine_without_a_gpu(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan)
    with pytest.raises(CapganError, match=r"expected a TensorRT engine that runs here, but: .* no driver shows one"):
        capgan_edge.load(held.path, backend="tensorrt")
    with capgan_edge.load(held.path) as classifier:
        assert classifier.backend_reason.startswith(("cpu: ", "cuda: ", "openvino: "))
        assert classifier.describe()["precision"] == "fp32"


def test_a_precision_that_only_an_engine_has_is_an_error_where_it_does_not_run(bundle: Bundle, plan: bytes) -> None:
    held = add_engine(bundle, plan)
    with pytest.raises(ArtifactError, match="expected a graph in fp16, this bundle has fp32"):
        open_runner(held, precision="fp16", offered=(CPU,), engine_opener=without_gpu())
