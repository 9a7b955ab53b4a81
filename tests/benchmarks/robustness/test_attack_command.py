"""`capgan-edge attack`: a set of signs-nano, crafted once, written, refused, and scored again by another bundle."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from made_once import exported_signs
from rich.console import Console

from capgan_benchmarks.robustness.attack_session import config_of_one, num_images
from capgan_benchmarks.robustness.config import RobustnessConfig
from capgan_benchmarks.robustness.exported import SetFacts, read_manifest, read_set, write_set
from capgan_benchmarks.robustness.record import REPLAYED, unpacked
from capgan_benchmarks.robustness.replaying import read_replays
from capgan_benchmarks.robustness.report.curves import curves
from capgan_benchmarks.robustness.report.verdict import head
from capgan_benchmarks.robustness.running import prepare, run_robustness
from capgan_benchmarks.robustness.subject import find_subject
from capgan_benchmarks.robustness.systems import PAIR, VICTIM
from capgan_benchmarks.threats.crafting import craft_all, rows_of
from capgan_benchmarks.threats.defended import defended_from_source
from capgan_benchmarks.threats.end_to_end import EndToEnd
from capgan_edge.attacks import PGD
from capgan_edge.cli import main
from capgan_edge.data.images import ImageSet
from capgan_edge.data.signs.dataset import load_signs
from capgan_edge.errors import DataError
from capgan_export.source import find_source

ATTACK = EntryPoint("attack", "capgan_benchmarks.robustness.attack_command:app", "capgan_edge.commands")
NUM_IMAGES = 6


def attack(*arguments: str) -> int:
    return main(["attack", *arguments], parts=[ATTACK])


class Exported(NamedTuple):
    path: Path
    cache: Path
    bundle: str


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("sets")
    path, cache, bundle = folder / "set.npz", folder / "cache", exported_signs(tmp_path_factory).path
    code = attack(str(bundle), "--attack", "pgd-2", "--epsilon", "8", "--n", str(NUM_IMAGES), "--seed", "5",
                  "--batch", "4", "-o", str(path), "--cache", str(cache))  # fmt: skip
    assert code == 0
    return Exported(path, cache, str(bundle))


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return rows_of(load_signs("test", size_px=32, n=20), slice(NUM_IMAGES))


def test_the_file_holds_what_the_attack_makes_of_these_images(exported: Exported, images: ImageSet) -> None:
    scenario = EndToEnd(defended=defended_from_source(find_source("signs-nano")))
    wanted = craft_all(scenario, PGD(epsilon=8 / 255, steps=2, seed=5), images, batch=4)
    found = read_set(exported.path, images).crafted
    assert np.array_equal(found.frames_NHWC, wanted.frames_NHWC)
    assert (found.name, found.scenario, found.settings) == (wanted.name, wanted.scenario, wanted.settings)
    manifest = read_manifest(exported.path)
    assert (manifest.subject, manifest.seed, manifest.batch, manifest.epsilon) == ("signs-nano", 5, 4, 8 / 255)
    assert {VICTIM, PAIR, "model.fp32.onnx"} == set(manifest.systems)


def test_json_gives_the_manifest_and_the_accuracy_and_a_file_is_replaced_only_by_force(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "again.npz"
    arguments = (exported.bundle, "--attack", "pgd-2", "--n", str(NUM_IMAGES), "--seed", "5", "--batch", "4",
                 "-o", str(path), "--cache", str(exported.cache), "--json")  # fmt: skip
    path.write_bytes(b"mine")
    assert attack(*arguments) == 1
    assert json.loads(capsys.readouterr().out)["error"].startswith("expected a new file")
    assert path.read_bytes() == b"mine"
    assert attack(*arguments, "--force") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["attack"], said["n"]) == ("again.npz", "PGD-2", NUM_IMAGES)
    assert said["percent"] == 100 * said["num_right"] / NUM_IMAGES
    assert said["interval_95"][0] <= said["percent"] <= said["interval_95"][1]
    assert read_manifest(path).arrays == read_manifest(exported.path).arrays


class Refused(NamedTuple):
    name: str
    arguments: tuple[str, ...]
    message: str


REFUSED = [
    Refused("an attack that does not fit", ("--scenario", "stealthy", "--attack", "square-5"), "StealthyPGD, or PGD"),
    Refused("no such attack", ("--attack", "magic"), "expected an attack among"),
    Refused("no such scenario", ("--scenario", "magic"), "expected a threat model among"),
    Refused("two epsilons", ("--epsilon", "4,8"), "expected one epsilon"),
    Refused("an epsilon too large", ("--epsilon", "256"), "expected an epsilon in [0, 1]"),
    Refused("levels with a point", ("--epsilon", "8.0"), "levels of 255 in whole digits"),
    Refused("an epsilon below a level", ("--epsilon", "1e-3"), "at least one 8-bit level"),
    Refused("an INT8 graph that is not there", ("--scenario", "artifact-fake-quant"), "it needs an INT8 graph"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_does_not_apply_is_refused_in_a_line_and_nothing_is_written(
    case: Refused, exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set.npz"
    capsys.readouterr()
    options = ("--n", str(NUM_IMAGES), "-o", str(path), "--cache", str(tmp_path / "cache"))
    assert attack(exported.bundle, *options, *case.arguments) == 1
    said = capsys.readouterr()
    assert case.message in said.err
    assert said.err.count("\n") == 1
    assert not path.exists()


def test_a_set_crafted_on_an_artifact_says_which_and_keeps_to_its_frames(
    exported: Exported, images: ImageSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "asked.npz"
    options = ("--scenario", "artifact-query", "--attack", "square-2", "--n", str(NUM_IMAGES), "--cache",
               str(tmp_path / "cache"))  # fmt: skip
    assert attack(exported.bundle, *options, "-o", str(path)) == 0
    found = read_set(path, images).crafted
    assert (found.name, found.settings["artifact"]) == ("model.fp32.onnx: Square-2", "model.fp32.onnx")
    assert found.gradients_N.max() == 0
    assert np.abs(found.frames_NHWC.astype(int) - images.images_NHWC).max() == 8
    assert "model.fp32.onnx: Square-2 (artifact-query) at epsilon 8/255 on signs-nano: " in capsys.readouterr().out


def test_what_cannot_be_written_is_refused_before_anything_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "set.npz", Path("/proc/set.npz")):
        assert attack("no-such-subject", "-o", str(path)) == 1
        said = capsys.readouterr().err
        assert "expected to write" in said or "expected a folder to write to" in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("name", "n", "wanted"), [("cw", None, 1000), ("spsa", None, 256), ("pgd-40", None, None),
                                                   ("cw", 1500, 1500), ("square-10", 3, 3)])  # fmt: skip
def test_a_slow_attack_is_run_on_as_many_images_as_in_a_benchmark_unless_asked_for_more(
    name: str, n: int | None, wanted: int | None
) -> None:
    assert num_images(config_of_one("end-to-end", name, "8", subject="signs-nano", n=n)) == wanted


def test_a_folder_is_no_file_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attack("signs-nano", "-o", str(tmp_path), "--force") == 1
    assert "expected a file to write, got the folder" in capsys.readouterr().err


def test_a_set_that_was_exported_is_scored_as_a_cell_of_its_own(exported: Exported, images: ImageSet) -> None:
    config = RobustnessConfig(subject=exported.bundle, scenarios=("white-box-victim",), attacks=("fgsm",), n=NUM_IMAGES,
                              epsilons=(8 / 255,), seed=5, cache=exported.cache, replays=(exported.path,))  # fmt: skip
    with find_subject(config.subject) as subject:
        silent = Console(file=io.StringIO())
        record = run_robustness(config, subject, prepare(config, subject), silent).record
        crafted = read_set(exported.path, images).crafted
        for system in subject.systems:
            right_N = system.say(crafted.frames_NHWC).labels_N == images.labels_N
            (replayed,) = (cell for cell in record.cells if cell.scenario == REPLAYED)
            score = replayed.score_of(system.name)
            assert score is not None
            assert (unpacked(score) == right_N).all()
    manifest = read_manifest(exported.path)
    sha256 = manifest.arrays["frames_NHWC"]
    assert (replayed.epsilon, replayed.n) == (8 / 255, NUM_IMAGES)
    assert replayed.title == f"PGD-2, end-to-end on signs-nano, set {sha256[:8]} (replayed)"
    assert {name: replayed.settings[name] for name in (REPLAYED, "of_scenario", "of_subject", "of_systems")} == {
        REPLAYED: sha256, "of_scenario": "end-to-end", "of_subject": "signs-nano", "of_systems": manifest.systems,
    }  # fmt: skip
    assert replayed.targets[0] != VICTIM
    assert [threat.name for threat in record.threats] == ["white-box-victim", REPLAYED]
    assert (REPLAYED,) not in {worst.scenarios for worst in record.worst}
    headline = re.sub("<[^>]+>", "", head(record))
    assert "against one who does not know the defence" in headline
    assert "knows everything" not in headline
    assert REPLAYED not in curves(record)


def test_two_files_of_the_same_set_are_refused_before_anything_is_attacked_and_other_sets_have_other_names(
    exported: Exported, images: ImageSet, tmp_path: Path
) -> None:
    copy, other = tmp_path / "copy.npz", tmp_path / "other" / "set.npz"
    copy.write_bytes(exported.path.read_bytes())
    with pytest.raises(DataError, match=r"each set once, got .*copy\.npz and .*set\.npz with the same frames"):
        read_replays([exported.path, copy], images)
    found, manifest = read_set(exported.path, images).crafted, read_manifest(exported.path)
    facts = SetFacts(subject=manifest.subject, systems=manifest.systems, data=manifest.data, epsilon=manifest.epsilon,
                     seed=manifest.seed, batch=manifest.batch)  # fmt: skip
    write_set(other, replace(found, frames_NHWC=images.images_NHWC), images, facts)
    names = {replay.crafted.name for replay in read_replays([exported.path, other, other], images)}
    assert len(names) == 2


def test_a_set_of_other_images_is_refused_before_anything_is_attacked(exported: Exported, tmp_path: Path) -> None:
    config = RobustnessConfig(subject=exported.bundle, scenarios=("white-box-victim",), attacks=("fgsm",), n=5,
                              cache=tmp_path / "cache", replays=(exported.path,))  # fmt: skip
    with find_subject(config.subject) as subject:
        prepared = prepare(config, subject)
        with pytest.raises(DataError, match=r"at most the 5 images at hand, got one of 6 .*--n 6"):
            run_robustness(config, subject, prepared, Console(file=io.StringIO()))
    assert not (tmp_path / "cache").exists()
