"""SageMaker's own toolkit of four functions serves our package and answers as our server does.

In an environment of its own, without our checkout: charloom comes out of the package. TorchServe needs Java
(Debian: default-jre-headless).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from charloom.sagemaker import pack_source
from charloom.sagemaker.packaging import package
from tests.proofs.toolkits import SERVING, install, made
from tests.sagemaker.asked import ANSWERED, PLAIN, REFUSED, Asked, comparable
from tests.serving.conftest import serving

HERE = Path(__file__).parent
STARTS_WITHIN = 240  # seconds
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def environment(base: Path, python: Path, **more: str) -> dict[str, str]:
    """Nothing of this environment's, so that charloom is found nowhere but in the package."""
    kept = ("LANG", "PIP_", "SSL_", "HTTP", "NO_PROXY", "no_proxy", "http", "JAVA", "HF_", "REQUESTS_")
    return {
        **{name: value for name, value in os.environ.items() if name.startswith(kept)},
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(base),
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_PROGRAM": (base / "program").read_text(),
        "SAGEMAKER_SUBMIT_DIRECTORY": str(base / "model/code"),
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        "OMP_NUM_THREADS": "1",
        **more,
    }


@pytest.fixture(scope="module", params=["inference.py", "train.py"])
def base(request: pytest.FixtureRequest, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A substitute for /opt/ml: our package, unpacked as SageMaker does; an estimator's source over it."""
    folder = tmp_path_factory.mktemp("ml")
    with tarfile.open(package(trained, folder / "model.tar.gz").path) as archive:
        archive.extractall(folder / "model", filter="data")
    if request.param == "train.py":
        (folder / "model/code/inference.py").unlink()
        with tarfile.open(pack_source(folder)) as archive:
            archive.extractall(folder / "model/code", filter="data")
    (folder / "program").write_text(request.param)
    return folder


@pytest.fixture(scope="module")
def python(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toolkit's environment; what the package asks for is installed into it as the toolkit does."""
    folder = made("serving", SERVING, tmp_path_factory)
    install(folder, "-r", base / "model/code/requirements.txt", cwd=base)
    return folder / "bin/python"


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[httpx.Client]:
    with serving({"model": trained}, precision="auto") as client:
        yield client


def ask(client: httpx.Client, asked: Asked) -> tuple[int, str, bytes]:
    headers = {"content-type": asked.content_type, "accept": asked.accept or "*/*"}
    answer = client.post("/invocations", content=asked.body, headers=headers)
    return answer.status_code, answer.headers.get("content-type", ""), comparable(answer.content)


def test_the_real_handler_answers_as_our_server(server: httpx.Client, base: Path, python: Path) -> None:
    corpus = [*ANSWERED, *REFUSED]
    lines = "".join(
        json.dumps(
            {
                "body": base64.b64encode(asked.body).decode(),
                "properties": {"Content-Type": asked.content_type, "Accept": asked.accept or "*/*"},
            }
        )
        + "\n"
        for asked in corpus
    )
    ran = subprocess.run(
        [python, HERE / "four_functions.py", "handler", base],
        input=lines,
        env=environment(base, python),
        cwd=base,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    *answers, last = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert len(answers) == len(corpus)
    for asked, answer in zip(corpus, answers, strict=True):
        body = base64.b64decode(answer["body"])
        assert b"Traceback" not in body
        assert (answer["status"], answer["type"], comparable(body)) == ask(server, asked), asked
    where = Path(last["charloom"])
    assert base in where.parents or where.parts[-3].startswith("charloom-"), "it came out of the package"


@pytest.fixture(scope="module")
def torchserve(base: Path, python: Path) -> Iterator[httpx.Client]:
    if shutil.which("java") is None:
        pytest.skip("TorchServe needs Java: apt-get install default-jre-headless")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    more = {"SAGEMAKER_BIND_TO_PORT": str(port), "TS_INFERENCE_ADDRESS": address, "TS_MANAGEMENT_ADDRESS": address}
    with (base / "torchserve.log").open("w") as log:
        process = subprocess.Popen(
            [python, HERE / "four_functions.py", "serve", base],
            env=environment(base, python, **more),
            cwd=base,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=address, timeout=60) as client:
            _until_it_answers(client, process, base / "torchserve.log")
            yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _until_it_answers(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            answer = client.post("/invocations", content=b"5-The ", headers={"content-type": PLAIN})
            if answer.status_code == 200:
                return
        time.sleep(1)
    raise AssertionError(log.read_text(errors="replace")[-4000:])


def test_all_of_torchserve_answers_as_our_server(server: httpx.Client, torchserve: httpx.Client) -> None:
    for asked in [*ANSWERED, *REFUSED]:
        status, kind, body = ask(torchserve, asked)
        assert b"Traceback" not in body
        assert (status, kind, body) == ask(server, asked), asked


def test_the_articles_request(torchserve: httpx.Client) -> None:
    answer = torchserve.post("/invocations", content=b"100-you are ", headers={"content-type": PLAIN})
    assert answer.status_code == 200
    assert answer.text.startswith("you are ")
    assert len(answer.text) == 100
