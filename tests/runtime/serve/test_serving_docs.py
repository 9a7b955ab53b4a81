"""What the pages say of serving is done as they say it: their requests are sent, their options are the command's."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from serving import NAME, PATIENCE_S, Running

from capgan_edge.runtime.serve import limits
from capgan_edge.runtime.serve.command import app as serve_app
from capgan_edge.runtime.stream.command import app as run_app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "serving.md").read_text()
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def _options(app: typer.Typer) -> set[str]:
    command = typer.main.get_command(app)
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


OPTIONS = {"serve": _options(serve_app), "run": _options(run_app)}


def _hold_to_the_command(words: list[str]) -> None:
    """Every option after `capgan-edge serve` or `run` is one that the command has."""
    known = OPTIONS[words[0]]
    for word in words[1:]:
        if word.startswith("-"):
            assert word.partition("=")[0] in known, word


def _as_here(line: str, server: Running) -> str:
    """The page's server is at its default place and has 32 px; the test's has 8."""
    here = line.replace("http://127.0.0.1:8080", server.http).replace("/capgan", f"/{NAME}")
    return here.replace("32, 32", "8, 8").replace("3072", "192")


def _curl(line: str, folder: Path) -> bytes:
    words = shlex.split(line)
    data = None
    for option in ("-d", "--data-binary"):
        if option in words:
            data = (folder / words[words.index(option) + 1].removeprefix("@")).read_bytes()
    request = urllib.request.Request(words[-1], data)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def test_the_requests_of_the_page_are_answered(server: Running, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (20, 200, 30)).save(tmp_path / "sign.png")
    said: dict[str, Any] = {}
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL):
        for line in block.splitlines():
            here = _as_here(line, server)
            if here.startswith("python -c "):
                code, target = shlex.split(here)[2], here.rpartition("> ")[2]
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
                (tmp_path / target).write_bytes(done.stdout)
            else:
                assert here.startswith("curl -s ")
                said[here.rpartition("/")[2]] = _curl(here, tmp_path)
    assert json.loads(said["classify"])["label"] == "yield"
    names = [output["name"] for output in json.loads(said["infer"])["outputs"]]
    assert names == ["logits", "suspicion", "purified", "raw_logits"]
    assert json.loads(said["ready"]) == {"ready": True}
    assert json.loads(said[NAME])["inputs"][0]["shape"] == [-1, 8, 8, 3]
    assert json.loads(said["about"])["bundle_on_disk"] == "as loaded"
    assert b"capgan_serve_batch_frames_count" in said["metrics"]


def test_the_python_of_the_page_runs(server: Running) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    here = code.replace("127.0.0.1:8080", server.authority).replace('"capgan"', f'"{NAME}"').replace("32, 32", "8, 8")
    done = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("[")


def test_the_commands_of_the_page_have_the_options_that_it_names() -> None:
    commands = re.findall(r"^    capgan-edge (serve .*)$", PAGE, flags=re.MULTILINE)
    assert len(commands) == 2
    for line in commands:
        _hold_to_the_command(shlex.split(line))
    for option in re.findall(r"`(--[a-z-]+)`", PAGE):
        assert option in OPTIONS["serve"], option
    assert limits.Limits().max_open_requests == 2 * limits.Limits().max_queue
    assert limits.Limits().max_held_bytes == 8 * limits.Limits().max_body_bytes


def test_the_inference_service_starts_the_server_as_it_is() -> None:
    service = yaml.safe_load((DEPLOY / "kserve" / "inferenceservice.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    (container,) = predictor["containers"]
    _hold_to_the_command(container["args"])
    settings = dict(word.partition("=")[::2] for word in container["args"])
    assert predictor["terminationGracePeriodSeconds"] > float(settings["--grace-s"])
    port = int(settings["--port"])
    ready, live = "/v2/health/ready", "/v2/health/live"
    for probe, path in (("startupProbe", ready), ("readinessProbe", ready), ("livenessProbe", live)):
        assert container[probe]["httpGet"] == {"path": path, "port": port}
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 120  # an engine may take minutes to load
    assert container["ports"][0]["containerPort"] == port


@pytest.mark.parametrize("name", ["Dockerfile.x86", "Dockerfile.jetson"])
def test_the_images_start_the_server_as_it_is(name: str) -> None:
    text = (DEPLOY / "docker" / name).read_text()
    (command,) = re.findall(r"^CMD (.*)$", text, flags=re.MULTILINE)
    _hold_to_the_command(json.loads(command))
    assert 'ENTRYPOINT ["capgan-edge"]' in text
    extras = "".join(re.findall(r'"/src\[([a-z,]+)\]"', text)).split(",")
    project = (ROOT / "pyproject.toml").read_text()
    assert "serve" in extras
    for extra in extras:
        assert f"\n{extra} = [" in project


def _goes_to_docker(path: str, rules: list[str]) -> bool:
    """Say whether a file is part of the context: of the rules that fit it or a folder above it, the last one counts."""
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    is_in = True
    for rule in rules:
        plain = rule.removeprefix("!")
        names = [folder.rpartition("/")[2] for folder in above] if plain.startswith("**/") else above[:1]
        if any(fnmatch.fnmatchcase(name, plain.removeprefix("**/")) for name in names):
            is_in = rule.startswith("!")
    return is_in


def test_the_images_are_built_from_the_packages_and_from_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert all("/" not in rule.removeprefix("!").removeprefix("**/") for rule in rules)  # what `_goes_to_docker` knows
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [ROOT / "pyproject.toml", ROOT / project["project"]["readme"], ROOT / "LICENSE"]
    for part in project["tool"]["setuptools"]["packages"]["find"]["where"]:
        for package in (ROOT / part).glob("capgan_*"):
            if package.suffix != ".egg-info":
                needed += [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert len(needed) > 100
    for path in needed:
        assert _goes_to_docker(path.relative_to(ROOT).as_posix(), rules), path
    for name in (".git/HEAD", ".venv/bin/python", "bundle/model.fp32.onnx", "runs/1/last.pt", "token", "key.pem",
                 ".env",
                 "tests/conftest.py", "capgan_edge/__pycache__/cli.pyc", "capgan_edge.egg-info/PKG-INFO",
                 "benchmarks/results/a.json", "demo/a.mp4", "capgan_edge/.env"):  # fmt: skip
        assert not _goes_to_docker(name, rules), name


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_command_that_there_is_and_gives_it_time_to_end(unit: Path) -> None:
    lines = [line.partition("=") for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#")]
    held = {name: value for name, _, value in lines}
    words = shlex.split(held["ExecStart"])
    _hold_to_the_command(words[1:])
    assert float(held["TimeoutStopSec"]) > limits.Limits().grace_s
    assert held["RestartPreventExitStatus"] == "1 2"
    if words[1] == "run":
        assert "3" in held["RestartForceExitStatus"].split()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/capgan/bin/capgan-edge", sys.executable))  # which has to exist
    done = subprocess.run(["systemd-analyze", "verify", here], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    assert done.returncode == 0, done.stderr
