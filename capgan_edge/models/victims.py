"""Bring your own victim: from a spec (a run, `module:factory`, a .pt2 or an .onnx file) to a frozen classifier.

Nothing is unpickled. Shapes: B batch, C channel, H height, W width, K classes.
"""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from capgan_edge.errors import CapganError, CheckpointError, ConfigError
from capgan_edge.files import sha256_of_bytes
from capgan_edge.models.checkpoint import load_checkpoint, load_into, load_tensors
from capgan_edge.models.onnx_spatial_ops import UnconvertibleError
from capgan_edge.models.onnx_victim import OnnxModule, onnx_victim_from_bytes, unconvertible_ops
from capgan_edge.models.own_victim import encoding_of, own_identity, own_victim
from capgan_edge.models.torch_export_victim import victim_from_pt2
from capgan_edge.models.victim import MAX_CLASSES, MAX_UNITS
from capgan_edge.models.victim_probe import num_classes_of
from capgan_edge.models.weights import weights_sha256

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
_DEFAULT_SIZE_PX = (32, 32)
FORMS = "a victim's run folder, package.module:factory (with a safetensors state), a .pt2 file or an .onnx file"


@dataclass(frozen=True, kw_only=True, slots=True)
class Victim:
    """A classifier to protect, frozen and in eval mode: float32 RGB in [0, 1], [B, 3, H, W], to logits [B, K]."""

    module: nn.Module | None
    """None where an ONNX victim does not convert to torch: it can be exported and run, but not trained against."""
    onnx_model: bytes | None = None
    """The ONNX file, where the victim came as one: merged as it is at export."""
    num_classes: int
    labels: tuple[str, ...] | None = None
    """Names of the classes, where the victim's source has them."""
    size_px: tuple[int, int] | None = None
    """Height and width that the victim is bound to; None where it takes any."""
    identity: dict[str, Any] = field(default_factory=dict)
    """`kind`, `name` (never a path), `sha256` of weights or file, `parameters`; for our own, how to build it."""
    unconverted: tuple[str, ...] = ()
    """The ONNX ops for which `module` is None."""

    def torch_module(self) -> nn.Module:
        """Return the module, which training and gradient attacks need.

        Raises:
            ConfigError: the victim is an ONNX file with ops that do not convert to torch.
        """
        if self.module is None:
            raise ConfigError(
                f"{self.identity['name']}: expected a victim that converts to torch, got the ONNX ops "
                f"{', '.join(self.unconverted)}; this ONNX victim can be exported and run, but not used in training: "
                "give the model as module:factory or a .pt2 file"
            )
        return self.module

    def check_fits(self, labels: tuple[str, ...], size_px: tuple[int, int]) -> None:
        """Raise ConfigError where the classes or the image size are not the victim's."""
        name = self.identity.get("name", "the victim")
        if len(labels) != self.num_classes:
            raise ConfigError(
                f"{name}: expected one label for each of the victim's {self.num_classes} classes, got {len(labels)} "
                f"({', '.join(labels[:3])}, ...); use the data or the labels that the victim was trained with"
            )
        if self.labels is not None and tuple(labels) != self.labels:
            k = next(k for k, pair in enumerate(zip(labels, self.labels, strict=True)) if pair[0] != pair[1])
            raise ConfigError(
                f"{name}: expected the victim's labels in its order, got {labels[k]!r} where it has {self.labels[k]!r} "
                f"(class {k}); use the data or the labels that the victim was trained with"
            )
        _check_size(name, self.size_px, size_px)


def load_victim(spec: str | Path, *, state: Path | None = None, size_px: tuple[int, int] | None = None) -> Victim:
    """Load the victim that `spec` names: a run's folder or pointer file, module:factory, a .pt2 or an .onnx file.

    Args:
        spec: what to load.
        state: safetensors weights for a factory's module, loaded strictly.
        size_px: height and width it will be used at; it is run once at this size (32x32 where neither says).

    Raises:
        CapganError: it is missing, a pickle, foreign, of another size, or gives something other than logits [B, K].
    """
    spec = str(spec)
    path = Path(spec)
    is_factory = bool(_FACTORY.fullmatch(spec)) and not path.exists()
    if state is not None and not is_factory:
        raise ConfigError(
            f"{spec}: expected a state only beside package.module:factory, got {state.name}; leave it out"
        )
    if is_factory:
        return _from_factory(spec, state, size_px)
    if not path.exists():
        raise CheckpointError(f"expected a victim at {spec}, got nothing there; name {FORMS}")
    if path.is_dir() or path.suffix == ".json":
        return _from_run(path, size_px)
    if path.suffix == ".pt2":
        return _from_pt2(path, size_px)
    if path.suffix == ".onnx":
        return _from_onnx(path, size_px)
    raise _refused_file(path)


