"""From what was timed to the rows and ratios of a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from capgan_benchmarks.latency.contestant import Contestant
from capgan_benchmarks.latency.protocol import HEADLINE_PERCENT, Scenario
from capgan_benchmarks.latency.record import Ratio, Row
from capgan_benchmarks.latency.rounds import Timed
from capgan_benchmarks.latency.sample import early_stopping_ms, summarise
from capgan_benchmarks.statistics import percentile


def row_of(contestant: Contestant, timed: Timed, *, batch: int, scenario: Scenario) -> Row:
    """Return what is said of one contestant at one batch size."""
    whole_ms, engine_ms, host_ms = (
        [each for turn in turns for each in turn] for turns in (timed.end_to_end_ms, timed.engine_ms, timed.host_ms)
    )
    headline = HEADLINE_PERCENT[scenario]
    return Row(
        name=contestant.name,
        role=contestant.role,
        batch=batch,
        runtime=contestant.runtime,
        provider=contestant.provider,
        precision=contestant.precision,
        artifact=contestant.artifact,
        sha256=contestant.sha256,
        artifact_sha256=contestant.artifact_sha256,
        note=contestant.note,
        end_to_end=summarise(whole_ms, batch=batch),
        engine=summarise(engine_ms, batch=batch),
        host=summarise(host_ms, batch=batch),
        round_p50_ms=tuple(timed.medians_ms()),
        early_stopping_ms=None if headline is None else early_stopping_ms(whole_ms, headline),
    )


def ratios_of(contestants: Sequence[Contestant], timed: Mapping[str, Timed], *, batch: int) -> tuple[Ratio, ...]:
    """Return the price of every purified artifact, and everyone over the first of them."""
    pairs = (
        *(("price", *pair) for pair in _prices(contestants)),
        *(("against", *pair) for pair in _others(contestants)),
    )
    return tuple(_ratio(kind, name, reference, timed, batch) for kind, name, reference in pairs)


def _prices(contestants: Sequence[Contestant]) -> Iterator[tuple[str, str]]:
    """Yield each purified artifact with its classifier alone, and with the FP32 one of the same runtime."""
    victims = [each for each in contestants if each.role == "victim"]
    for each in contestants:
        if each.role != "purified":
            continue
        same_runtime = [victim for victim in victims if victim.runtime.removesuffix("-bf16") ==
                        each.runtime.removesuffix("-bf16")]  # fmt: skip
        for victim in same_runtime:
            is_own = (victim.artifact, victim.runtime) == (each.artifact, each.runtime)
            if is_own or (victim.precision == "fp32" and each.precision != "fp32"):
                yield each.name, victim.name


def _others(contestants: Sequence[Contestant]) -> Iterator[tuple[str, str]]:
    shipped = [each for each in contestants if each.role == "purified"]
    for each in (*shipped[1:], *(peer for peer in contestants if peer.role == "peer")):
        yield each.name, shipped[0].name


def _ratio(kind: str, name: str, reference: str, timed: Mapping[str, Timed], batch: int) -> Ratio:
    ours, theirs = timed[name], timed[reference]
    rounds = [a / b for a, b in zip(ours.medians_ms(), theirs.medians_ms(), strict=True)]
    whole, base = (percentile([each for turn in held.end_to_end_ms for each in turn], 50) for held in (ours, theirs))
    return Ratio.model_validate(
        {"kind": kind, "name": name, "reference": reference, "batch": batch, "value": whole / base,
         "low": min(rounds), "high": max(rounds), "num_rounds": len(rounds)}
    )  # fmt: skip
