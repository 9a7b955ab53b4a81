"""What a source's name means: a camera, a file, a folder, a stream, a pipeline or the demo."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from capgan_edge.errors import ConfigError

SourceKind = Literal["camera", "file", "folder", "url", "pipeline", "demo"]
_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "tcp", "udp", "srt")
_SECRETS = re.compile(
    r"(?<=://)\S*(?=@)"  # a password may have any character, unescaped, so all up to the last @ goes
    r"|(?i:(?<=[?&\s])(?:user-?pw|password|passwd|passw|pass|pwd|token|key)=[^&\s]+)"
)
_CAMERA = re.compile(r"/dev/(video\d+|v4l/.+)")
"""A device that may be plugged in later, or again."""
_KINDS = (
    "a camera's number, /dev/video0, a video file, a folder of images, an address (rtsp://, http://), "
    "a GStreamer pipeline (with ' ! '), demo, demo:attack or demo:alternate"
)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source that was named, not opened."""

    kind: SourceKind
    target: str

    @property
    def is_finite(self) -> bool:
        """It ends by itself, and waits where nobody reads it."""
        return self.kind in ("file", "folder", "demo")

    @property
    def shown(self) -> str:
        """The target without a password, for people and logs."""
        return _SECRETS.sub("***", self.target)


def parse_source(source: int | str | Path) -> SourceSpec:
    """Return what a source's name means.

    Raises:
        ConfigError: it is none of the kinds, or a file or folder that is not there.
    """
    text = str(source).strip()
    if re.fullmatch(r"\d{1,4}", text):
        return SourceSpec("camera", text)
    if text == "demo" or text.startswith("demo:"):
        if text.partition(":")[2] not in ("", "attack", "alternate"):
            raise ConfigError(f"expected demo, demo:attack or demo:alternate, got {text!r}; choose one of these")
        return SourceSpec("demo", text)
    if " ! " in text:
        return SourceSpec("pipeline", text)
    if "://" in text:
        return _address(text)
    path = Path(text)
    if _CAMERA.fullmatch(text) or (text.startswith("/dev/") and path.exists()):
        return SourceSpec("camera", text)
    if text and path.is_dir():
        return SourceSpec("folder", text)
    if path.is_file():
        return SourceSpec("file", text)
    raise ConfigError(f"expected a source ({_KINDS}), got {text!r}, and there is no such file; check the name")


def _address(text: str) -> SourceSpec:
    spec = SourceSpec("url", text)
    try:
        parts = urlsplit(text)
        has_place = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_place = False
    else:
        if parts.scheme.lower() not in _SCHEMES:
            raise ConfigError(
                f"expected an address with {', '.join(_SCHEMES)}, got {spec.shown!r}; name a file by its path"
            )
    if not has_place:
        raise ConfigError(f"expected an address with a host, scheme://host:port/path, got {spec.shown!r}; check it")
    return spec
