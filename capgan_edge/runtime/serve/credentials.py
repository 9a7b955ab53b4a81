"""The files that a server's secrets come from: a token, and a certificate with its key."""

from __future__ import annotations

import ssl
from pathlib import Path

from capgan_edge.errors import ConfigError

_MIN_TOKEN = 16


def token_from_file(path: Path) -> str:
    """Return the one line of a file: a file, since other users see the options of a process.

    Raises:
        ConfigError: it cannot be read, or holds no token worth the name.
    """
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a token in {path}, but: {error}; write one line of ASCII there") from error
    if len(token) < _MIN_TOKEN or not token.isprintable() or " " in token:
        raise ConfigError(
            f"expected a token of at least {_MIN_TOKEN} printable characters on one line in {path}, got {len(token)}; "
            "make one with: openssl rand -hex 32"
        )
    return token


def check_tls(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Return both paths, or None where neither is given.

    Raises:
        ConfigError: one is given without the other, or the two are no certificate and its key.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("expected --tls-cert and --tls-key, got one of them; give both or neither")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"expected a certificate in {certificate} and its key in {key}, but: {error}; give both as PEM files"
        ) from error
    return certificate, key
