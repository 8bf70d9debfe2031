from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, one_line

OTHER = "to be or not to be, that is the question; " * 15


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbf" + OTHER.replace("; ", ";\r\n").encode())
    return tmp_path / "mine.txt"


def test_json_says_what_adapting_did(charloom: Charloom, trained: Path, text: Path) -> None:
    common = ("generate", trained, "--length", 60, "--prompt", "to be ", "--temperature", 0, "--json")
    ran = charloom(*common, "--adapt", text)
    assert ran.status == 0, ran.err
    adapted = ran.json["adapted"]
    promised = {"file", "characters", "bits_per_char_before", "bits_per_char_after", "seconds"}
    assert promised <= set(adapted)
    assert adapted["file"] == str(text)
    assert adapted["characters"] == len(OTHER)  # no byte-order mark, one character a line end
    assert adapted["unknown"] == 0
    assert adapted["bits_per_char_after"] < adapted["bits_per_char_before"]
    plain = charloom(*common)
    assert "adapted" not in plain.json
    assert plain.json["text"] != ran.json["text"]


def test_samples_and_streams_are_adapted_too(charloom: Charloom, trained: Path, text: Path) -> None:
    common = ("generate", trained, "--length", 30, "--seed", 1, "--adapt", text)
    samples = charloom(*common, "--samples", 2, "--json").out.splitlines()
    assert len({json.dumps(json.loads(line)["adapted"]) for line in samples}) == 1
    streamed = charloom(*common, "--stream")
    assert "bits per character on its second half" in streamed.err
    assert streamed.out == json.loads(samples[0])["text"] + "\n"


def test_the_text_may_come_from_stdin(
    charloom: Charloom, trained: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.read_bytes())))
    ran = charloom("generate", trained, "--length", 5, "--adapt", "-", "--json")
    assert ran.json["adapted"]["characters"] == len(OTHER)


def test_unknown_characters_are_counted(charloom: Charloom, trained: Path, text: Path) -> None:
    text.write_text(OTHER + "世界" * 5, "utf-8")
    ran = charloom("generate", trained, "--length", 5, "--adapt", text, "--json")
    assert "10 of 640 characters" in ran.err
    assert ran.json["adapted"]["unknown"] == 10


def test_what_cannot_be_adapted_to(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "binary.txt").write_bytes(b"\x00\xff\xfe" * 1000)
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(1 << 40)  # sparse: it takes no room
    for name, status, says in (
        ("short.txt", 2, "9 characters after cleaning, at least 400"),
        ("binary.txt", 1, "not UTF-8: byte 1"),
        ("huge.txt", 2, "too long"),
        ("nowhere.txt", 1, "No such file"),
        ("", 1, "Is a directory"),
    ):
        ran = charloom("generate", trained, "--adapt", tmp_path / name, "--quiet")
        assert ran.status == status, name
        assert says in one_line(ran)
        assert ran.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--adapt", "-", "--prompt-file", "-"), "cannot both read stdin"),
        (("--adapt", "x.txt", "--precision", "int8"), "runs in float32"),
        (("--adapt", "x.txt", "--samples", "2", "--stream"), "--stream shows one text"),
    ],
)
def test_options_that_cannot_work_together(
    charloom: Charloom, trained: Path, arguments: tuple[str, ...], says: str
) -> None:
    ran = charloom("generate", trained, *arguments)
    assert ran.status == 2
    assert says in one_line(ran)


def test_without_torch_it_says_what_to_install(trained: Path, text: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from charloom.cli.main import main\n"
        f"main(['generate', {str(trained)!r}, '--adapt', {str(text)!r}])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "charloom: --adapt needs the 'train' extra: pip install 'charloom[train]'\n"


@pytest.mark.slow
def test_the_documented_command_and_python(
    charloom: Charloom, trained: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "adapt-to-your-text.md").read_text("utf-8")
    shutil.copytree(trained, tmp_path / "my-model")
    text.rename(tmp_path / "my-notes.txt")
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^```sh\ncharloom (.*?)\n```", page, re.M | re.S)
    ran = charloom(*shlex.split(command))
    assert ran.status == 0, ran.err
    assert ran.out.startswith("Today ")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    python = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert python.returncode == 0, python.stderr
    before, after = map(float, python.stdout.splitlines()[0].split())
    assert after < before
