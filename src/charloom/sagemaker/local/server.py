"""The server of an endpoint of this machine: started as SageMaker starts a container, and waited for."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from charloom.sagemaker.local.environment import container_environment
from charloom.sagemaker.local.logs import LOG, last_lines
from charloom.sagemaker.local.processes import Process, start

_READY_WITHIN = 240.0  # seconds, as SageMaker has it
_ANSWER_WITHIN = 2.0  # seconds for an answer to /ping
_PAUSE = 0.1
_LISTENING = "listening.json"
_LONGEST = 300  # characters of the server's last words in a message

# An alarm outlives exec: the server ends when its time is over, whatever becomes of all others.
_TIMED = "import os,signal,sys;signal.alarm(int(sys.argv[1]));os.execv(sys.executable,[sys.executable,*sys.argv[2:]])"


class NotServing(Exception):  # noqa: N818  (a state, for those who wait)
    """A server has ended, has failed to load its model, or takes too long; says why."""


def start_server(folder: Path, port: int, ttl: float | None, environment: Mapping[str, str]) -> Process:
    """Start `charloom serve` under the container contract, with the model in `folder`/opt/ml/model.

    Args:
        folder: the endpoint's; its log stands there too.
        port: where to listen on 127.0.0.1; 0 takes a free one.
        ttl: seconds until it ends by itself, or None.
        environment: more variables.
    """
    command = ["-P", "-m", "charloom", "serve", "--json"]
    if ttl is not None:
        command = ["-P", "-c", _TIMED, str(round(ttl)), *command]
    contract = {
        "SAGEMAKER_BASE_DIR": str(folder / "opt" / "ml"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "CHARLOOM_SERVE_HOST": "127.0.0.1",  # a container's port is nobody else's; this machine's would be
    }
    given = container_environment({**environment, **contract})
    with (folder / _LISTENING).open("wb") as said, (folder / LOG).open("wb") as log:
        return start([sys.executable, *command], folder, given, said, log)


def wait_until_serving(process: Process, folder: Path) -> int:
    """Wait until the server says that it can answer; the port that it listens on.

    Raises:
        NotServing: it cannot, or not within four minutes.
    """
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if not process.alive:
            raise NotServing(_last_words(folder, process))
        port = _port(folder / _LISTENING)
        if port is not None and _serves(port):
            return port
        time.sleep(_PAUSE)
    raise NotServing(f"/ping has not answered 200 within {_READY_WITHIN:.0f} s")


def _port(said: Path) -> int | None:
    try:
        return int(json.loads(said.read_bytes())["port"])
    except ValueError:  # it has said nothing yet, or half of it
        return None


def _serves(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_WITHIN)
    try:
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        told = answer.read(1 << 16)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    if answer.status != 200 and b'"failed"' in told:
        raise NotServing(str(json.loads(told).get("reason", "it has failed")))
    return answer.status == 200


def _last_words(folder: Path, process: Process) -> str:
    lines = [line for line in last_lines(folder / LOG) if line.strip()]
    spoken = [line.removeprefix("charloom: ") for line in lines if line.startswith("charloom: ")]
    status = process.status()
    words = (spoken or lines or [f"the server ended with status {status} and said nothing"])[-1]
    return words[:_LONGEST]
