"""A pretended Amazon: moto's server, which real boto3 talks to."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from moto.server import ThreadedMotoServer

import charloom
from charloom.runtime.model import Model
from charloom.sagemaker.aws import ROLE, Account, connect
from tests.cli.conftest import charloom as cli  # noqa: F401  (a fixture: the command line in this process)
from tests.serving.conftest import serving

from .fake_amazon import FakeAmazon

REGION = "eu-west-1"


@pytest.fixture(scope="session")
def moto_address() -> Iterator[str]:
    """The server, the whole session long."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def pretended(moto_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything is sent to an account with nothing in it; subprocesses' requests too."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_address}/moto-api/reset", method="POST"), timeout=10).close()
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", ROLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_address)
    return moto_address


@pytest.fixture
def account(pretended: str) -> Account:
    """The pretended account."""
    return connect()


@pytest.fixture
def fake(pretended: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAmazon]:
    """The same account, behind a fake that can fail, refuse and answer for endpoints; it is not waited for."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *context: 0.0)
    hurried = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
    for module in ("waiting", "cloudwatch", "jobs.follow", "hosting.states"):
        monkeypatch.setattr(f"charloom.sagemaker.{module}.time", hurried)
    found = FakeAmazon(pretended, REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
    yield found
    found.close()


@pytest.fixture(scope="session")
def model(trained: Path) -> Model:
    """What the server below writes with, to compare."""
    return charloom.load(trained, precision="int8")


@pytest.fixture(scope="session")
def server(trained: Path) -> Iterator[str]:
    """The address of a real server of the small model, as a container would run it."""
    with serving({"small": trained}) as client:
        yield str(client.base_url).rstrip("/")
