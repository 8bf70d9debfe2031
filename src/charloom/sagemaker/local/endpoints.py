"""Endpoints on this machine: `charloom serve`, started as SageMaker starts a container."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from charloom.errors import CharloomError, UsageError
from charloom.events import LogLine, Notify, StatusChanged, ignore
from charloom.files import storage_errors
from charloom.sagemaker.local.records import (
    LOG,
    Process,
    container_environment,
    folder_of,
    hold_folder,
    last_lines,
    make_folder,
    read_record,
    recorded_names,
    start,
    write_record,
)

_READY_WITHIN = 240.0  # seconds, as SageMaker has it
_ANSWER_WITHIN = 2.0  # seconds for an answer to /ping
_PAUSE = 0.1
_LISTENING = "listening.json"
_LONGEST = 300  # characters of the server's last words in a message

# An alarm outlives exec: the server ends when its time is over, whatever becomes of all others.
_TIMED = "import os,signal,sys;signal.alarm(int(sys.argv[1]));os.execv(sys.executable,[sys.executable,*sys.argv[2:]])"

_PATIENCE = 30.0  # seconds between SIGTERM and SIGKILL, as SageMaker has it
_SHOWN = 20  # lines of the log of an endpoint that failed


class NotServing(Exception):  # noqa: N818  (a state, for those who wait)
    """A server has ended, has failed to load its model, or takes too long; says why."""


def start_server(folder: Path, port: int, ttl: float | None, environment: Mapping[str, str]) -> Process:
    """Start `charloom serve` under the container contract, with the model in `folder`/opt/ml/model."""
    command = ["-P", "-m", "charloom", "serve", "--json"]
    if ttl is not None:
        command = ["-P", "-c", _TIMED, str(round(ttl)), *command]
    contract = {
        "SAGEMAKER_BASE_DIR": str(folder / "opt" / "ml"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "CHARLOOM_SERVE_HOST": "127.0.0.1",  # a container's port is its own; this machine's would be shared
    }
    given = container_environment({**environment, **contract})
    with (folder / _LISTENING).open("wb") as said, (folder / LOG).open("wb") as log:
        return start([sys.executable, *command], folder, given, said, log)


def wait_until_serving(process: Process, folder: Path) -> int:
    """Wait until the server says that it can answer; the port that it listens on."""
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
        body = answer.read(1 << 16)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    if answer.status != 200 and b'"failed"' in body:
        raise NotServing(str(json.loads(body).get("reason", "it has failed")))
    return answer.status == 200


def _last_words(folder: Path, process: Process) -> str:
    lines = [line for line in last_lines(folder / LOG) if line.strip()]
    spoken = [line.removeprefix("charloom: ") for line in lines if line.startswith("charloom: ")]
    status = process.status()
    words = (spoken or lines or [f"the server ended with status {status} and said nothing"])[-1]
    return words[:_LONGEST]


class LocalEndpoint(BaseModel):
    """An endpoint of this machine, as its record says.

    Attributes:
        name: what it is called.
        model: the model directory or archive that it was made from.
        created: when.
        expires: when it ends by itself, if it does.
        port: where it listens, on 127.0.0.1.
        serving: whether it has answered that it can.
        process: the server's.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    created: datetime
    expires: datetime | None = None
    port: int = 0
    serving: bool = False
    process: Process | None = None

    @property
    def address(self) -> str:
        """Where it is asked, without a path: http://127.0.0.1:PORT."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether its server still runs."""
        return self.process is not None and self.process.alive

    @property
    def status(self) -> Literal["Creating", "InService", "Expired", "Failed"]:
        """Its state, in SageMaker's words."""
        if self.alive:
            return "InService" if self.serving else "Creating"
        return "Expired" if self.expires is not None and self.expires <= datetime.now(UTC) else "Failed"

    def stop(self) -> None:
        """End the server, at first politely; the record stays."""
        if self.process is not None:
            self.process.end(_PATIENCE)

    def log_lines(self, limit: int = 10_000) -> list[str]:
        """The last lines that the server has written."""
        return last_lines(folder_of("endpoints", self.name) / LOG, limit)


