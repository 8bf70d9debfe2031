from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx

from charloom.serving.connections import ACCEPTED_AT_ONCE, openable
from tests.proofs.running import running
from tests.serving.conftest import until

FEW = ACCEPTED_AT_ONCE + 64 + 20  # 20 of them for connections


def test_more_connections_than_files(trained: Path, tmp_path: Path) -> None:
    """Where the system allows few open files, the connections beyond them are refused as others are."""
    command = ("sh", "-c", f'ulimit -n {FEW}; exec "$@"', "sh", sys.executable, "-m", "charloom", "serve")
    with running(trained, log=tmp_path / "log", command=command) as server:
        held = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(100)]
        for connection in held:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found: Counter[bytes] = Counter()
        for connection in held:
            try:
                found[connection.recv(1000)[9:12]] += 1
            except ConnectionResetError:  # refused, and closed before its request was read
                found[b"503"] += 1
        for connection in held:
            connection.close()
        assert found == {b"200": 20, b"503": 80}
        until(lambda: httpx.get(f"{server.address}/health").status_code == 200)
    said = (tmp_path / "log").read_text("utf-8")
    assert "Traceback" not in said
    assert "out of system resource" not in said


def test_the_limit_of_open_files_is_raised_where_it_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert openable(5) == 5
    asked = "from charloom.serving.connections import openable; print(openable(300))"
    ran = subprocess.run(
        ["sh", "-c", 'ulimit -Sn 100; exec "$@"', "sh", sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    room = hard == resource.RLIM_INFINITY or hard >= 300 + FEW
    assert (int(ran.stdout) == 300) == room
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(soft, 5 + FEW)
