"""The server as a process: the command, signals, secrets, and what it says when it cannot start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

import grpc_calls
import numpy as np
import pytest
from client_process import ClientProcess
from serving import PATIENCE_S, frames_of, json_request, logits_of

from capgan_edge.cli import GROUP, main
from capgan_edge.runtime.bundle import Bundle

HERE = Path(__file__).parent
SERVE = [EntryPoint("serve", "capgan_edge.runtime.serve.command:app", GROUP)]
COMMAND = """
import sys
from importlib.metadata import EntryPoint
from capgan_edge.cli import GROUP, main
sys.exit(main(["serve", *sys.argv[1:]], [EntryPoint("serve", "capgan_edge.runtime.serve.command:app", GROUP)]))
"""


class Process(NamedTuple):
    popen: subprocess.Popen[str]
    said: dict[str, Any]

    def end(self, sig: int = signal.SIGTERM) -> tuple[int, str]:
        """Return the exit code and what came on stderr."""
        self.popen.send_signal(sig)
        _, err = self.popen.communicate(timeout=PATIENCE_S)
        return self.popen.returncode, err


@contextmanager
def process(*words: str) -> Iterator[Process]:
    """Start Python with these words; the first line on stdout is JSON."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    popen = subprocess.Popen([sys.executable, *words], env=environment, text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)  # fmt: skip
    watchdog = threading.Timer(2 * PATIENCE_S, popen.kill)
    watchdog.start()
    try:
        assert popen.stdout is not None
        assert popen.stderr is not None
        line = popen.stdout.readline()
        if not line:
            pytest.fail(popen.stderr.read())
        yield Process(popen, json.loads(line))
    finally:
        watchdog.cancel()
        popen.kill()
        popen.communicate()


def command(bundle: Bundle, *options: str) -> Sequence[str]:
    settings = ("--port", "0", "--grpc-port", "0", "--backend", "cpu", "--threads", "1", "--json", *options)
    return ("-c", COMMAND, str(bundle.path), *settings)


