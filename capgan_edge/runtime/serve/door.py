"""The one door to KServe: every module here that imports it at its top is imported after `open_kserve`."""

from __future__ import annotations

import logging
import sys

from capgan_edge.errors import MissingDependencyError


def open_kserve() -> None:
    """Import KServe, out of reach of our command line and without its logging.

    KServe parses `sys.argv` when it is imported, and takes abbreviations of its own options there; a server that finds
    its logger without a handler replaces the logging of the whole process.

    Raises:
        MissingDependencyError: it is not installed.
    """
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        import kserve.model_server  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(error.name or "kserve", "serving a bundle", "serve") from error
    finally:
        sys.argv = arguments
    logger = logging.getLogger("kserve")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
