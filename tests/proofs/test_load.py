"""Beside the largest requests that a server takes, small ones are answered soon, and memory is bounded.

CHARLOOM_LOAD_SECONDS (10) says how long each kind is tried; `scripts/prove` runs it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from generation import make_model
from tests.proofs import load
from tests.proofs.running import running

SECONDS = float(os.environ.get("CHARLOOM_LOAD_SECONDS", "10"))
PING, SMALL = 0.2, 2.0  # seconds, beyond what is seen beside nothing: other work may use this machine
MEMORY = 1 << 30
pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS * 60 + 900)]


def test_small_requests_beside_the_largest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict[str, load.Seen] = {}
    with running(make_model(tmp_path, 256), "--quiet") as server:
        for kind in load.KINDS:
            seen[kind] = asyncio.run(load.beside(server, kind, SECONDS))
            with capsys.disabled():
                print(seen[kind].line(kind))  # noqa: T201
    usual = seen["nothing"]
    for kind, found in seen.items():
        assert max(found.pings) <= PING + max(usual.pings), kind
        assert max(found.small) <= SMALL + max(usual.small), kind
        assert found.resident < MEMORY, kind
        assert not any(status >= 500 and status != 503 for status in found.statuses), kind
