"""On the class head: the decision's gradient is climbed, f(T(.)) is scored; a purifier without one is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from capgan_benchmarks.robustness.config import RobustnessConfig
from capgan_benchmarks.robustness.gradients import ZeroGradients
from capgan_benchmarks.robustness.planning import plan
from capgan_benchmarks.robustness.subject import Subject, find_subject
from capgan_benchmarks.threats.class_head import ClassHead
from capgan_benchmarks.threats.crafting import rows_of
from capgan_benchmarks.threats.defended import Defended
from capgan_benchmarks.threats.graph_twin import GraphTwin
from capgan_calibration.qdq import int8_from_fp32
from capgan_calibration.ranges import RangeConfig, measure_ranges
from capgan_edge.attacks import FGSM, PGD
from capgan_edge.data.images import ImageSet
from capgan_edge.errors import ConfigError
from capgan_edge.models.robust_purifier import RobustPurifier, RobustPurifierConfig
from capgan_edge.models.victim import SimpleResNet
from capgan_edge.models.victims import victim_from_module
from capgan_edge.runtime.ort import OrtRunner
from capgan_export.fused import GraphOutputs
from capgan_export.onnx_graph import graph_from_pair

EPSILON = 8 / 255
SHAPE = RobustPurifierConfig(ngf=2, middle_channels=4, feature_channels=6, num_blocks=1, num_classes=20)


def trained_head(images: ImageSet) -> RobustPurifier:
    """A purifier whose head is a linear probe of random features, fitted for a moment; the painter is the identity."""
    torch.manual_seed(0)
    purifier = RobustPurifier(SHAPE).eval().requires_grad_(False)
    purifier.class_head.requires_grad_(True)
    x_BCHW, y_B = torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2) / 255, torch.from_numpy(images.labels_N)
    optimizer = torch.optim.Adam(purifier.class_head.parameters(), 0.05)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(purifier.decide(x_BCHW).class_logits_BK, y_B).backward()
        optimizer.step()
    return purifier.requires_grad_(False)


@pytest.fixture
def defended(sign_images: ImageSet) -> Defended:
    """The classifier reads the mean colours: another function than the head."""
    weight_KC = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))

    def classify(x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean(dim=(2, 3)) @ weight_KC.T

    return Defended(name="decides", purify=trained_head(sign_images), classify=classify)


def test_one_step_goes_up_the_gradient_of_the_head_and_the_pair_is_scored(
    defended: Defended, sign_images: ImageSet
) -> None:
    images, scenario = rows_of(sign_images, slice(8)), ClassHead(defended=defended)
    crafted = scenario.craft(FGSM(epsilon=EPSILON), images)
    x_BCHW = (torch.from_numpy(images.images_NHWC).permute(0, 3, 1, 2).float() / 255).requires_grad_()
    purifier = defended.purify
    assert isinstance(purifier, RobustPurifier)
    loss = F.cross_entropy(purifier.decide(x_BCHW).class_logits_BK, torch.from_numpy(images.labels_N), reduction="sum")
    moved_BHWC = torch.autograd.grad(loss, x_BCHW)[0].sign().permute(0, 2, 3, 1).numpy().astype(int)
    wanted_BHWC = (images.images_NHWC + 8 * moved_BHWC).clip(0, 255)
    assert (crafted.frames_NHWC == wanted_BHWC).mean() > 0.999
    assert (crafted.scenario, crafted.knowledge) == ("class-head", "T's class head")
    with torch.no_grad():
        said_N = defended(torch.from_numpy(crafted.frames_NHWC).permute(0, 3, 1, 2) / 255).argmax(1).numpy()
    np.testing.assert_array_equal(scenario.labels_of(crafted.frames_NHWC), said_N)
    assert crafted.rounding.judge == "f(T(.))"


def test_a_defence_that_decides_nothing_is_refused() -> None:
    plain = Defended(name="plain", purify=lambda x: x, classify=lambda x: x.mean(dim=(2, 3)))
    with pytest.raises(ConfigError, match="plain: expected a purifier with a class head for class-head: it decides no"):
        ClassHead(defended=plain)


@pytest.fixture(scope="module")
def robust() -> Subject:
    return find_subject("gtsrb-robust-nano", data="signs")


def test_it_is_in_every_tier_of_a_robust_pair_and_of_no_other(robust: Subject) -> None:
    for tier in ("quick", "paper", "standard"):
        jobs = plan(RobustnessConfig(subject="gtsrb-robust-nano", tier=tier, scenarios=("class-head",)), robust, 4).jobs
        assert {job.scenario for job in jobs} == {"class-head"}
    with find_subject("signs-nano") as plain, pytest.raises(ConfigError, match="so that all of its gradients are in"):
        plan(RobustnessConfig(subject="signs-nano", scenarios=("class-head",)), plain, 4)


def test_attacks_that_stop_at_the_heads_boundary_are_not_shown_to_the_pair(robust: Subject) -> None:
    config = RobustnessConfig(subject="gtsrb-robust-nano", scenarios=("class-head",), attacks=("apgd-t",))
    with pytest.raises(ConfigError, match="pgd-40, mi-fgsm and cw work here"):
        plan(config, robust, 4)


def test_the_heads_gradient_is_what_is_looked_at_for_zeros(robust: Subject, sign_images: ImageSet) -> None:
    config = RobustnessConfig(subject="gtsrb-robust-nano", scenarios=("class-head",), attacks=("pgd-7",),
                              epsilons=(EPSILON,))  # fmt: skip
    (job,) = plan(config, robust, 4).jobs
    assert ZeroGradients(robust).percent(job, rows_of(sign_images, slice(4))) == 0
    crafted = robust.scenario("class-head").craft(PGD(epsilon=EPSILON, steps=1), rows_of(sign_images, slice(2)))
    assert crafted.frames_NHWC.shape == (2, 32, 32, 3)


@pytest.mark.parametrize("map_px", [8, 5], ids=["of the features' size", "of another"])
def test_the_fake_quantised_twin_knows_class_maps(map_px: int, sign_images: ImageSet) -> None:
    torch.manual_seed(0)
    purifier = RobustPurifier(replace(SHAPE, class_map_px=map_px)).eval().requires_grad_(False)
    for tensor in purifier.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.1 * torch.rand_like(tensor))
    module = SimpleResNet(20, units_per_stage=1).eval().requires_grad_(False)
    victim = victim_from_module(module, {"kind": "simple-resnet", "name": "tiny"}, size_px=(32, 32))
    fp32 = graph_from_pair(purifier, victim, size_px=(32, 32), outputs=GraphOutputs(), properties={})
    frames_NHWC = sign_images.images_NHWC[:8]
    int8 = int8_from_fp32(fp32, measure_ranges(fp32, frames_NHWC, RangeConfig()), keep_ends=False).model_bytes
    with OrtRunner(int8, providers=("CPUExecutionProvider",), threads=1) as runner:
        said = runner(frames_NHWC).logits_NK
    x_NCHW = (torch.from_numpy(frames_NHWC).permute(0, 3, 1, 2) / 255).requires_grad_()
    logits_NK = GraphTwin(int8)(x_NCHW)
    assert np.abs(logits_NK.detach().numpy() - said).max() < 0.1 * np.abs(said).max()
    assert torch.autograd.grad(logits_NK.sum(), x_NCHW)[0].abs().max() > 0
