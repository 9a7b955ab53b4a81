"""Every peer by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from capgan_benchmarks.latency.own import RUNTIMES, Graph
from capgan_edge.errors import ConfigError

if TYPE_CHECKING:
    from capgan_benchmarks.latency.contestant import Contestant
    from capgan_export.source import Source

IN_TORCH = ("torch-eager", "torch-eager-victim", "torch-compile", "art-jpeg", "art-spatial-smoothing",
            "art-thermometer", "hgd", "ape-gan")  # fmt: skip
"""Need the pair's modules."""
PEERS = (*IN_TORCH, "ort-two-sessions")
ALL = "all"


def chosen_peers(wanted: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the peers and the runtimes of ours that are wanted; `all` is every one.

    Raises:
        ConfigError: there is none of a name.
    """
    known = (*PEERS, *RUNTIMES)
    unknown = [name for name in wanted if name not in (*known, ALL)]
    if unknown:
        raise ConfigError(f"--against takes {', '.join(known)} or {ALL}, got {unknown[0]!r}; name some of these")
    names = known if ALL in wanted else tuple(dict.fromkeys(wanted))
    return tuple(name for name in names if name in PEERS), tuple(name for name in names if name in RUNTIMES)


def make_peer(name: str, *, graph: Graph, source: Source | None, threads: int) -> Contestant:
    """Return a peer of the pair that `graph` was exported from.

    Raises:
        CapganError: it cannot be made here; says why.
    """
    from capgan_benchmarks.latency.peers import torch_peers
    from capgan_benchmarks.latency.peers.two_sessions import two_sessions

    if name == "ort-two-sessions":
        return two_sessions(graph, threads)
    if source is None:
        raise ConfigError(
            f"{name} needs the modules that the bundle was exported from, got a bundle alone; "
            "name a packaged pair or a run with --source"
        )
    if name.startswith("art-"):
        return torch_peers.art(name, source)
    makers = {
        "torch-eager": torch_peers.eager,
        "torch-eager-victim": torch_peers.eager_victim,
        "torch-compile": torch_peers.compiled,
        "hgd": torch_peers.hgd,
        "ape-gan": torch_peers.ape_gan,
    }
    return makers[name](source)
