"""The tree of errors that a user can cause; the command line prints each as one line and exits with its code.

    CapganError                 anything a user can cause              exit 1
    ├── ConfigError             an option or a setting out of range
    ├── DataError               images or labels are missing, corrupt or inconsistent
    ├── CheckpointError         weights that are missing, truncated, foreign or a pickle
    ├── ArtifactError           a bundle or an ONNX file that is broken, changed or refused
    ├── InputError              a frame of the wrong dtype, rank, channel count or range
    ├── TrainingError           a run that cannot go on (NaN loss)
    └── MissingDependencyError  an optional package that this operation needs

A message has three parts: what was expected, what came, what to do.
"""

from __future__ import annotations


class CapganError(Exception):
    """Base of every error that a user can cause."""

    exit_code = 1


class ConfigError(CapganError):
    """An option or a setting is out of range or contradicts another."""


class DataError(CapganError):
    """Images or labels are missing, corrupt or inconsistent."""


class CheckpointError(CapganError):
    """Weights are missing, truncated, foreign, or a pickle."""


class ArtifactError(CapganError):
    """A bundle or an ONNX file is broken, changed, of another schema, or refused."""


class InputError(CapganError):
    """A frame has the wrong dtype, rank, channel count or range."""


class TrainingError(CapganError):
    """A training run cannot go on."""


class MissingDependencyError(CapganError):
    """An optional package that this operation needs is not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed; pip install 'capgan-edge[{extra}]'")
