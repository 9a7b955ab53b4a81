"""An INT8 graph joins the bundle of its FP32 graph: calibrate, quantise, hold against FP32, write it all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import JsonValue

from capgan_calibration.agreement import AgreementConfig, measure_agreement, require_agreement
from capgan_calibration.attacker import Attacker, check_same_pair
from capgan_calibration.frames import CalibrationSet, make_calibration_set
from capgan_calibration.images import Images
from capgan_calibration.mixture import ADVERSARIAL, CLEAN, END_TO_END, Mixture
from capgan_calibration.qdq import Int8Graph, Rest
from capgan_calibration.range_cache import FoundRanges, ranges_of
from capgan_calibration.ranges import RangeConfig
from capgan_calibration.scoring import LabelledFrames, Scorer
from capgan_calibration.sensitivity import DropLimits, LeftOut, Mode, Recipe, Sensitivity, leave_out, rank_layers
from capgan_edge.errors import ArtifactError, ConfigError
from capgan_edge.runtime.bundle import Bundle
from capgan_edge.runtime.growth import grow_bundle, locked
from capgan_edge.runtime.manifest import ArtifactRecord, CalibrationIdentity, Manifest, ParityRecord
from capgan_edge.runtime.verdicts import without_verdicts
from capgan_export.parity import ProbeFrames
from capgan_export.precision.probe import probe_frames_for, require_finite

ARTIFACT = "model.int8.onnx"
FEWEST_TO_RANK = 32
"""With fewer images no layer's loss could be told from luck."""
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationConfig:
    """All that decides the INT8 graph but the images."""

    mixture: Mixture
    num_frames: int = 512
    """Of the calibration set, at most; images beyond these rank layers."""
    ranges: RangeConfig = field(default_factory=RangeConfig)
    exclude: tuple[str, ...] = ()
    """Layers, or patterns of their names, that stay in floating point."""
    keep_ends: bool = True
    rest: Rest | None = None
    """Precision of what is not INT8; None is FP16 where layers are left out by `limits`, so that an engine runs them in
    half precision, and FP32 elsewhere."""
    sensitivity: Mode | None = None
    """Rank the layers, by quantising one alone or by leaving one out; None does not."""
    limits: DropLimits | None = None
    """Leave the costliest layers out until these hold; None leaves none out."""
    agreement: AgreementConfig = field(default_factory=AgreementConfig)
    seed: int = 0
    cache: Path | None = None
    """A folder of measured ranges; None is none."""

    def __post_init__(self) -> None:
        if self.num_frames < 2:
            raise ConfigError(f"expected at least 2 frames to calibrate on, got {self.num_frames}; 512 is the default")
        if self.limits is not None and self.sensitivity is None:
            raise ConfigError("expected a ranking of the layers to leave out by, got none; set sensitivity too")

    @property
    def floats(self) -> Rest:
        """The precision of what is not INT8."""
        return self.rest or ("fp32" if self.limits is None else "fp16")


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedInt8:
    """What was made, on what, and how it holds."""

    bundle: Bundle
    graph: Int8Graph
    calibration: CalibrationIdentity
    warnings: tuple[str, ...]
    ranges: FoundRanges
    parity: tuple[ParityRecord, ...]
    sensitivity: Sensitivity | None
    left_out: LeftOut | None


def add_int8(
    path: Path,
    config: CalibrationConfig,
    *,
    images: Images,
    check: Images,
    attacker: Attacker | None,
    overwrite: bool = False,
    say: Say | None = None,
) -> AddedInt8:
    """Quantise the bundle's FP32 graph and add the result as `model.int8.onnx`.

    Args:
        path: of the bundle; nobody else writes to it meanwhile.
        config: what to make.
        images: to calibrate on, and beyond `config.num_frames` to rank layers with.
        check: images that are none of these, to hold the result against FP32 on.
        attacker: the bundle's own pair; None where nothing is attacked, so that attacked frames are not checked either.
        overwrite: replace an INT8 graph that is there; its card and threshold go with it.
        say: called with a line for people before each long step.

    Raises:
        ArtifactError: there is an INT8 graph, none in FP32, or the result is too far from FP32; nothing was written.
        DataError: the images are too few or of one colour.
        ConfigError: the attacker has another pair than the bundle, or the options contradict one another.
    """
    say = say or (lambda _: None)
    with locked(path) as bundle:
        _refuse(bundle, attacker, config, images, overwrite=overwrite)
        fp32_name = bundle.artifact("fp32").relative_to(bundle.path).as_posix()
        made = _make(bundle.read_file(fp32_name), config, images, attacker, say)
        say(f"holding {ARTIFACT} against {fp32_name} on {len(check)} frames")
        probes = _probes(check, attacker)
        if config.floats == "fp16":
            size_px = (bundle.manifest.input.height, bundle.manifest.input.width)
            require_finite(ARTIFACT, made.graph.model_bytes, probe_frames_for(size_px, probes, seed=config.seed))
        parity = measure_agreement(ARTIFACT, made.graph.model_bytes, fp32_name, made.recipe.model_bytes, probes,
                                   seed=config.seed, config=config.agreement)  # fmt: skip
        require_agreement(parity)
        record = ArtifactRecord(
            precision="int8",
            opset=bundle.manifest.artifacts[fp32_name].opset,
            source_sha256=bundle.manifest.files[fp32_name].sha256,
            settings=_settings(config, made),
            calibration=made.held.identity(config.ranges.method),
        )
        manifest = _manifest_with(bundle.manifest, record, parity)
        grown = grow_bundle(bundle, manifest, {ARTIFACT: made.graph.model_bytes})
    return AddedInt8(bundle=grown, graph=made.graph, calibration=made.held.identity(config.ranges.method),
                     warnings=made.held.warnings, ranges=made.ranges, parity=parity, sensitivity=made.ranking,
                     left_out=made.left_out)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """A graph, with all that led to it."""

    held: CalibrationSet
    ranges: FoundRanges
    recipe: Recipe
    ranking: Sensitivity | None
    left_out: LeftOut | None
    graph: Int8Graph