def _from_run(path: Path, size_px: tuple[int, int] | None) -> Victim:
    checkpoint = load_checkpoint(path, "victim")
    name = path.parent.name if path.suffix == ".json" else path.resolve().name
    try:
        labels = tuple(str(label) for label in checkpoint.state["class_names"])
        trained_px = (int(checkpoint.state["size_px"][0]), int(checkpoint.state["size_px"][1]))
        config = checkpoint.state["config"]
        units, encoding = config["units_per_stage"], encoding_of(config, path)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: expected the state of a victim's run, got one without {error}; train again"
        ) from error
    if type(units) is not int or not 1 <= units <= MAX_UNITS or not 2 <= len(labels) <= MAX_CLASSES:
        raise CheckpointError(
            f"{path}: expected 1 to {MAX_UNITS} units a stage and 2 to {MAX_CLASSES} classes, got {units!r} and "
            f"{len(labels)}; use the run of a victim as it was written, or train again"
        )
    module = own_victim(len(labels), units_per_stage=units, **encoding)
    load_into(module, checkpoint.tensors, "victim", str(path))
    identity = own_identity(module) | {"name": name or "victim"}
    return victim_from_module(module, identity, size_px=trained_px, labels=labels, wanted_px=size_px)


def _from_factory(spec: str, state: Path | None, size_px: tuple[int, int] | None) -> Victim:
    module = _call_factory(spec)
    if state is not None:
        load_into(module, load_tensors(state), "", state.name)
    identity = {"kind": "factory", "name": spec, "state": state.name if state is not None else None}
    return victim_from_module(module, identity, size_px=None, wanted_px=size_px)


def _call_factory(spec: str) -> nn.Module:
    module_name, _, factory_name = spec.partition(":")
    here = str(Path.cwd())
    added = here not in sys.path
    try:
        if added:
            sys.path.insert(0, here)
        made = getattr(importlib.import_module(module_name), factory_name)()
    except CapganError:
        raise
    except Exception as error:  # the user's own code
        detail = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
        raise ConfigError(
            f"expected {spec} to be imported and called without arguments, but: {detail}; name a function in a "
            f"module that Python finds from {Path.cwd().name}/ and that returns the model"
        ) from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"expected {spec} to return a torch.nn.Module, got {type(made).__name__}; return the model itself"
        )
    return made


def _from_pt2(path: Path, size_px: tuple[int, int] | None) -> Victim:
    data = _read(path)
    module, bound_px = victim_from_pt2(data, path.name)
    identity = {"kind": "torch.export", "name": path.name, "sha256": sha256_of_bytes(data)}
    return victim_from_module(module, identity, size_px=bound_px, wanted_px=size_px)


def _from_onnx(path: Path, size_px: tuple[int, int] | None) -> Victim:
    data = _read(path)
    described = onnx_victim_from_bytes(data, path.name)
    identity: dict[str, Any] = {"kind": "onnx", "name": path.name, "sha256": sha256_of_bytes(data), "parameters": None}
    _check_size(path.name, described.size_px, size_px)
    missing = unconvertible_ops(described)
    module: nn.Module | None = None
    if not missing:
        module = OnnxModule(described).eval()
        try:
            num_classes_of(module, size_px or described.size_px or _DEFAULT_SIZE_PX, path.name)
            identity["parameters"] = sum(weight.numel() for weight in module.buffers())
        except UnconvertibleError as error:
            module, missing = None, (error.op,)
    return Victim(module=module, onnx_model=data, num_classes=described.num_classes, size_px=described.size_px,
                  identity=identity, unconverted=missing)  # fmt: skip


def victim_from_module(
    module: nn.Module,
    identity: dict[str, Any],
    *,
    size_px: tuple[int, int] | None = None,
    wanted_px: tuple[int, int] | None = None,
    labels: tuple[str, ...] | None = None,
) -> Victim:
    """Freeze a module, run it once, and describe it; `identity` has at least its `kind` and `name`."""
    module = module.eval().requires_grad_(False)
    _check_size(identity["name"], size_px, wanted_px)
    num_classes = num_classes_of(module, wanted_px or size_px or _DEFAULT_SIZE_PX, identity["name"])
    if labels is not None and len(labels) != num_classes:
        raise CheckpointError(f"{identity['name']}: expected {num_classes} labels, one a class, got {len(labels)}")
    if "sha256" not in identity:
        identity = identity | {"sha256": weights_sha256(module)}
    identity = identity | {"parameters": sum(p.numel() for p in module.parameters())}
    return Victim(module=module, num_classes=num_classes, labels=labels, size_px=size_px, identity=identity)


def _check_size(name: str, bound_px: tuple[int, int] | None, size_px: tuple[int, int] | None) -> None:
    if bound_px is not None and size_px is not None and tuple(size_px) != tuple(bound_px):
        raise ConfigError(
            f"{name}: expected images of the victim's size, {bound_px[0]}x{bound_px[1]} px, got "
            f"{size_px[0]}x{size_px[1]}; use images of that size, or export the victim for this one"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"expected a victim at {path}, but: {error.strerror}; name {FORMS}") from error


def _refused_file(path: Path) -> CheckpointError:
    if path.suffix in _PICKLES:
        return CheckpointError(
            f"{path}: expected {FORMS}, got a pickle; it can run code and is never loaded: where you "
            "trust it, save its weights with safetensors.torch.save_file(model.state_dict(), 'weights.safetensors') "
            "and pass them with module:factory, or save the model with torch.export.save"
        )
    if path.suffix == ".safetensors":
        return CheckpointError(
            f"{path}: expected {FORMS}, got weights alone; pass them as the state of a module:factory"
        )
    return CheckpointError(f"{path}: expected {FORMS}, got a file of another kind; name one of these")
