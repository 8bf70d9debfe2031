"""What people read on a terminal: words whole, colours, examples, completion; and what a pipe gets instead."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import charloom as library
from charloom.cli.examples import EXAMPLES
from charloom.cli.main import COMMANDS, make_app
from charloom.cli.wrapping import WordWrap, wrap
from tests.cli.conftest import Charloom, one_line
from tests.terminal import PATIENCE, SOURCES, Terminal, on_a_terminal

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*48;[25];")
texts = st.text("ab c\n\t猫", max_size=60)


@given(texts, st.integers(1, 12), st.integers(1, 7))
def test_words_are_whole_however_the_text_comes(text: str, width: int, piece: int) -> None:
    wrapping = WordWrap(width)
    pieces = [wrapping.feed(text[at : at + piece]) for at in range(0, len(text), piece)]
    assert "".join([*pieces, wrapping.rest()]) == wrap(text, width)
    assert re.sub(r"\s", "", wrap(text, width)) == re.sub(r"\s", "", text)
    for line in wrap(text, width).split("\n"):
        assert cell_len(line.rstrip().expandtabs()) <= width or " " not in line.strip() or "\t" in line or "猫" in line


def test_by_hand() -> None:
    assert wrap("one two three", 7) == "one two\nthree"
    assert wrap("    def f():\n  x", 20) == "    def f():\n  x"
    assert wrap("ab cdefghij kl", 4) == "ab\ncdef\nghij\nkl"
    assert wrap("a\n\nb\n", 4) == "a\n\nb\n"


def test_samples_in_a_pipe_are_lines_and_nothing_else(charloom: Charloom, trained: Path) -> None:
    asked = ("generate", trained, "--samples", 4, "--regex", "[a-z]{3}", "--seed", 1)
    lines = charloom(*asked).out.splitlines()
    assert len(lines) == 4
    assert all(re.fullmatch("[a-z]{3}", line) for line in lines)
    on_terminal = on_a_terminal([str(word) for word in asked], 80)
    assert [line.strip() for line in on_terminal.splitlines() if line.startswith("--- seed")] == [
        f"--- seed {seed}" for seed in (1, 2, 3, 4)
    ]


def test_a_terminal_breaks_no_word(trained: Path) -> None:
    asked = ["generate", str(trained), "--prompt", "The ", "--length", "400", "--seed", "4", "--quiet"]
    text = library.load(trained).generate("The ", length=400, seed=4).full_text
    longest = max(map(len, text.split()))
    printed = on_a_terminal(asked, longest + 10)
    assert printed.split() == text.split()
    assert max(map(len, printed.splitlines())) <= longest + 10


def test_surprise_is_coloured_on_a_terminal(trained: Path) -> None:
    asked = ["generate", str(trained), "--prompt", "a\x1b[2J", "--length", "200", "--temperature", "2", "--surprise"]
    printed = on_a_terminal(asked, 80, TERM="xterm-256color")
    assert COLOUR.search(printed)
    assert "\x1b[2J" not in printed
    assert "bits of surprise:" in ESCAPE.sub("", printed)
    plain = on_a_terminal([*asked, "--seed", "1", "--quiet"], 10, TERM="xterm-256color", NO_COLOR="1")
    assert not COLOUR.search(plain)
    assert plain.startswith("a\ufffd[2J")


def test_surprise_in_a_pipe_is_in_the_json(charloom: Charloom, trained: Path) -> None:
    asked = ("generate", trained, "--length", 30, "--seed", 2, "--surprise")
    found = charloom(*asked, "--json").json
    assert "".join(letter for letter, _ in found["per_char"]) == found["text"]
    assert charloom(*asked).out == found["text"] + "\n"
    assert "--surprise colours whole texts" in one_line(charloom(*asked, "--items", 3))


def test_scores_of_characters_are_coloured_on_a_terminal(trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The zebra \x1b[2J" * 12, "utf-8")
    asked = ["score", str(trained), str(text), "--per-char", "--quiet"]
    printed = on_a_terminal(asked, 60, TERM="xterm-256color")
    assert COLOUR.search(printed)
    assert "\x1b[2J" not in printed
    plain = on_a_terminal(asked, 60, NO_COLOR="1")
    assert "\x1b" not in plain
    assert max(map(cell_len, plain.splitlines())) <= 60


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_examples_of_help_can_be_typed(command: str) -> None:
    app = make_app(overview=False)
    for line in EXAMPLES[command]:
        name, *words = shlex.split(re.split(r" \|\| | [<>] ", line)[0])
        assert name == "charloom"
        assert not command or " ".join(words).startswith(command)
        _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        assert not [word for word in bound.args if str(word).startswith("--")], "no such option"


def test_every_help_begins_with_examples(charloom: Charloom) -> None:
    assert all(len(EXAMPLES[name]) == 3 for name in COMMANDS)
    for command in ("", "train", "corpus", "corpus show"):
        said = [line.strip() for line in charloom(*command.split(), "--help").out.splitlines()]
        assert said[: 1 + len(EXAMPLES[command])] == ["Examples:", *EXAMPLES[command]]


@pytest.mark.skipif(os.name == "nt", reason="BROWSER names a program by its path")
def test_serve_opens_its_page(trained: Path, tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    os.mkfifo(opened)
    browser.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(opened))}\n')
    browser.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "charloom", "serve", str(trained), "--port", "0", "--open"],
        env={**os.environ, "PYTHONPATH": SOURCES, "BROWSER": str(browser)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = opened.read_text().strip()  # waits for the browser
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE)
    assert address.startswith("http://127.0.0.1:")
    assert f"at {address}" in said


def test_a_window_that_is_narrow_shows_the_text(trained: Path) -> None:
    asked = ["generate", str(trained), "--prompt", "The ", "--length", "20", "--surprise"]
    with Terminal(asked, 10, TERM="xterm-256color") as terminal:
        assert terminal.finish() == 0
        assert "The" in ESCAPE.sub("", terminal.printed)
