from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.conftest import ROOT
from tests.hub.stand_in import Hub, hub_on_this_machine

Run = Callable[..., Ran]
RunAll = Callable[..., list[Ran]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_on_this_machine() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the hub's library keeps what it fetched."""
    return tmp_path / "hf-home"


@pytest.fixture
def environment(hub: Hub, home: Path) -> dict[str, str]:
    """For a program that is to meet the stand-in, without a token."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return {**own, "HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}


@pytest.fixture
def run_all(environment: dict[str, str]) -> RunAll:
    """Run several commands in one other process: the hub's library reads the environment once, at its import."""

    def call(commands: Sequence[Sequence[object]], folder: Path = ROOT, **more: str) -> list[Ran]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests" / "hub" / "many.py")],
            cwd=folder,
            env={**environment, **more},
            input=json.dumps([[str(argument) for argument in command] for command in commands]),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [Ran(*ran) for ran in json.loads(done.stdout)]

    return call


@pytest.fixture
def run(run_all: RunAll) -> Run:
    """Run one command in another process."""
    return lambda *arguments, **more: run_all([arguments], **more)[0]


@pytest.fixture
def on_the_hub(hub: Hub, trained: Path) -> str:
    """A public model's address."""
    hub.add("ann/small", {file.name: file.read_bytes() for file in trained.iterdir() if file.is_file()})
    return "hf://ann/small"