def _make(fp32_bytes: bytes, config: CalibrationConfig, images: Images, attacker: Attacker | None, say: Say) -> _Made:
    own = images.part(0, config.num_frames)
    say(f"making {len(own)} calibration frames of {own.name}")
    held = make_calibration_set(own, config.mixture, attacker, seed=config.seed)
    say("measuring ranges")
    ranges = ranges_of(fp32_bytes, held, config.ranges, cache=config.cache)
    recipe = Recipe(model_bytes=fp32_bytes, ranges=ranges.limit_of_node, exclude=config.exclude,
                    keep_ends=config.keep_ends, rest=config.floats)  # fmt: skip
    ranking, left_out = _ranked(recipe, config, images, attacker, say)
    graph = recipe.graph() if left_out is None else left_out.graph
    return _Made(held=held, ranges=ranges, recipe=recipe, ranking=ranking, left_out=left_out, graph=graph)


def _refuse(
    bundle: Bundle, attacker: Attacker | None, config: CalibrationConfig, images: Images, *, overwrite: bool
) -> None:
    """Refuse what cannot succeed, before any work is done for it."""
    manifest = bundle.manifest
    if ARTIFACT in manifest.artifacts and not overwrite:
        raise ArtifactError(f"expected no {ARTIFACT} in {bundle.path}, got one; pass --force to replace it "
                            "(overwrite=True in Python)")  # fmt: skip
    size_px = (manifest.input.height, manifest.input.width)
    if images.frames_NHWC.shape[1:3] != size_px:
        raise ConfigError(f"{images.name}: expected frames of {size_px} as the graph takes, got "
                          f"{images.frames_NHWC.shape[1:3]}; resize them")  # fmt: skip
    if attacker is not None:
        check_same_pair(attacker.source, manifest)
    elif config.mixture.needs_attack or config.sensitivity is not None:
        raise ConfigError("expected the bundle's pair to attack, got none; name its run with --against, or calibrate "
                          "on clean frames alone (--mix clean) and without --sensitivity")  # fmt: skip
    if config.sensitivity is not None:
        num_left = max(0, len(images) - config.num_frames)
        if images.labels_N is None or num_left < FEWEST_TO_RANK:
            came = "images without its labels" if images.labels_N is None else f"{num_left}"
            raise ConfigError(
                f"{images.name}: expected at least {FEWEST_TO_RANK} labelled images beside those of the calibration to "
                f"rank layers with, got {came}; name the data of the training with --images, or a smaller --n"
            )


def _ranked(
    recipe: Recipe, config: CalibrationConfig, images: Images, attacker: Attacker | None, say: Say
) -> tuple[Sensitivity | None, LeftOut | None]:
    if config.sensitivity is None:
        return None, None
    rest = images.part(config.num_frames, len(images))
    assert attacker is not None
    assert rest.labels_N is not None
    frames = [LabelledFrames(kind=CLEAN, frames_NHWC=rest.frames_NHWC, labels_N=rest.labels_N)]
    for kind in (ADVERSARIAL, END_TO_END):
        crafted_NHWC = attacker.craft(kind, rest.frames_NHWC, rest.labels_N)
        frames.append(LabelledFrames(kind=kind, frames_NHWC=crafted_NHWC, labels_N=rest.labels_N))
    say(f"ranking layers on {len(rest)} frames of {len(frames)} kinds")
    scorer = Scorer(recipe.model_bytes, frames)
    ranking = rank_layers(recipe, scorer, mode=config.sensitivity)
    return ranking, None if config.limits is None else leave_out(recipe, scorer, ranking, config.limits)


def _probes(check: Images, attacker: Attacker | None) -> list[ProbeFrames]:
    clean = ProbeFrames(kind="clean", frames_NHWC=check.frames_NHWC, settings={"data": check.name})
    if attacker is None:
        return [clean]
    attacked_NHWC = attacker.craft(ADVERSARIAL, check.frames_NHWC, check.labels_N)
    settings = {"data": check.name, **attacker.settings(has_labels=check.labels_N is not None), "on": "f"}
    return [clean, ProbeFrames(kind="attacked", frames_NHWC=attacked_NHWC, settings=settings)]


def _settings(config: CalibrationConfig, made: _Made) -> dict[str, JsonValue]:
    settings: dict[str, JsonValue] = {
        "quantiser": made.ranges.key.tool,
        "ranges": made.ranges.key.method,
        "scheme": "Q/DQ, symmetric, zero point 0; weights per output channel, layer inputs per tensor",
        "num_quantised": len(made.graph.quantised),
        "kept": [{"layer": kept.name, "op": kept.op, "reason": kept.reason} for kept in made.graph.kept],
        "rest": config.floats,
    }
    if made.ranking is not None:
        settings["sensitivity"] = made.ranking.to_json()
    if made.left_out is not None and config.limits is not None:
        settings["auto"] = {"limits": {**asdict(config.limits)}, **made.left_out.to_json()}
    return settings


def _manifest_with(manifest: Manifest, record: ArtifactRecord, parity: Sequence[ParityRecord]) -> Manifest:
    """Return the manifest with the graph; what was measured on an older one of its name goes."""
    kept = without_verdicts(manifest, ARTIFACT)
    artifacts = {**kept.artifacts, ARTIFACT: record}
    return kept.model_copy(update={"artifacts": artifacts, "parity": (*kept.parity, *parity)})
