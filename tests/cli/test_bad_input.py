"""What a careless or hostile person may hand to `generate`: an answer or one clear line, in bounded memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.cli import texts
from charloom.errors import UsageError
from tests.cli.conftest import Charloom, one_line

# Runs the command line and prints its peak memory in KiB last.
MEASURED = """
import resource, sys
from charloom.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as stopped:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
    sys.exit(stopped.code)
"""


def peak(*arguments: object) -> tuple[int, str, str, int]:
    """Status, stdout, stderr without its last line, and peak memory in MiB."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, *(str(argument) for argument in arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    *err, kibibytes = ran.stderr.splitlines()
    return ran.returncode, ran.stdout, "\n".join(err), int(kibibytes) // 1024


linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count memory otherwise")


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize(
    "characters", [300_000, pytest.param(10_000_000, marks=pytest.mark.slow)], ids=["300,000", "ten million"]
)
def test_a_long_prompt_needs_little_memory(trained: Path, tmp_path: Path, characters: int) -> None:
    """A few copies of the text itself; all logits at once would be 400 bytes a character."""
    (tmp_path / "long.txt").write_text("the price " * (characters // 10))
    *_, usual = peak("generate", trained, "--length", 5, "--quiet")
    common = ("--length", 5, "--json", "--seed", 1)
    status, out, _, most = peak("generate", trained, "--prompt-file", tmp_path / "long.txt", *common)
    assert status == 0
    assert json.loads(out)["characters"] == 5
    assert most - usual < 30 + 16 * characters / 2**20


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize("option", ["--prompt-file", "--adapt"])
def test_a_file_without_end_is_refused(trained: Path, option: str) -> None:
    *_, usual = peak("generate", trained, "--length", 5, "--quiet")
    status, out, err, most = peak("generate", trained, option, "/dev/zero", "--quiet")
    assert (status, out) == (2, "")
    assert "too long: at most" in err
    assert len(err.splitlines()) == 1
    assert most - usual < 300  # --adapt brings torch


def test_the_longest_file_and_one_byte_more(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("é" * 50, "utf-8")
    assert texts.read_text(tmp_path / "a.txt", "the prompt", most=100) == "é" * 50
    with pytest.raises(UsageError, match=r"the prompt in .* is too long: at most 99 bytes"):
        texts.read_text(tmp_path / "a.txt", "the prompt", most=99)


@pytest.mark.parametrize("how", [["--stream"], ["--no-stream"], ["--json"], ["--samples", "3", "--json"]])
def test_nothing_is_written_at_length_0(charloom: Charloom, trained: Path, how: list[str]) -> None:
    ran = charloom("generate", trained, "--prompt", "The ", "--length", 0, *how)
    assert ran.status == 0
    if "--json" in how:
        for line in map(json.loads, ran.out.splitlines()):
            assert (line["text"], line["characters"], line["finish_reason"]) == ("", 0, "length")
    else:
        assert ran.out == "The \n"


@pytest.mark.parametrize("length", ["-1", "-9223372036854775809", "1.5", "1e3", "nan", "", "100000001", "9" * 5000])
def test_lengths_that_are_none(charloom: Charloom, trained: Path, length: str) -> None:
    ran = charloom("generate", trained, "--length", length)
    assert ran.status == 2
    assert "length" in one_line(ran)
    assert len(ran.err) < 300
    assert ran.out == ""


def test_a_prompt_of_unknown_characters_alone(charloom: Charloom, trained: Path) -> None:
    common = ("generate", trained, "--length", 30, "--temperature", 0, "--json")
    ran = charloom(*common, "--prompt", "世界")
    assert ran.status == 0
    assert ran.json["prompt"] == "世界"
    assert ran.json["unknown"] == ["世", "界"]
    assert len(ran.json["text"]) == 30
    assert "�" not in ran.json["text"]
    assert ran.json["text"] == charloom(*common, "--prompt", "йц").json["text"]  # one unknown is like another


def test_a_prompt_of_every_unknown_character(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    everything = "".join(chr(code) for code in range(0x3400, 0x9FFF))
    (tmp_path / "prompt.txt").write_text(everything, "utf-8")
    ran = charloom("generate", trained, "--prompt-file", tmp_path / "prompt.txt", "--length", 5)
    assert ran.status == 0
    assert ", …: read as the unknown character" in ran.err
    assert len(ran.err) < 500


def test_bytes_that_are_no_text(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes(b"The\x00\xffprice")
    ran = charloom("generate", trained, "--prompt-file", tmp_path / "prompt.txt")
    assert ran.status == 1
    assert "the prompt in" in one_line(ran)
    assert "not UTF-8: byte 4" in one_line(ran)
    ran = charloom("generate", trained, "--prompt-file", tmp_path)
    assert ran.status == 1
    assert "Is a directory" in one_line(ran)


@pytest.mark.skipif(os.name != "posix", reason="arguments are Unicode on Windows")
def test_an_argument_that_is_no_text(trained: Path) -> None:
    """A byte that is not UTF-8 reaches Python as half a character: it is unknown, and JSON stays JSON."""
    command = [sys.executable, "-m", "charloom", "generate", str(trained), "--length", "5", "--json", "--prompt"]
    ran = subprocess.run([*(part.encode() for part in command), b"a\xff\x01"], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["prompt"] == "a\udcff\x01"
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("version", "says"), [(2, "format version 2"), (10**30, "upgrade"), ("1", "format_version is '1'"), (None, "None")]
)
def test_a_model_of_another_format_version(
    charloom: Charloom, trained: Path, tmp_path: Path, version: object, says: str
) -> None:
    model = Path(shutil.copytree(trained, tmp_path / "model"))
    config = json.loads((model / "config.json").read_bytes())
    config["format_version"] = version
    (model / "config.json").write_text(json.dumps(config))
    for command in (["generate", model], ["export", model, "--onnx", tmp_path / "x.onnx"], ["inspect", model]):
        ran = charloom(*command)
        assert ran.status == 1
        assert says in one_line(ran)
        assert ran.out == ""
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seed", "-1"),
        ("--seed", str(2**63)),
        ("--top-k", "1.5"),
        ("--temperature", "nan"),
        ("--temperature", "1001"),
        ("--samples", "4097"),
        ("--threads", "0"),
        ("--threads", "100000"),
        ("--precision", "int4"),
        ("--no-such-option", "1"),
        ("--prompt",),
    ],
)
def test_values_out_of_range(charloom: Charloom, trained: Path, arguments: tuple[str, ...]) -> None:
    ran = charloom("generate", trained, *arguments)
    assert ran.status == 2
    assert len(one_line(ran)) < 300
    assert ran.out == ""


def test_a_name_in_an_error_cannot_act(charloom: Charloom, tmp_path: Path) -> None:
    name = tmp_path / "a\x1b]0;owned\x07\nit is done 吾輩　猫\u202e.txt"
    name.write_bytes(b"\xff")
    for path in (name, tmp_path / f"absent{name.name}"):
        for command in (("train", path, "-o", tmp_path / "m"), ("corpus", "show", path), ("generate", path)):
            line = one_line(charloom(*command))
            assert not set("\x1b\x07\n\u202e") & set(line)
            assert "吾輩　猫" in line
