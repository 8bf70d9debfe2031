"""The article's whole way, offline, as its script and its tutorial tell it."""

from __future__ import annotations

import json
import math
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import charloom
from charloom.cli.main import main
from charloom.sagemaker.aws import ROLE, Account
from charloom.sagemaker.hosting.resources import SCHEDULER_ROLE

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "article.py"
TUTORIAL = ROOT / "docs" / "tutorials" / "the-article.md"
PROMPT = "he did content to say"
SHORT = "--hidden-size 32 --epochs 1 --threads 1 --device cpu"


def tell(folder: Path, text: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder of its own; nothing of this process's account reaches it."""
    scratch = folder / "scratch"
    scratch.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHARLOOM_"))}
    environment = {**kept, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(scratch)}
    command = [sys.executable, str(SCRIPT), str(text), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)


def said(output: str) -> dict[str, str]:
    """What each command wrote."""
    parts = re.split(r"^\$ (.*)\n", output, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def left_running(folder: Path) -> list[str]:
    """Processes that have a folder in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in environ.read_bytes():
                found.append((environ.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def prose(small_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text with lines that the article's cleaning drops: it has colons, capitals and empty lines."""
    path = tmp_path_factory.mktemp("prose") / "prose.txt"
    path.write_text(f"FIRST CITIZEN:\n\n{small_text.read_text('utf-8')}" * 3, "utf-8")
    return path


@pytest.mark.slow
def test_the_whole_way(prose: Path, tmp_path: Path) -> None:
    ran = tell(tmp_path, prose, "--training", SHORT, "--keep", str(tmp_path / "kept"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    outputs = said(ran.stdout)
    (asked,) = (command for command in outputs if "--payload" in command)
    answer = outputs[asked].rstrip("\n")
    model = charloom.load(tmp_path / "kept" / "runs" / "attached")
    assert len(answer) == 185
    assert answer.startswith(PROMPT)
    score = model.score(answer)
    assert score.unknown == 0
    assert score.nats / score.characters < math.log(model.vocabulary.size), "better than guessing"
    (seeded,) = (command for command in outputs if "--seed 1" in command)
    own = model.generate(PROMPT, length=160, seed=1).text
    assert outputs[seeded].rstrip("\n") == PROMPT + own
    (listed,) = (command for command in outputs if " list" in command)
    assert re.search(r"^article +InService +local", outputs[listed], re.M)
    assert not left_running(tmp_path)
    for kind in ("endpoints", "jobs"):
        assert list((tmp_path / "kept" / "home" / kind).iterdir()) == []
    assert list((tmp_path / "scratch").glob("charloom*")) == []


@pytest.mark.slow
def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    ran = tell(tmp_path, tmp_path / "nothing.txt")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert not left_running(tmp_path)
    assert list((tmp_path / "scratch").glob("charloom*")) == []


def blocks(kind: str) -> list[str]:
    """The commands in the tutorial's blocks of one kind."""
    found = re.findall(rf"^```{kind}\n(.*?)^```", TUTORIAL.read_text("utf-8"), re.M | re.S)
    return [line for block in found for line in block.splitlines()]


def test_the_tutorial_tells_the_same_story() -> None:
    names = runpy.run_path(str(SCRIPT))
    assert blocks("sh") == list(names["COMMANDS"])
    (line,) = blocks("sh script")
    assert (ROOT / line.split()[1]).samefile(SCRIPT)
    setup = " ".join(blocks("sh setup"))
    assert set(re.findall(r"(AWS_\w+)=", setup)) <= set(names["pretended_account"](Path(), ""))
    assert all(name in setup for name in (ROLE, SCHEDULER_ROLE))


@pytest.mark.parametrize("command", blocks("sh aws"))
def test_the_commands_for_amazon_are_what_they_should_be(
    command: str, tmp_path: Path, small_text: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run, in which a model directory and a text are not those of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(ROLE, "charloom")
    monkeypatch.setenv(SCHEDULER_ROLE, "charloom-scheduler")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    words = shlex.split(command.replace("tiny-shakespeare", str(small_text)))
    with pytest.raises(SystemExit) as ended:
        main([*words[1:], "--dry-run", "--json"])
    captured = capsys.readouterr()
    assert ended.value.code == 0, captured.err
    assert all(json.loads(line)["service"] for line in captured.out.splitlines())
    assert captured.out


def test_the_roles_can_be_made_as_the_page_says(account: Account) -> None:
    for command in blocks("sh iam"):
        aws, service, operation, *options = shlex.split(command)
        assert (aws, service) == ("aws", "iam")
        request = {}
        for name, value in zip(options[::2], options[1::2], strict=True):
            key = "".join(part.title() for part in name.removeprefix("--").split("-"))
            path = value.removeprefix("file://")
            request[key] = value if path == value else (ROOT / path).read_text("utf-8")
        account.call("iam", operation.replace("-", "_"), **request)
    made = [role["RoleName"] for page in account.pages("iam", "list_roles") for role in page["Roles"]]
    assert sorted(made) == ["charloom", "charloom-scheduler"]
