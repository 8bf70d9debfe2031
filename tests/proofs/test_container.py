"""What docker/serve.Dockerfile makes, without Docker: its installation, its command, in SageMaker's surroundings."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "docker/serve.Dockerfile").read_text("utf-8")
UNPRIVILEGED = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
STARTS_WITHIN, ENDS_WITHIN = 240, 30  # seconds: SageMaker's
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: object) -> str:
    line = [str(part) for part in command]
    ran = subprocess.run(
        line, capture_output=True, text=True, timeout=600, check=False, env={**os.environ, "PYTHONPATH": ""}
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def instruction(name: str) -> list[str]:
    """An instruction of the Dockerfile that is in exec form."""
    (form,) = re.findall(rf"^{name} (.*)$", DOCKERFILE, re.M)
    parts: list[str] = json.loads(form)
    return parts


@dataclass(frozen=True)
class Image:
    """A substitute for the image: a fresh environment with the wheel, and a folder that all users may read."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "venv/bin/python"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    folder = Path(tempfile.mkdtemp(prefix="charloom-image-"))
    folder.chmod(0o755)  # pytest's own folders are for their user alone
    try:
        built = Image(folder)
        run(sys.executable, "-m", "venv", folder / "venv")
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, ROOT)
        (wheel,) = folder.glob("*.whl")
        constraints = ROOT / "constraints.txt"
        run(
            built.python, "-m", "pip", "install", "-q", "--no-cache-dir", "--constraint", constraints, f"{wheel}[serve]"
        )
        yield built
    finally:
        shutil.rmtree(folder)


def base_with(image: Image, model: Path | None) -> Path:
    """A tree such as /opt/ml, its model read-only."""
    base = Path(tempfile.mkdtemp(dir=image.folder))
    base.chmod(0o755)
    if model is not None:
        shutil.copytree(model, base / "model")
        for path in (base / "model", *(base / "model").rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    return base


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def container(
    image: Image, base: Path, *, user: Sequence[str] = (), **settings: str
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """`docker run IMAGE serve`."""
    port = free_port()
    environment = {
        "PATH": f"{image.python.parent}:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "CHARLOOM_SERVE_HOST": "127.0.0.1",  # a test lets no other machines in
        **{f"CHARLOOM_SERVE_{name.upper()}": value for name, value in settings.items()},
        **dict(part.split("=") for line in re.findall(r"^ENV (.*)$", DOCKERFILE, re.M) for part in line.split()),
    }
    command = [*user, *instruction("ENTRYPOINT"), "serve"]
    with subprocess.Popen(command, env=environment, cwd="/", stderr=subprocess.PIPE) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield client, process
        finally:
            process.kill()


def pinged(client: httpx.Client, *statuses: int) -> httpx.Response:
    """The first answer to /ping with one of these statuses."""
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end:
        try:
            answer = client.get("/ping", timeout=2)
            if answer.status_code in statuses:
                return answer
        except httpx.ConnectError:
            pass
        time.sleep(0.05)
    raise AssertionError("no such answer came")


def ended(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    return process.wait(ENDS_WITHIN)


def test_the_command_is_serve() -> None:
    assert [*instruction("ENTRYPOINT"), *instruction("CMD")] == ["charloom", "serve"]


def test_no_torch_is_in_it(image: Image) -> None:
    names = {line.partition("==")[0] for line in run(image.python, "-m", "pip", "list", "--format=freeze").split()}
    assert {"charloom", "uvicorn"} <= names
    assert not names & {"torch", "onnx", "matplotlib", "mlflow-skinny", "boto3"}


@pytest.mark.parametrize("user", [(), UNPRIVILEGED], ids=["root", "unprivileged"])
def test_serve(image: Image, trained: Path, user: tuple[str, ...]) -> None:
    if user and os.getuid():
        pytest.skip("only root may become another user")
    base = base_with(image, trained)
    with container(image, base, user=user) as (client, process):
        assert pinged(client, 200).json() == {"status": "ok"}
        asked = {"prompt": "The ", "max_tokens": 20, "seed": 1}
        answer = client.post("/invocations", json=asked)
        text = answer.json()["choices"][0]["text"]
        assert len(text) == 20
        lines = "".join(json.dumps({**asked, "seed": seed}) + "\n" for seed in (1, 2))
        answer = client.post("/invocations", content=lines, headers={"content-type": "application/jsonlines"})
        found = [json.loads(line)["choices"][0]["text"] for line in answer.text.splitlines()]
        assert (found[0], len(found)) == (text, 2)
        answer = client.post("/invocations", content="100-you are ", headers={"content-type": "text/plain"})
        assert (len(answer.text), answer.text[:8]) == (100, "you are ")
        assert client.post("/invocations", content="a", headers={"content-type": "image/png"}).status_code == 415
        assert ended(process) == 0
    assert {path.name for path in base.iterdir()} == {"model"}  # nothing was written


def test_a_stream_is_finished_when_the_server_has_to_end(image: Image, trained: Path) -> None:
    with container(image, base_with(image, trained)) as (client, process):
        pinged(client, 200)
        asked = {"prompt": "The ", "max_tokens": 5_000, "stream": True}
        with client.stream("POST", "/invocations", json=asked) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.terminate()
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert process.wait(ENDS_WITHIN) == 0


@pytest.mark.parametrize("folder", [False, True], ids=["nothing", "an empty folder"])
def test_without_a_model_ping_says_why(image: Image, folder: bool) -> None:
    base = base_with(image, None)
    if folder:
        (base / "model").mkdir()
    with container(image, base, failure_linger="5s") as (client, process):
        answer = pinged(client, 503)
        while answer.json()["status"] == "loading":
            answer = pinged(client, 503)
        assert answer.json()["status"] == "failed"
        assert str(base / "model") in answer.json()["reason"]
        assert client.post("/invocations", json={"prompt": ""}).status_code == 503
        assert process.wait(ENDS_WITHIN) == 1
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert str(base / "model") in said
    assert "Traceback" not in said
