"""`charloom serve` as a process: it prints its address, drains when asked to end, and fails with a reason."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import charloom
from tests.cli.conftest import Charloom, one_line
from tests.serving.conftest import events, idle, metric, until

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def started(*arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its address."""
    command = [sys.executable, "-m", "charloom", "serve", *map(str, arguments), "--json"]
    if "SAGEMAKER_BIND_TO_PORT" not in environment:
        command += ["--port", "0"]
    settings = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())["address"]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGHUP, signal.SIGHUP]])
def test_asked_to_end_it_finishes_what_there_is(trained: Path, signals: list[signal.Signals]) -> None:
    limits = ("--max-tokens", "10000000", "--drain", "300s")
    with started(trained, *limits) as (process, address), httpx.Client(base_url=address, timeout=300) as client:
        assert client.get("/health").json() == {"status": "ok"}
        answers: list[str] = []
        body = {"prompt": "The ", "max_tokens": 600_000, "seed": 1, "stream": True}
        thread = threading.Thread(target=lambda: answers.append(client.post("/v1/completions", json=body).text))
        thread.start()
        until(lambda: metric(client, "num_requests_running") == 1)
        for each in signals:  # a closed terminal sends one SIGHUP, its shell another
            process.send_signal(each)
            until(lambda: client.get("/health").status_code == 503)
        refused = client.post("/v1/completions", json={})
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "draining"
        assert "retry-after" in refused.headers
        assert client.get("/ping").json()["status"] == "draining"
        thread.join()
        text = "".join(one["choices"][0]["text"] for one in events(answers[0]))
        assert text == charloom.load(trained, precision="auto").generate("The ", length=600_000, seed=1).text
        assert process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_asked_twice_to_end_it_finishes_nothing(trained: Path, second: signal.Signals) -> None:
    with started(trained, "--drain", "600s", "--max-tokens", "10000000") as (process, address):
        body = {"prompt": "", "max_tokens": 9_000_000, "stream": True}
        with (
            httpx.Client(base_url=address, timeout=300) as client,
            httpx.stream("POST", f"{address}/v1/completions", json=body, timeout=300) as answer,
        ):
            assert next(answer.iter_lines())
            process.send_signal(signal.SIGTERM)
            until(lambda: client.get("/health").status_code == 503)
            process.send_signal(second)
            assert process.wait(300) == (130 if second == signal.SIGINT else 0)


@pytest.mark.slow
def test_what_does_not_fit_in_the_time_is_given_up(trained: Path) -> None:
    limits = ("--drain", "0.2s", "--max-tokens", "10000000")
    with started(trained, *limits) as (process, address), httpx.Client(base_url=address, timeout=30) as client:
        answers: list[httpx.Response] = []
        bodies = [{"prompt": "", "max_tokens": 9_000_000, "stream": stream} for stream in (True, False)]
        threads = [
            threading.Thread(target=lambda body=body: answers.append(client.post("/v1/completions", json=body)))
            for body in bodies
        ]
        for thread in threads:
            thread.start()
        until(lambda: metric(client, "num_requests_running") == 2)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        whole, stream = sorted(answers, key=lambda answer: len(answer.text))
        assert whole.status_code == 503
        last = json.loads(stream.text.rstrip().split("\n\n")[-1].removeprefix("data: "))
        assert last["error"]["type"] == "unavailable_error"
        assert process.wait(20) == 0


def test_interrupted(trained: Path) -> None:
    with started(trained) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded(trained: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(trained, damaged)
    (damaged / "model.safetensors").write_bytes(b"no weights")
    with started(damaged, "--failure-linger", "2s") as (process, address):
        for path in ("/health", "/ping"):
            answer = httpx.get(address + path)
            assert answer.status_code == 503
            assert answer.json()["status"] == "failed"
            assert "model.safetensors" in answer.json()["reason"]
        refused = httpx.post(address + "/v1/completions", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "failed")
        assert process.wait(20) == 1
        assert process.stderr is not None
        *before, last = process.stderr.read().splitlines()
        assert last.startswith("charloom: a model could not be loaded: ")
        assert not any(line.startswith("serving ") for line in before)


def test_in_a_container(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "model")
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with started(SAGEMAKER_BASE_DIR=str(tmp_path), SAGEMAKER_BIND_TO_PORT=port) as (process, address):
        assert address == f"http://127.0.0.1:{port}"
        assert httpx.get(address + "/ping").status_code == 200
        answer = httpx.post(address + "/invocations", content=b"20-The ", headers={"content-type": "text/plain"})
        assert len(answer.text) == 20
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_errors_are_one_line(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    assert f"no such model directory: {tmp_path / 'missing'} (" in one_line(charloom("serve", tmp_path / "missing"))
    assert charloom("serve").status == 2
    assert "NAME=PATH" in one_line(charloom("serve", trained, trained))
    assert "max-rows" in one_line(charloom("serve", trained, "--max-rows", 0))
    assert "api-key-file" in one_line(charloom("serve", trained, "--api-key-file", tmp_path / "none"))
    assert "cannot listen" in one_line(charloom("serve", trained, "--host", "256.1.1.1", "--port", 0))


@pytest.mark.parametrize("given", ["", " ", ","])
def test_a_setting_of_keys_that_holds_none_starts_nothing(
    charloom: Charloom, trained: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("CHARLOOM_SERVE_API_KEY", given)
    ran = charloom("serve", trained, "--host", "0.0.0.0", "--port", 0)
    assert ran.status == 2
    assert "CHARLOOM_SERVE_API_KEY is set and holds no key" in one_line(ran)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["fastapi", "prometheus_client"])
def test_without_the_extra_it_says_what_to_install(trained: Path, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from charloom.cli.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "serve", str(trained)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr == "charloom: serving needs the 'serve' extra: pip install 'charloom[serve]'\n"


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)


@pytest.mark.slow
def test_the_page_on_serving_is_true(trained: Path, tmp_path: Path) -> None:
    """Its server starts with its options, its requests are answered, its Python runs."""
    page = ROOT / "docs" / "how-to" / "serve.md"
    (tmp_path / "keys.txt").write_text("a-key\n")
    for name in ("shakespeare", "names"):
        shutil.copytree(trained, tmp_path / "runs" / name)
    for block in _blocks(page, "toml"):
        (tmp_path / "serve.toml").write_text(block)
    commands = [line for block in _blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    servers = [shlex.split(line) for line in commands if line.startswith("charloom serve")]
    assert len(servers) >= 3
    with contextlib.chdir(tmp_path):
        for server in servers[1:]:
            with started(*server[2:]) as (_, address):
                assert httpx.get(address + "/health").status_code == 200
        with started(*servers[0][2:]) as (_, address):
            _ask_as_the_page_does(page, commands, address)


def _ask_as_the_page_does(page: Path, commands: list[str], address: str) -> None:
    asked = [line.replace("http://127.0.0.1:8000", address) for line in commands if line.startswith("curl")]
    assert len(asked) >= 3
    for line in asked:
        ran = subprocess.run(
            [*shlex.split(line), "-sS", "--fail"], capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, f"{line}\n{ran.stderr}"
        assert ran.stdout
    for block in _blocks(page, "python"):
        code = block.replace("http://127.0.0.1:8000", address)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout
    with httpx.Client(base_url=address) as client:
        until(lambda: idle(client))


@pytest.mark.slow
def test_a_server_that_is_ended_while_it_loads(trained: Path) -> None:
    """So many models that the signal comes before the last is loaded; those that are left are not begun."""
    many = [f"m{number}={trained}" for number in range(400)]
    with started(*many, "--quiet") as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