def deploy_here(
    name: str,
    model: Path,
    *,
    port: int = 0,
    ttl: float | None = None,
    environment: Mapping[str, str] | None = None,
    notify: Notify = ignore,
) -> LocalEndpoint:
    """Put a model behind an endpoint of this machine, and wait until it answers.

    The server goes on when this process ends; it listens on 127.0.0.1 alone.

    Args:
        name: what to call it.
        model: `model.tar.gz`, or a model directory, which is packed first so that the same thing is tried.
        port: where to listen; 0 takes a free one.
        ttl: seconds after which the server ends by itself.
        environment: variables for the server, such as CHARLOOM_SERVE_MAX_ROWS.
        notify: receives its states, and the log's last lines if it fails.

    Raises:
        UsageError: the name is not allowed or taken, or the ttl is none.
        CharloomError: the model cannot be served; the message has the server's last words. Nothing is left.
    """
    if ttl is not None and not 1 <= ttl < 2**31:
        raise UsageError(f"ttl = {ttl:g} s: a second at least, and 68 years at most")
    folder = make_folder("endpoints", name)
    with hold_folder(folder):
        check_free(name)
        try:
            return _deploy(folder, model, port, ttl, environment or {}, notify)
        except BaseException:
            _remove(folder)
            raise


def check_free(name: str) -> None:
    """Refuse the name of an endpoint that runs."""
    found = find(name)
    if found is not None and found.alive:
        raise UsageError(f"there is an endpoint {name} already, at {found.address}: give another --name")


def _deploy(
    folder: Path, model: Path, port: int, ttl: float | None, environment: Mapping[str, str], notify: Notify
) -> LocalEndpoint:
    name, now = folder.name, datetime.now(UTC)
    _clear(folder)
    notify(StatusChanged(name, "Creating"))
    _unpack(model, folder / "opt" / "ml" / "model", notify)
    expires = None if ttl is None else now + timedelta(seconds=ttl)
    endpoint = LocalEndpoint(name=name, model=str(model.absolute()), created=now, expires=expires)
    process = start_server(folder, port, ttl, environment)
    try:
        endpoint = endpoint.model_copy(update={"process": process})
        write_record(folder, endpoint)
        listening = wait_until_serving(process, folder)
        endpoint = endpoint.model_copy(update={"port": listening, "serving": True})
        write_record(folder, endpoint)
    except BaseException as error:
        process.end(_PATIENCE)
        if isinstance(error, NotServing):
            for line in last_lines(folder / LOG, _SHOWN):
                notify(LogLine(line))
            notify(StatusChanged(name, "Failed", str(error)))
            raise CharloomError(f"the endpoint {name} cannot serve: {error}") from error
        raise
    notify(StatusChanged(name, "InService", endpoint.address))
    return endpoint


def _unpack(model: Path, folder: Path, notify: Notify) -> None:
    from charloom.sagemaker.packaging import package
    from charloom.sagemaker.unpacking import unpack_model

    if not model.is_dir():
        unpack_model(model, folder)
        return
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        archive = Path(temporary) / "model.tar.gz"
        package(model, archive, check=False, notify=notify)  # it is about to serve: that is the check
        unpack_model(archive, folder)


def find(name: str) -> LocalEndpoint | None:
    """The endpoint of that name, running or not; None where there is none."""
    return read_record(folder_of("endpoints", name), LocalEndpoint)


def local_endpoints() -> list[LocalEndpoint]:
    """Every endpoint of this machine, running or not."""
    return [endpoint for name in recorded_names("endpoints") if (endpoint := find(name)) is not None]


def delete_here(name: str) -> bool:
    """End an endpoint and remove all that belongs to it; whether there was one.

    Raises:
        UsageError: no endpoint can have that name.
    """
    folder = folder_of("endpoints", name)
    endpoint = read_record(folder, LocalEndpoint)
    if endpoint is not None:
        endpoint.stop()
    there = folder.is_dir()
    _remove(folder)
    return there


def reap_here() -> list[str]:
    """Remove what endpoints that have expired or ended left; their names."""
    return [endpoint.name for endpoint in local_endpoints() if not endpoint.alive and delete_here(endpoint.name)]


def _clear(folder: Path) -> None:
    with storage_errors(folder):
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _remove(folder: Path) -> None:
    if folder.is_dir():
        with storage_errors(folder):
            shutil.rmtree(folder)