def ask(url: str, body: Any = None, *, token: str | None = None, certificate: Path | None = None) -> tuple[int, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    context = None if certificate is None else ssl.create_default_context(cafile=str(certificate))
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_command_serves_and_a_signal_ends_it_with_0(sig: int, shared_bundle: Bundle) -> None:
    with process(*command(shared_bundle, "--name", "signs")) as server:
        said = server.said
        assert (said["name"], said["precision"], said["card"]) == ("signs", "fp32", "none")
        assert said["http"].startswith("http://127.0.0.1:")
        frames = frames_of(2)
        status, answer = ask(f"{said['http']}/v2/models/signs/infer", json_request(frames))
        assert status == 200
        np.testing.assert_allclose(answer["outputs"][0]["data"], logits_of(frames).reshape(-1), rtol=1e-5)
        code, err = server.end(sig)
    assert code == 0
    assert [line for line in err.splitlines() if line] == [
        "note: model.fp32.onnx: expected a passing robustness card, got none; make one with capgan-edge verify"
    ]


def test_sigterm_under_load_finishes_what_is_in_flight_over_rest_and_grpc(
    shared_bundle: Bundle, client_process: ClientProcess
) -> None:
    rest = [frames_of(1, seed=number) for number in range(8)]
    rpc = [frames_of(1, seed=100 + number) for number in range(4)]
    with process(str(HERE / "slow_server.py"), str(shared_bundle.path), "0.2") as server:
        base, address = server.said["http"], server.said["grpc"]
        with ThreadPoolExecutor(9) as pool:
            later = pool.submit(client_process, grpc_calls.infer_at_once, address, rpc)
            asked = [pool.submit(ask, f"{base}/v2/models/tiny/infer", json_request(frames)) for frames in rest]
            _wait_until_all_wait(base, len(rest) + len(rpc))
            server.popen.send_signal(signal.SIGTERM)
            answers = [future.result(PATIENCE_S) for future in asked]
            from_rpc = later.result(PATIENCE_S)
        code, err = server.end(0)
    for frames, (status, answer) in zip(rest, answers, strict=True):
        assert status == 200
        np.testing.assert_allclose(answer["outputs"][0]["data"], logits_of(frames)[0], rtol=1e-5)
    for frames, answer in zip(rpc, from_rpc, strict=True):
        np.testing.assert_allclose(answer["arrays"]["logits"], logits_of(frames), rtol=1e-5)
    assert (code, err) == (0, "")


def _wait_until_all_wait(base: str, num_frames: int) -> None:
    """Return when every request has been read; the engine may have begun, or even answered, the first few."""
    deadline_s = time.monotonic() + PATIENCE_S
    seen = 0.0
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(f"{base}/metrics", timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        held = {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("capgan_serve_")}
        begun = held["capgan_serve_batch_frames_sum"] - 4  # the warm-up's
        seen = begun + held["capgan_serve_waiting_frames"]
        if seen == num_frames:
            assert held["capgan_serve_waiting_frames"] > 0, "the engine was too fast for this test"
            return
        time.sleep(0.01)
    pytest.fail(f"expected {num_frames} frames to wait, got {seen}")


@contextmanager
def loading(bundle: Bundle, folder: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[], None]]]:
    """A server that waits for its token, and a function that gives it: before that, it has loaded nothing."""
    pipe = folder / "token"
    os.mkfifo(pipe)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, *command(bundle, "--token-file", str(pipe))]
    popen = subprocess.Popen(words, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watchdog = threading.Timer(2 * PATIENCE_S, popen.kill)
    watchdog.start()
    try:
        with pipe.open("w") as held:  # opens once the other side reads

            def give() -> None:
                held.write("a-token-of-more-than-16-letters\n")
                held.close()

            yield popen, give
    finally:
        watchdog.cancel()
        popen.kill()
        popen.communicate()


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_before_there_is_anything_to_stop_ends_it_with_0(
    sig: int, shared_bundle: Bundle, tmp_path: Path
) -> None:
    with loading(shared_bundle, tmp_path) as (popen, give):
        popen.send_signal(sig)
        give()
        assert popen.communicate(timeout=PATIENCE_S) == ("", "")
        assert popen.returncode == 0


def test_a_second_signal_while_it_loads_ends_it_at_once(shared_bundle: Bundle, tmp_path: Path) -> None:
    with loading(shared_bundle, tmp_path) as (popen, _):
        popen.send_signal(signal.SIGTERM)
        popen.send_signal(signal.SIGINT)
        assert popen.wait(PATIENCE_S) in (-signal.SIGINT, -signal.SIGTERM)  # whichever Python saw last


def test_a_second_signal_does_not_wait_for_what_is_in_flight(shared_bundle: Bundle) -> None:
    with process(str(HERE / "slow_server.py"), str(shared_bundle.path), "0") as server:
        host, port = server.said["http"].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as client:
            head = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
            client.sendall(head.encode())  # and no body
            _wait_for_open_requests(server.said["http"], 1)
            server.popen.send_signal(signal.SIGTERM)
            _wait_until_closed(host, int(port))
            assert server.popen.poll() is None
            code, err = server.end(signal.SIGINT)
    assert (code, err) == (-signal.SIGINT, "")


def _wait_for_open_requests(base: str, num_requests: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with urllib.request.urlopen(f"{base}/metrics", timeout=PATIENCE_S) as answer:
            if f"capgan_serve_open_requests {num_requests}.0" in answer.read().decode():
                return
        time.sleep(0.01)
    pytest.fail("expected the request to be open")


def _wait_until_closed(host: str, port: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection((host, port), PATIENCE_S).close()
        except OSError:
            return
        time.sleep(0.01)
    pytest.fail("expected the server to listen no more")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_with_tls_and_a_token_only_who_bears_it_comes_in(
    shared_bundle: Bundle, tls: tuple[Path, Path], tmp_path: Path, client_process: ClientProcess
) -> None:
    token, held = "a-token-of-more-than-16-letters", tmp_path / "token"
    held.write_text(token + "\n")
    certificate, key = tls
    options = ("--token-file", str(held), "--tls-cert", str(certificate), "--tls-key", str(key))
    frames = frames_of(1)
    with process(*command(shared_bundle, *options)) as server:
        base, address = server.said["http"], server.said["grpc"]
        assert base.startswith("https://")
        url = f"{base}/v2/models/capgan/infer"
        assert ask(url, json_request(frames), token=token, certificate=certificate)[0] == 200
        for wrong in (None, "another", token + "x", ""):
            status, said = ask(url, json_request(frames), token=wrong, certificate=certificate)
            assert (status, list(said)) == (401, ["error"])
        assert ask(f"{base}/v2/models/capgan", certificate=certificate)[0] == 401
        assert ask(f"{base}/v2/health/ready", certificate=certificate) == (200, {"ready": True})
        trusted = {"model": "capgan", "certificate": str(certificate)}
        said = client_process(grpc_calls.infer, address, frames, token=token, **trusted)
        np.testing.assert_allclose(said["arrays"]["logits"], logits_of(frames), rtol=1e-5)
        said = client_process(grpc_calls.infer, address, frames, **trusted)
        assert "UNAUTHENTICATED]" in said["error"]
        assert said["is_ready"]  # health is asked without a token
        code, err = server.end()
    assert code == 0
    assert token not in err


class Refused(NamedTuple):
    name: str
    words: tuple[str, ...]
    message: str


REFUSED = [
    Refused("no bundle", ("none",), "expected a bundle (a directory) at"),
    Refused("backend", ("bundle", "--backend", "abacus"), "backend is one of"),
    Refused("card", ("bundle", "--backend", "cpu", "--require-card"), "expected a passing robustness card, got none"),
    Refused("name", ("bundle", "--name", "a/b"), "expected a name of letters"),
    Refused("short token", ("bundle", "--token-file", "short"), "at least 16 printable characters"),
    Refused("no token", ("bundle", "--token-file", "none"), "expected a token in"),
    Refused("half of TLS", ("bundle", "--tls-cert", "junk.pem"), "give both or neither"),
    Refused("no certificate", ("bundle", "--tls-cert", "junk.pem", "--tls-key", "junk.pem"), "give both as PEM files"),
    Refused("host", ("bundle", "--backend", "cpu", "--host", "256.1.1.1"), "expected to serve on 256.1.1.1"),
    Refused("batch", ("bundle", "--backend", "cpu", "--max-batch", "65"), "expected --max-batch of at most 64"),
    Refused("body", ("bundle", "--max-body-mib", "0"), "max_body_mib is above 0"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_server_that_cannot_start_says_why_in_one_line(
    case: Refused, bundle_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundle_path.parent)
    Path("short").write_text("secret")
    Path("junk.pem").write_text("junk")
    assert main(["serve", *case.words], SERVE) == 1
    out, err = capsys.readouterr()
    assert out == ""
    errors = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert case.message in errors[0]


def test_without_kserve_the_command_names_the_extra() -> None:
    code = """
import sys
sys.modules["kserve"] = None
from importlib.metadata import EntryPoint
from capgan_edge.cli import GROUP, main
sys.exit(main(["serve"], [EntryPoint("serve", "capgan_edge.runtime.serve.command:app", GROUP)]))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert "pip install 'capgan-edge[serve]'" in done.stderr
