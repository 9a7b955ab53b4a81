"""Who makes the gradient in each threat model, to see on how many images it is exactly zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgan_benchmarks.robustness.fitting import CLASS_HEAD, FAKE_QUANT, OUTPUTS_ALONE, TRANSFER
from capgan_benchmarks.robustness.planning import Job
from capgan_edge.data.images import ImageSet

if TYPE_CHECKING:
    from capgan_benchmarks.robustness.subject import Subject
    from capgan_edge.attacks.base import Model


class ZeroGradients:
    """Shares of images without a gradient, measured once for a threat model and a number of images."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._models: dict[tuple[str, str | None], Model | None] = {}
        self._held: dict[tuple[str, str | None, int], float | None] = {}

    def percent(self, job: Job, images: ImageSet) -> float | None:
        """Return the share of the images, in percent; None where the threat model has no gradient."""
        from capgan_benchmarks.robustness.masking import zero_gradient_percent

        place = (job.scenario, job.artifact)
        if place not in self._models:
            self._models[place] = _model(self._subject, *place)
        model, key = self._models[place], (*place, len(images))
        if key not in self._held:
            self._held[key] = None if model is None else zero_gradient_percent(model, images)
        return self._held[key]


def _model(subject: Subject, scenario: str, artifact: str | None) -> Model | None:
    """Return what an attack differentiates; of stealthy and artifact-transfer, f(T(.))."""
    if scenario in OUTPUTS_ALONE:
        return None
    if scenario == FAKE_QUANT:
        from capgan_benchmarks.threats.graph_twin import twin_from_bundle

        assert subject.bundle is not None
        assert artifact is not None
        twin = twin_from_bundle(subject.bundle, artifact)
        return lambda x_BCHW: twin(x_BCHW) / subject.temperature
    if scenario == TRANSFER:
        assert subject.surrogate is not None
        return subject.surrogate.model
    assert subject.pair is not None
    defended = subject.pair.defended
    if scenario == "bpda":
        from capgan_edge.attacks import IdentityBackward

        return IdentityBackward(defended.purify, defended.classify)
    if scenario == CLASS_HEAD:
        from capgan_benchmarks.threats.class_head import ClassHead

        return ClassHead(defended=defended).decide
    return defended.classify if scenario == "white-box-victim" else defended
