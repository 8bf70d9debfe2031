"""`charloom push`: what is sent, to whom it is shown, and what is refused."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import one_line
from tests.hub.conftest import RunAll
from tests.hub.stand_in import TOKEN, Hub
from tests.test_documents import ROOT, blocks

ANN = {"HF_TOKEN": TOKEN}
TO = "hf://ann/mine"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    """A model whose folder holds other files too."""
    folder = Path(shutil.copytree(trained, tmp_path / "model"))
    (folder / "notes.txt").write_text("the key is 12345")
    (folder / "old.pkl").write_bytes(b"cos\nsystem\n")
    return folder


def test_a_pushed_model_is_private_and_writes_the_same_where_it_is_fetched(
    run_all: RunAll, model: Path, hub: Hub
) -> None:
    like = ("--length", 20, "--seed", 1, "--json")
    pushed, here, there = run_all(
        [("push", model, TO, "--json"), ("generate", model, *like), ("generate", TO, *like)], **ANN
    )
    assert pushed.status == 0, pushed.err
    assert pushed.json["private"] is True
    assert pushed.json["address"] == TO
    assert pushed.json["commit"] == hub.repositories["ann/mine"].branches["main"]
    assert here.json["text"] == there.json["text"]
    assert hub.repositories["ann/mine"].private


def test_only_the_models_own_files_are_sent_in_one_commit(run_all: RunAll, model: Path, hub: Hub) -> None:
    run_all([("push", model, TO)], **ANN)
    own = {*json.loads((model / "config.json").read_text())["files"], "config.json"}
    sent = hub.files("ann/mine")
    assert set(sent) == own | {".gitattributes"}
    assert len(hub.repositories["ann/mine"].commits) == 2  # one made it
    assert all(sent[name] == (model / name).read_bytes() for name in own - {"README.md"})


def test_the_card_has_the_hubs_metadata_and_keeps_its_owners(run_all: RunAll, model: Path, hub: Hub) -> None:
    run_all([("push", model, TO)], **ANN)
    card = hub.files("ann/mine")["README.md"].decode()
    assert card.startswith("---\n")
    for line in ("library_name: charloom", "pipeline_tag: text-generation"):
        assert line in card
    assert f"charloom generate {TO}" in card
    edited = card.replace("---\n", "---\nlicense: mit\n", 1).encode()
    hub.repositories["ann/mine"].commit("main", {**hub.files("ann/mine"), "README.md": edited})
    run_all([("push", model, TO)], **ANN)
    assert "license: mit" in hub.files("ann/mine")["README.md"].decode()
    assert hub.files("ann/mine")["README.md"].count(b"library_name") == 1


def test_public_is_said_and_asked(run_all: RunAll, model: Path, hub: Hub) -> None:
    (refused,) = run_all([("push", model, TO, "--public")], **ANN)
    assert refused.status == 2
    for words in ("will be public", "20,000 characters of small.txt", "--yes"):
        assert words in one_line(refused)
    assert hub.repositories == {}
    agreed, again, private = run_all(
        [("push", model, TO, "--public", "--yes"), ("push", model, TO), ("push", model, "hf://ann/other")], **ANN
    )
    assert agreed.status == private.status == 0
    assert not hub.repositories["ann/mine"].private
    assert again.status == 2
    assert "is there and public, so everybody would read the model" in one_line(again)
    (turned,) = run_all([("push", model, "hf://ann/other", "--public", "--yes")], **ANN)
    assert turned.status == 2
    assert "is there and private" in one_line(turned)


def test_a_newer_model_replaces_the_older_one_whole(run_all: RunAll, model: Path, hub: Hub) -> None:
    hub.add("ann/mine", {}, private=True)
    run_all([("push", model, TO)], **ANN)
    first = hub.repositories["ann/mine"].branches["main"]
    config = json.loads((model / "config.json").read_text())
    del config["files"]["loss.svg"]
    (model / "config.json").write_text(json.dumps(config))
    before, after = run_all([("push", model, TO, "--json"), ("inspect", f"{TO}@{first}")], **ANN)
    assert before.status == after.status == 0
    assert "loss.svg" not in hub.files("ann/mine")


def test_a_branch_of_its_own(run_all: RunAll, model: Path, hub: Hub) -> None:
    hub.add("ann/mine", {"LICENSE": b"mine"}, private=True)
    for _ in range(2):
        (ran,) = run_all([("push", model, f"{TO}@tests/one", "--json")], **ANN)
        assert ran.status == 0, ran.err
    assert set(hub.files("ann/mine")) == {"LICENSE"}
    assert {"LICENSE", "config.json"} < set(hub.files("ann/mine", "tests/one"))


def test_refusals(run_all: RunAll, model: Path, hub: Hub, tmp_path: Path) -> None:
    hub.add("ann/theirs", {"config.json": b'{"model_type": "gpt2"}'}, private=True)
    hub.add("ann/weights", {"model.safetensors": b"0"}, private=True)
    damaged = Path(shutil.copytree(model, tmp_path / "damaged"))
    (damaged / "loss.svg").write_text("<svg/>")
    refused = (
        (model, "hf://ann/theirs", 1, "holds another program's files"),
        (model, "hf://ann/weights", 1, "holds another program's files"),
        (model, "hf://bob/mine", 1, "the hub refuses (You don't have the rights"),
        (model, "ann/mine", 2, "not an address on the hub: write hf://user/name"),
        (model, "hf://mine", 2, "write hf://user/name"),
        (damaged, TO, 1, "loss.svg is altered"),
        (tmp_path / "none", TO, 1, "no such model directory"),
    )
    answers = run_all([("push", folder, to) for folder, to, *_ in refused], **ANN)
    for ran, (_, to, status, says) in zip(answers, refused, strict=True):
        assert ran.status == status, (to, ran)
        assert says in one_line(ran)
    (ran,) = run_all([("push", model, TO)])
    assert ran.status == 1
    assert "log in with hf auth login, or set HF_TOKEN" in one_line(ran)
    assert set(hub.repositories) == {"ann/theirs", "ann/weights"}


def test_the_page_on_sharing_runs_as_written(
    run_all: RunAll, trained: Path, small_text: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "yours")
    shutil.copy(small_text, tmp_path / "your-text.txt")
    page = ROOT / "docs" / "how-to" / "share-a-model.md"
    commands = [shlex.split(line)[1:] for block in blocks(page, "sh") for line in block.splitlines()]
    assert len(commands) >= 4
    for command, ran in zip(commands, run_all(commands, folder=tmp_path, **ANN), strict=True):
        assert ran.status == 0, (command, ran.err)
    (code,) = blocks(page, "python")
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment, **ANN}, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.decode()) > 100
