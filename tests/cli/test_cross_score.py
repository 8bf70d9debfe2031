"""`charloom cross-score`: the oddest lines of a log of which no good day is to be had."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, one_line
from tests.terminal import PATIENCE, SOURCES, on_a_terminal
from tests.training.test_cross_scoring import BURST, ORDINARY

TINY = ("--steps", 80, "--hidden-size", 24, "--batch-size", 4, "--bptt", 20, "--learning-rate", 0.01, "--threads", 1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "app.log"
    file.write_text("\n".join([*ORDINARY[:50], *[BURST] * 10, *ORDINARY[50:130]]) + "\n")
    return file


def test_the_oddest_lines_in_each_form(charloom: Charloom, log: Path) -> None:
    for by, field in (("worst", "worst_bits"), ("mean", "bits_per_char")):
        ran = charloom("cross-score", log, "--parts", 2, "--top", 5, "--by", by, "--json", *TINY)
        assert ran.status == 0, ran.err
        found = [json.loads(line) for line in ran.out.splitlines()]
        figures = [one[field] for one in found]
        assert figures == sorted(figures, reverse=True)
        assert [(one["text"], one["file"]) for one in found] == [(BURST, str(log))] * 5
        assert {one["line"] for one in found} <= set(range(51, 61))
    table = charloom("cross-score", log, "--parts", 3, "--top", 5, *TINY)
    assert table.status == 0
    header, *rows = table.out.splitlines()
    assert header.split() == ["worst", "bits/char", "characters", "where"]
    assert all(BURST in row for row in rows)
    assert "part 3 of 3: lines 94 to 140 by a model of the others" in table.err
    assert "(140 lines, " in table.err
    assert table.err.count("note: ") == 3
    assert table.err.count("\nlearning ") == 1
    assert table.err.count(" · validation ") == 3
    assert "saved" not in table.err
    assert ", 3 models in " in " ".join(table.err.replace("; ", ", ").split())
    quiet = charloom("cross-score", log, "--parts", 2, "--top", 5, "--csv", "--quiet", *TINY)
    assert quiet.err == ""
    assert [row["text"] for row in csv.DictReader(quiet.out.splitlines())] == [BURST] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a file to score, or - for standard input"),
        (["LOG", "--parts", "1"], "parts = 1: choose 2 to 100"),
        (["LOG", "--parts", "x"], "--parts"),
        (["LOG", "--top", "0"], "--top 0: give 1 or more"),
        (["LOG", "--csv", "--json"], "give --csv or --json, not both"),
        (["LOG", "--mask", "("], "mask"),
        (["missing.log"], "missing.log"),
    ],
)
def test_mistakes_are_one_line(charloom: Charloom, log: Path, arguments: list[str], message: str) -> None:
    ran = charloom("cross-score", *[str(log) if word == "LOG" else word for word in arguments])
    assert ran.status == (1 if arguments == ["missing.log"] else 2)
    assert message in one_line(ran)


def test_standard_input_is_a_log_too(charloom: Charloom, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(log.read_bytes())))
    ran = charloom("cross-score", "-", "--parts", 2, "--top", 1, "--json", *TINY)
    assert ran.status == 0, ran.err
    assert ran.json["text"] == BURST


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize(("number", "moment"), [(signal.SIGINT, "part 1 of 5"), (signal.SIGTERM, "part 2 of 5")])
def test_a_signal_ends_it_and_leaves_nothing(log: Path, tmp_path: Path, number: signal.Signals, moment: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "charloom", "cross-score", str(log), "--budget", "30s"],
        env={**os.environ, "PYTHONPATH": SOURCES, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while moment not in (line := process.stderr.readline()):
        assert line, "it ended before its time"
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert list(temporary.glob("charloom-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("columns", [10, 60])
def test_it_fits_a_terminal(log: Path, columns: int) -> None:
    printed = on_a_terminal(["cross-score", str(log), "--parts", "2", "--top", "3", *map(str, TINY)], columns)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", printed)]
    assert all(len(line) <= max(20, columns) for line in lines if "where" not in line)
    assert "2 models in" in " ".join("".join(f"{line} " for line in lines).split())
