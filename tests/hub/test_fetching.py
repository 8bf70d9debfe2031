"""Models on the hub in every command and function that takes a model: fetched, cached, refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import one_line
from tests.hub.conftest import Run, RunAll
from tests.hub.stand_in import Hub

LIKE = ("--length", 20, "--seed", 1, "--json")


def test_a_model_on_the_hub_writes_as_its_folder_does(run: Run, on_the_hub: str, trained: Path, home: Path) -> None:
    ran = run("generate", on_the_hub, *LIKE)
    assert ran.status == 0, ran.err
    assert ran.json["text"] == run("generate", trained, *LIKE).json["text"]
    assert "note: fetching hf://ann/small from the hub" in ran.err
    assert [path.name for path in (home / "hub").glob("models--*")] == ["models--ann--small"]


def test_every_command_that_takes_a_model_takes_its_address(
    run_all: RunAll, on_the_hub: str, small_text: Path, tmp_path: Path
) -> None:
    commands = (
        ("score", on_the_hub, small_text),
        ("evaluate", on_the_hub, small_text),
        ("recite", on_the_hub, small_text, "--samples", 2),
        ("novelty", on_the_hub, small_text, "--characters", 100),
        ("inspect", on_the_hub),
        ("export", on_the_hub, "--onnx", tmp_path / "m.onnx"),
        ("sagemaker", "package", on_the_hub, "-o", tmp_path / "m.tar.gz", "--no-check"),
        ("train", small_text, "-o", tmp_path / "m", "--init-from", on_the_hub, "--steps", 2, "--threads", 1),
    )
    for command, ran in zip(commands, run_all(commands), strict=True):
        assert ran.status == 0, (command, ran.err)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["training"]["init_from"]["name"] == "small"


def test_models_on_the_hub_are_classes_called_as_they_are(
    run: Run, on_the_hub: str, hub: Hub, trained: Path, tmp_path: Path
) -> None:
    files = {file.name: file.read_bytes() for file in trained.iterdir() if file.is_file()}
    hub.add("ann/other", files)
    (tmp_path / "here").mkdir()
    for name, content in files.items():
        (tmp_path / "here" / name).write_bytes(content)
    (tmp_path / "text.txt").write_text("abc\n", "utf-8")
    ran = run("classify", on_the_hub, "hf://ann/other@main", tmp_path / "here", tmp_path / "text.txt", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["probabilities"] == pytest.approx({"small": 1 / 3, "other": 1 / 3, "here": 1 / 3})


def test_a_server_serves_it_under_its_own_name(run: Run, on_the_hub: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "charloom", "serve", on_the_hub, "--port", "0", "--json"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline())["models"] == ["small"]
        server.terminate()
        server.wait(60)


def test_what_is_cached_needs_no_network(run: Run, on_the_hub: str, hub: Hub) -> None:
    first = run("generate", on_the_hub, *LIKE)
    asked = len(hub.requests)
    commit = hub.repositories["ann/small"].branches["main"]
    offline = run("generate", on_the_hub, *LIKE, HF_HUB_OFFLINE="1")
    fixed = run("generate", f"{on_the_hub}@{commit}", *LIKE)
    assert first.json["text"] == offline.json["text"] == fixed.json["text"]
    assert len(hub.requests) == asked
    unreachable = run("generate", on_the_hub, *LIKE, HF_ENDPOINT=_nowhere())
    assert unreachable.json["text"] == first.json["text"]


def test_only_what_belongs_to_the_model_is_fetched_and_nothing_is_reported(
    run: Run, on_the_hub: str, hub: Hub, home: Path
) -> None:
    repository = hub.repositories["ann/small"]
    repository.commit("main", {**hub.files("ann/small"), "evil.pkl": b"cos\nsystem\n", "big.bin": b"0" * 1000})
    assert run("generate", on_the_hub, "--length", 3).status == 0
    names = {path.name for path in (home / "hub").rglob("*") if path.is_symlink()}
    assert names == {*json.loads(hub.files("ann/small")["config.json"])["files"], "config.json"}
    assert all(path.startswith("/ann/small/resolve/") for _, path in hub.requests)


def test_a_revision_is_a_branch_a_tag_or_a_commit(run_all: RunAll, on_the_hub: str, hub: Hub) -> None:
    repository = hub.repositories["ann/small"]
    first = repository.branches["main"]
    settings = json.dumps({"length": 7}).encode()
    repository.commit("short/er", {**hub.files("ann/small"), "generation_config.json": settings})
    lengths = {"short/er": 7, repository.branches["short/er"]: 7, first: 500, "main": 500}
    answers = run_all([("generate", f"{on_the_hub}@{revision}", "--json") for revision in lengths])
    assert [len(ran.json["text"]) for ran in answers] == list(lengths.values())


def test_what_its_owner_edited_on_the_hub_is_used(run_all: RunAll, on_the_hub: str, hub: Hub) -> None:
    """In the cache each file is a link; the settings and the card are still the owner's to edit."""
    edited = {"generation_config.json": b'{"length": 7}', "README.md": b"---\nlicense: mit\n---\n# Mine\n"}
    hub.repositories["ann/small"].commit("main", {**hub.files("ann/small"), **edited})
    written, ran = run_all([("generate", on_the_hub, "--json"), ("inspect", on_the_hub, "--json")])
    assert len(written.json["text"]) == 7
    assert ran.status == 0, ran.out
    assert ran.json["model"].startswith("hf://ann/small@")


