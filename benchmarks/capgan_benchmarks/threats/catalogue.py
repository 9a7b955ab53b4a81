"""Every threat model in words, for those who choose among them and for reports; needs no torch."""

from __future__ import annotations

from capgan_benchmarks.threats.artifact_fake_quant import ArtifactFakeQuant
from capgan_benchmarks.threats.artifact_query import ArtifactQuery
from capgan_benchmarks.threats.artifact_transfer import ArtifactTransfer
from capgan_benchmarks.threats.bpda import Bpda
from capgan_benchmarks.threats.class_head import ClassHead
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_benchmarks.threats.query import Query
from capgan_benchmarks.threats.scenario import Scenario, Threat
from capgan_benchmarks.threats.stealthy import Stealthy
from capgan_benchmarks.threats.transfer import Transfer
from capgan_benchmarks.threats.white_box_victim import WhiteBoxVictim
from capgan_edge.errors import ConfigError

SCENARIOS: tuple[type[Scenario], ...] = (
    Transfer, WhiteBoxVictim, Bpda, Query, EndToEnd, ClassHead, Stealthy, ArtifactTransfer, ArtifactQuery,
    ArtifactFakeQuant,
)  # fmt: skip
THREATS: tuple[Threat, ...] = tuple(scenario.threat for scenario in SCENARIOS)
"""From the least that an attacker knows of a pair to the most, then those about an artifact."""


def threat_named(name: str) -> Threat:
    """Return the threat model of that name.

    Raises:
        ConfigError: there is none.
    """
    found = next((threat for threat in THREATS if threat.name == name), None)
    if found is None:
        names = ", ".join(threat.name for threat in THREATS)
        raise ConfigError(f"expected a threat model among {names}, got {name!r}; name one of these")
    return found
