from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, one_line


def test_json_has_the_promised_fields(charloom: Charloom, trained: Path) -> None:
    ran = charloom("generate", trained, "--prompt", "The ", "--length", 40, "--seed", 5, "--json")
    assert ran.status == 0
    promised = {"prompt", "text", "finish_reason", "characters", "seconds", "seed"}
    assert promised <= set(ran.json)
    assert ran.json["prompt"] == "The "
    assert len(ran.json["text"]) == ran.json["characters"] == 40
    assert ran.json["finish_reason"] == "length"
    assert ran.json["seed"] == 5


def test_a_seed_gives_the_same_text_streamed_or_whole(charloom: Charloom, trained: Path) -> None:
    common = ("generate", trained, "--prompt", "The ", "--length", 60, "--seed", 7)
    whole = charloom(*common, "--no-stream")
    streamed = charloom(*common, "--stream")
    assert whole.out == streamed.out
    assert whole.out.startswith("The ")
    assert len(whole.out) == len("The ") + 60 + 1


def test_the_seed_that_was_drawn_is_printed(charloom: Charloom, trained: Path) -> None:
    first = charloom("generate", trained, "--length", 50, "--json").json
    again = charloom("generate", trained, "--length", 50, "--seed", first["seed"], "--json").json
    assert again["text"] == first["text"]


def test_samples_are_a_line_each_with_their_own_seed(charloom: Charloom, trained: Path) -> None:
    ran = charloom("generate", trained, "--length", 20, "--seed", 3, "--samples", 4, "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["seed"] for line in lines] == [3, 4, 5, 6]
    assert len({line["text"] for line in lines}) == 4
    assert len({line["seconds"] for line in lines}) == 1


def test_items_are_lines_that_differ_and_are_not_excluded(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    asked = ("generate", trained, "--items", 12, "--temperature", 1.5, "--length", 60, "--seed", 3)
    found = charloom(*asked)
    lines = found.out.splitlines()
    assert len(lines) == len(set(lines)) == 12
    listed = tmp_path / "known.txt"
    listed.write_text("\n".join(lines[:6]) + "\n", "utf-8")
    others = json.loads(charloom(*asked, "--exclude", listed, "--json").out)["items"]
    assert len(others) == 12
    assert others[:6] == lines[6:]


def test_stop_leaves_its_text_out(charloom: Charloom, trained: Path) -> None:
    whole = charloom("generate", trained, "--length", 200, "--seed", 1, "--json").json["text"]
    stop = whole[50:53]
    ran = charloom("generate", trained, "--length", 200, "--seed", 1, "--stop", stop, "--stop", "\x01", "--json")
    assert ran.json["finish_reason"] == "stop"
    assert ran.json["text"] == whole[: whole.index(stop)]


def test_unknown_characters_are_named(charloom: Charloom, trained: Path) -> None:
    ran = charloom("generate", trained, "--prompt", "世界 The", "--length", 5, "--json")
    assert ran.status == 0
    assert "'世'" in ran.err
    assert "'界'" in ran.err
    assert ran.json["prompt"] == "世界 The"


def test_a_prompt_from_a_file_and_from_stdin(
    charloom: Charloom, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompt.txt").write_text("def ")
    common = ("--length", 20, "--seed", 1, "--json")
    from_file = charloom("generate", trained, "--prompt-file", tmp_path / "prompt.txt", *common)
    direct = charloom("generate", trained, "--prompt", "def ", *common)
    assert from_file.json["text"] == direct.json["text"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"def ")))
    assert charloom("generate", trained, "--prompt-file", "-", *common).json["text"] == direct.json["text"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--temperature", "-0.1"), "--temperature -0.1: give "),
        (("--temperature", "inf"), "--temperature inf: give "),
        (("--top-p", "0"), "--top-p 0: give "),
        (("--top-p", "1.1"), "--top-p 1.1: give "),
        (("--top-k", "-1"), "--top-k -1: give "),
        (("--min-p", "2"), "--min-p 2: give "),
        (("--length", "-1"), "--length -1: give "),
        (("--stop", ""), "empty stop"),
        (("--samples", "0"), "--samples 0: give 1 or more"),
        (("--prompt", "a", "--prompt-file", "b"), "not both"),
        (("--samples", "2", "--stream"), "--stream shows one text"),
        (("--items", "0"), "--items 0: give 1 or more"),
        (("--items", "2", "--samples", "2"), "--items writes one item a line: leave --samples and --stream out"),
        (("--items", "2", "--exclude", "-", "--prompt-file", "-"), "only one of --exclude, --prompt-file and --adapt"),
        (("--items", "2", "--prompt", "a\nb"), "an item is one line"),
        (("--exclude", "x.txt"), "--exclude leaves items out: say how many to write"),
    ],
)
def test_options_that_cannot_work_are_usage_errors(
    charloom: Charloom, trained: Path, arguments: tuple[str, ...], says: str
) -> None:
    ran = charloom("generate", trained, *arguments)
    assert ran.status == 2
    assert says in one_line(ran)
    assert ran.out == ""


def test_models_that_are_not_there(charloom: Charloom, tmp_path: Path) -> None:
    assert "no such model directory" in one_line(charloom("generate", tmp_path / "nowhere"))
    assert "holds no model" in one_line(charloom("generate", tmp_path))


def _spawn(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "charloom", *arguments],
        capture_output=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def test_a_terminal_that_cannot_show_a_character_does_not_crash(trained: Path) -> None:
    arguments = ["generate", str(trained), "--prompt", "é世", "--length", "5", "--seed", "1"]
    plain = _spawn(arguments, PYTHONIOENCODING="ascii")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.startswith(b"\\xe9\\u4e16")
    as_json = _spawn([*arguments, "--json"], PYTHONIOENCODING="ascii")
    assert json.loads(as_json.stdout)["prompt"] == "é世"


def test_a_reader_that_goes_away_is_no_error(trained: Path) -> None:
    command = f"{sys.executable} -m charloom generate {trained} --stream --length 200000 --quiet | head -c 20"
    ran = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, timeout=60, check=False
    )
    assert ran.returncode == 0
    assert ran.stderr == b""
    assert len(ran.stdout) == 20


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    ran = _spawn(["generate", str(tmp_path / "nowhere"), "--debug"])
    assert ran.returncode == 1
    assert b"Traceback" in ran.stderr


def test_nothing_heavy_is_loaded_to_generate(trained: Path) -> None:
    code = (
        "import sys; from charloom.cli.main import main\n"
        f"try: main(['generate', {str(trained)!r}, '--length', '5', '--quiet'])\n"
        "except SystemExit as stopped: assert stopped.code == 0\n"
        "heavy = {'torch', 'onnx', 'matplotlib', 'boto3', 'rich.console', 'numpy.ma'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