REFUSED = (
    ("hf://ann/other", 1, "there is no hf://ann/other on the hub, or it is private"),
    ("hf://ann/small@nine", 1, "there is no revision nine of hf://ann/small"),
    ("hf://ann/gated", 1, "open only to those whom its owner admits"),
    ("hf://ann/theirs", 1, "another program's, not a charloom model's"),
    ("hf://ann/empty", 1, "hf://ann/empty is not a charloom model: there is no config.json in it"),
    ("hf://ann/cut", 1, "is incomplete: there is no model.safetensors in it"),
    ("hf://ann/altered", 1, "model.safetensors is damaged"),
    ("hf://small", 2, "write hf://user/name"),
    ("hf://ann/small/model.onnx", 2, "write hf://user/name"),
    ("hf://ann/small@../../x", 2, "write hf://user/name"),
    ("hf://", 2, "write hf://user/name"),
)


def test_refusals(run_all: RunAll, on_the_hub: str, hub: Hub) -> None:
    files = hub.files("ann/small")
    hub.add("ann/gated", files, gated=True)
    hub.add("ann/theirs", {"config.json": b'{"model_type": "gpt2"}', "model.safetensors": b"0"})
    hub.add("ann/empty", {})
    hub.add("ann/cut", {name: content for name, content in files.items() if name != "model.safetensors"})
    hub.add("ann/altered", {**files, "model.safetensors": files["model.safetensors"][:-4] + bytes(4)})
    answers = run_all([("generate", address, "--quiet") for address, *_ in REFUSED])
    for ran, (address, status, says) in zip(answers, REFUSED, strict=True):
        assert ran.status == status, (address, ran)
        assert says in one_line(ran)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((401, "Invalid credentials in Authorization header"), "does not accept the token"),
        ((403, "Forbidden"), "the hub refuses (Forbidden): use a token"),
        ((418, "teapot"), "the hub answers 418"),
    ],
)
def test_a_hub_that_refuses(run: Run, on_the_hub: str, hub: Hub, answer: tuple[int, str], says: str) -> None:
    hub.answer = answer
    ran = run("generate", on_the_hub)
    assert ran.status == 1
    assert says in one_line(ran)


@pytest.mark.slow
def test_without_a_network(run: Run, on_the_hub: str) -> None:
    ran = run("generate", on_the_hub, HF_ENDPOINT=_nowhere())
    assert ran.status == 1
    assert "the hub cannot be reached: look at the network" in one_line(ran)
    ran = run("generate", on_the_hub, HF_HUB_OFFLINE="1")
    assert ran.status == 1
    assert "is not in the cache, and HF_HUB_OFFLINE is set" in one_line(ran)


def test_without_the_library(run: Run, on_the_hub: str, tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError\n")
    ran = run("generate", on_the_hub, PYTHONPATH=str(tmp_path))
    assert ran.status == 1
    assert "pip install 'charloom[hub]'" in one_line(ran)


def test_a_link_out_of_the_cache_is_not_followed(run: Run, on_the_hub: str, home: Path, tmp_path: Path) -> None:
    """A folder that merely looks like the cache shows no file of this machine."""
    run("generate", on_the_hub, "--length", 1)
    secret = tmp_path / "secret"
    secret.write_text('{"length": 3}')
    (snapshot,) = (home / "hub" / "models--ann--small" / "snapshots").iterdir()
    for blob in (secret, home / "hub" / "models--ann--small" / "blobs" / hashlib.sha256(b"x").hexdigest()):
        if blob != secret:
            blob.symlink_to(secret)
        (snapshot / "generation_config.json").unlink()
        (snapshot / "generation_config.json").symlink_to(blob)
        ran = run("generate", on_the_hub, HF_HUB_OFFLINE="1")
        assert ran.status == 1
        assert "a link to another file" in one_line(ran)


def test_the_folder_in_the_cache_may_be_copied_as_it_is(run: Run, on_the_hub: str, home: Path, tmp_path: Path) -> None:
    run("generate", on_the_hub, "--length", 1)
    shutil.copytree(next((home / "hub" / "models--ann--small" / "snapshots").iterdir()), tmp_path / "copy")
    assert run("inspect", tmp_path / "copy").status == 0


def _nowhere() -> str:
    """An address at which nothing listens."""
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{once.getsockname()[1]}"
