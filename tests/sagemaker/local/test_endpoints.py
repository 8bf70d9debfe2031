from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from charloom.errors import CharloomError, StorageError, UsageError
from charloom.events import Event, LogLine, StatusChanged
from charloom.sagemaker.local.endpoints import LocalEndpoint, delete_here, deploy_here, find, local_endpoints, reap_here
from charloom.sagemaker.local.job import delete_job
from charloom.sagemaker.local.records import Process, folder_of, this_process, write_record


def lives(endpoint: LocalEndpoint) -> bool:
    return endpoint.alive


def wait_for_end(endpoint: LocalEndpoint) -> None:
    deadline = time.monotonic() + 600
    while lives(endpoint) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives(endpoint)


def listening_on(port: int) -> list[str]:
    """The addresses that this machine listens on at a port, as Linux writes them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return [line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")]


def test_a_model_is_served_until_it_is_deleted(trained: Path, own_home: Path) -> None:
    events: list[Event] = []
    endpoint = deploy_here("mine", trained, environment={"CHARLOOM_SERVE_MAX_TOKENS": "50"}, notify=events.append)
    assert [event.status for event in events if isinstance(event, StatusChanged)] == ["Creating", "InService"]
    answer = httpx.post(f"{endpoint.address}/invocations", content="40-The ", headers={"content-type": "text/plain"})
    assert answer.status_code == 200
    assert len(answer.text) == 40
    assert answer.text.startswith("The ")
    refused = httpx.post(f"{endpoint.address}/invocations", json={"prompt": "The ", "max_tokens": 51})
    assert refused.status_code == 400, "the container's environment is the one that was given"
    if Path("/proc/net/tcp").exists():
        assert listening_on(endpoint.port) == [f"0100007F:{endpoint.port:04X}"], "no other machine may ask"
    assert find("mine") == endpoint
    assert [one.name for one in local_endpoints() if one.alive] == ["mine"]
    assert any("invocations" in line for line in endpoint.log_lines())
    assert find("mine") is not None
    with pytest.raises(UsageError, match=f"already, at {endpoint.address}"):
        deploy_here("mine", trained)
    assert lives(endpoint), "who is refused a name does not end what has it"
    assert delete_here("mine")
    assert not lives(endpoint)
    assert find("mine") is None
    assert not any(one.alive for one in local_endpoints())
    assert not delete_here("mine")
    assert list((own_home / "endpoints").iterdir()) == []


def test_what_cannot_be_served_says_why_and_leaves_nothing(trained: Path, tmp_path: Path, own_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        events: list[Event] = []
        with pytest.raises(CharloomError, match=r"the endpoint mine cannot serve: cannot listen on 127.0.0.1"):
            deploy_here("mine", trained, port=taken.getsockname()[1], notify=events.append)
    assert any(isinstance(event, LogLine) for event in events)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CharloomError):
        deploy_here("mine", tmp_path / "empty")
    with pytest.raises(CharloomError):
        deploy_here("mine", tmp_path / "nothing.tar.gz")
    assert list((own_home / "endpoints").iterdir()) == []
    with pytest.raises(UsageError, match="letters, digits"):
        deploy_here("../mine", trained)
    with pytest.raises(UsageError, match="a second at least"):
        deploy_here("mine", trained, ttl=0)


@pytest.mark.slow
def test_a_server_that_was_killed_is_noticed_and_replaced(trained: Path) -> None:
    first = deploy_here("mine", trained)
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGKILL)
    wait_for_end(first)
    assert not any(one.alive for one in local_endpoints())
    second = deploy_here("mine", trained)
    assert lives(second)
    assert delete_here("mine")


@pytest.mark.slow
def test_it_outlives_who_started_it_until_its_time_is_over(trained: Path, own_home: Path) -> None:
    began = time.monotonic()
    deploy_here("measured", trained)
    ttl = 5 + round(5 * (time.monotonic() - began))  # however slow the machine is, it is in service before
    delete_here("measured")
    code = (
        "import sys, pathlib; from charloom.sagemaker.local.endpoints import deploy_here;"
        "deploy_here('brief', pathlib.Path(sys.argv[1]), ttl=float(sys.argv[2]))"
    )
    subprocess.run([sys.executable, "-c", code, str(trained), str(ttl)], check=True)
    endpoint = find("brief")
    assert endpoint is not None
    assert lives(endpoint)
    assert httpx.get(f"{endpoint.address}/ping", timeout=ttl).status_code == 200
    assert endpoint.expires is not None
    assert abs((endpoint.expires - endpoint.created).total_seconds() - ttl) < 0.001
    wait_for_end(endpoint)
    assert (endpoint.expires - datetime.now(UTC)).total_seconds() < 4, "not before its time"
    assert reap_here() == ["brief"]
    assert list((own_home / "endpoints").iterdir()) == []


def test_another_process_that_got_the_number_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        recycled = Process(pid=stranger.pid, began="another time")
        assert not recycled.alive
        recycled.end(0)
        recycled.terminate()
        assert stranger.poll() is None
        stranger.kill()
    assert this_process().alive


def test_a_damaged_record_is_one_clear_line(own_home: Path, trained: Path) -> None:
    folder = own_home / "endpoints" / "mine"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text('{"name": "mine", "process": {"pid": 1, "began": ""}}')
    with pytest.raises(StorageError, match="is damaged"):
        find("mine")
    shutil.rmtree(folder)
    assert folder_of("jobs", "a").name == "a"
    assert not delete_job("a")
    folder.mkdir()
    then = datetime(2026, 1, 1, tzinfo=UTC)
    endpoint = LocalEndpoint(name="mine", model="m", created=then, expires=then)
    write_record(folder, endpoint)
    assert find("mine") == endpoint
    assert endpoint.status == "Expired"
