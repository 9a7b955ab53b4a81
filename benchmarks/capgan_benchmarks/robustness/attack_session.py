"""What the command `attack` does: craft one attack of one threat model, and write it as a set that can be replayed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgan_benchmarks.robustness import attack_menu
from capgan_benchmarks.robustness.config import RobustnessConfig, epsilon_text, epsilons_from_text
from capgan_benchmarks.robustness.exported import SetFacts, SetManifest, write_set
from capgan_benchmarks.robustness.fitting import OF_ONE_ARTIFACT
from capgan_benchmarks.robustness.image_source import identity_of
from capgan_benchmarks.robustness.kept import kept_scenario
from capgan_benchmarks.robustness.planning import Job
from capgan_benchmarks.robustness.running import attack_of, cell_name
from capgan_benchmarks.robustness.store import BatchStore, store_root
from capgan_benchmarks.robustness.subject import Subject, find_subject
from capgan_benchmarks.robustness.writable import require_writable
from capgan_benchmarks.statistics import wilson_interval_percent
from capgan_benchmarks.threats.crafting import craft_all
from capgan_edge.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A set that was written, and how whoever is scored fares on it."""

    manifest: SetManifest
    num_right: int

    @property
    def facts(self) -> dict[str, Any]:
        """For machines."""
        low, high = wilson_interval_percent(self.num_right, self.manifest.n)
        return {**self.manifest.model_dump(mode="json"), "num_right": self.num_right,
                "percent": 100 * self.num_right / self.manifest.n, "interval_95": [low, high]}  # fmt: skip

    @property
    def words(self) -> str:
        """For people."""
        low, high = wilson_interval_percent(self.num_right, self.manifest.n)
        held = self.manifest
        return (
            f"{held.attack} ({held.scenario}) at epsilon {epsilon_text(held.epsilon)} on {held.subject}: "
            f"{100 * self.num_right / held.n:.1f} % right ({low:.1f} to {high:.1f}), n = {held.n} of {held.data.name}"
            f"{self._distance}"
        )

    @property
    def _distance(self) -> str:
        held = self.manifest
        if not held.num_fooled:
            return ""
        return f"; {held.num_fooled} fool what was attacked, mean L2 {held.sum_l2_fooled / held.num_fooled:.2f}"


def config_of_one(scenario: str, attack: str, epsilon: str, **options: Any) -> RobustnessConfig:
    """Return a benchmark of one threat model, one attack and one epsilon, at the attack's full length.

    Raises:
        ConfigError: there is no such thing, more than one, or an option is out of range.
    """
    attack_menu.require_attack(attack)
    epsilons = epsilons_from_text(epsilon)
    if len(epsilons) != 1:
        raise ConfigError(f"expected one epsilon, got {epsilon!r}; export one set for each")
    return RobustnessConfig(scenarios=(scenario,), attacks=(attack,), epsilons=epsilons, tier="standard", **options)


def run_command(config: RobustnessConfig, path: Path, *, is_replaced: bool, is_json: bool) -> None:
    """Craft what the config names, one scenario and one attack at one epsilon, and write it under `path`.

    Raises:
        CapganError: the file is there already, or something does not apply; batches that were done are kept, and the
            same command goes on from there.
    """
    from rich.console import Console

    _require_new(path, is_replaced=is_replaced)
    _require_packages()
    console = Console(stderr=True, soft_wrap=True)
    with find_subject(config.subject, artifacts=config.artifacts, data=config.data, against=config.against,
                      surrogate=config.surrogate, temperature=config.temperature,
                      allow_host_code=config.allow_host_code) as subject:  # fmt: skip
        made = make_set(config, subject, path, console)
    if is_json:
        sys.stdout.write(json.dumps({**made.facts, "path": path.name}, indent=2, allow_nan=False) + "\n")
    else:
        Console(soft_wrap=True).print(f"{made.words}\nwrote {path}", markup=False, highlight=False)


def num_images(config: RobustnessConfig) -> int | None:
    """Return how many images are attacked: as many as asked for, else of slow attacks as many as in a benchmark; None
    is all.
    """
    if config.n is not None:
        return config.n
    most = attack_menu.most_images(config.attacks[0], sys.maxsize)
    return None if most == sys.maxsize else most


def make_set(config: RobustnessConfig, subject: Subject, path: Path, console: Console) -> Made:
    """Craft the set, from the cache as far as it is there, and write it."""
    from rich.progress import Progress

    images, num_available = subject.data.load(num_images(config), config.seed, takes_fewer=config.n is None)
    if config.n is None and len(images) < num_available:
        console.print(f"{config.attacks[0]} is slow: the first {len(images)} of {num_available} images; --n takes more",
                      markup=False, highlight=False)  # fmt: skip
    job = _job_of(config, subject, len(images))
    store = BatchStore(store_root(config.cache), lambda line: console.print(line, markup=False, highlight=False))
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(job.title, total=len(images))
        scenario = kept_scenario(subject, job.scenario, job.artifact, store, lambda num, _: bar.advance(task, num))
        crafted = craft_all(scenario, attack_of(job, config), images, batch=config.batch)
    crafted = replace(
        crafted,
        name=cell_name(job, config),
        settings={**crafted.settings, **({} if job.artifact is None else {"artifact": job.artifact})},
    )
    facts = SetFacts(
        subject=subject.name, systems={system.name: system.identity.sha256 for system in subject.systems},
        data=identity_of(images, num_available=num_available, seed=config.seed),
        epsilon=job.epsilon, seed=config.seed, batch=config.batch,
    )  # fmt: skip
    manifest = write_set(path, crafted, images, facts)
    return Made(manifest=manifest, num_right=int((scenario.labels_of(crafted.frames_NHWC) == images.labels_N).sum()))


def _job_of(config: RobustnessConfig, subject: Subject, n: int) -> Job:
    """Return the one job; where the threat model is about one artifact, on the one named or the first that fits.

    Raises:
        ConfigError: the threat model does not apply to the subject.
    """
    ((scenario,), (attack,), (epsilon,)) = (config.scenarios, config.attacks, config.epsilons)
    subject.scenario(scenario, config.artifacts[0] if config.artifacts else None)
    artifact = None
    if scenario in OF_ONE_ARTIFACT:
        artifact = next(name for name in subject.artifacts if subject.why_not(scenario, name) is None)
    return Job(scenario=scenario, attack=attack, epsilon=epsilon if attack_menu.has_epsilon(attack) else None, n=n,
               artifact=artifact, passes=attack_menu.passes_of(attack, config.tier))  # fmt: skip


def _require_new(path: Path, *, is_replaced: bool) -> None:
    """Refuse what cannot be written before hours of attacks."""
    require_writable(path, "set.npz")
    if path.exists() and not is_replaced:
        raise ConfigError(f"expected a new file, got {path}, which is there; name another, or replace it with --force")


def _require_packages() -> None:
    from importlib.util import find_spec

    for package, extra in {"torch": "train", "onnx": "train", "onnxruntime": "cpu"}.items():
        if find_spec(package) is None:
            raise MissingDependencyError(package, "capgan-edge attack", f"cpu,{extra}")
