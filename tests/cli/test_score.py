from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import charloom as library
from charloom.cli.score import most_surprising
from charloom.runtime.scores import Score
from tests.cli.conftest import Charloom, Ran, one_line

LINES = ["The first line", "", 'a "quoted", line', "zzqqxxjjzz", "The last line"]


@pytest.fixture
def five(tmp_path: Path) -> Path:
    path = tmp_path / "five.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def objects(ran: Ran) -> list[dict[str, Any]]:
    assert ran.status == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def rows(ran: Ran) -> list[dict[str, str]]:
    assert ran.status == 0, ran.err
    return list(csv.DictReader(io.StringIO(ran.out, newline="")))


def test_lines_as_json(charloom: Charloom, trained: Path, five: Path) -> None:
    found = objects(charloom("score", trained, five, "--lines", "--json"))
    names = ["file", "line", "text", "characters", "unknown", "nats", "bits_per_char", "worst_bits", "end_bits"]
    assert [list(one) for one in found] == [names] * 5
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5]
    assert [one["text"] for one in found] == LINES
    expected = list(library.load(trained).score_lines(LINES))
    assert [one["nats"] for one in found] == [one.nats for one in expected]
    assert [one["bits_per_char"] for one in found] == [one.bits_per_char for one in expected]
    assert found[1]["bits_per_char"] == found[1]["end_bits"] == found[1]["worst_bits"] > 0
    assert [one["characters"] for one in found] == [len(text) + 1 for text in LINES]


def test_files_as_json(charloom: Charloom, trained: Path, five: Path, small_text: Path) -> None:
    found = objects(charloom("score", trained, five, small_text, "--json"))
    names = ["file", "characters", "unknown", "nats", "bits_per_char", "worst_bits"]
    assert [list(one) for one in found] == [names] * 2
    assert [one["file"] for one in found] == [str(five), str(small_text)]
    (expected,) = library.load(trained).score_files(small_text)
    assert found[1]["nats"] == expected.nats


def test_precision(charloom: Charloom, trained: Path, five: Path) -> None:
    exact = charloom("score", trained, five, "--precision", "float32", "--json").json
    fast = charloom("score", trained, five, "--precision", "int8", "--json").json
    assert exact["nats"] == pytest.approx(fast["nats"], rel=0.02)
    assert exact["nats"] != fast["nats"]
    evaluated = charloom("evaluate", trained, five, "--split", "all", "--json").json
    assert exact["bits_per_char"] == pytest.approx(evaluated["bits_per_char"], abs=1e-6)


def test_top(charloom: Charloom, trained: Path, five: Path, small_text: Path) -> None:
    every = objects(charloom("score", trained, five, "--lines", "--json"))
    top = objects(charloom("score", trained, five, "--lines", "--json", "--top", 2))
    assert top == sorted(every, key=lambda one: one["worst_bits"], reverse=True)[:2]
    assert top[0]["line"] == 4
    assert len(objects(charloom("score", trained, five, "--lines", "--json", "--top", 100))) == 5
    for by, figure in (("mean", "bits_per_char"), ("total", "nats"), ("worst", "worst_bits")):
        (first,) = objects(charloom("score", trained, five, "--lines", "--json", "--top", 1, "--by", by))
        assert first[figure] == max(one[figure] for one in every)
    both = objects(charloom("score", trained, five, small_text, "--json", "--top", 1))
    assert both[0]["bits_per_char"] == max(
        one["bits_per_char"] for one in objects(charloom("score", trained, five, small_text, "--json"))
    )


def test_top_of_equals_takes_the_earlier_and_leaves_out_empty_ones() -> None:
    values = [1.0, None, 2.0, 2.0, 0.5, 2.0]
    scores = [Score(str(number), int(value is not None), 0, 0.0, value) for number, value in enumerate(values)]
    assert [score.text for score in most_surprising(iter(scores), 4, "mean")] == ["2", "3", "5", "0"]


def test_csv(charloom: Charloom, trained: Path, five: Path) -> None:
    found = rows(charloom("score", trained, five, "--lines", "--csv"))
    as_json = objects(charloom("score", trained, five, "--lines", "--json"))
    assert [row["text"] for row in found] == LINES
    assert [row["nats"] for row in found] == [str(one["nats"]) for one in as_json]
    assert found[1]["bits_per_char"] == found[1]["end_bits"] != ""
    whole = rows(charloom("score", trained, five, "--csv"))
    assert list(whole[0]) == ["file", "characters", "unknown", "nats", "bits_per_char", "worst_bits"]


def test_per_char(charloom: Charloom, trained: Path, five: Path) -> None:
    as_json = objects(charloom("score", trained, five, "--lines", "--per-char", "--json"))
    for one in as_json:
        assert "".join(letter for letter, _ in one["per_char"]) == one["text"] + "\n"
        if one["characters"]:
            mean = sum(bits for _, bits in one["per_char"]) / one["characters"]
            assert mean == pytest.approx(one["bits_per_char"])
    table = rows(charloom("score", trained, five, "--lines", "--per-char", "--csv"))
    assert list(table[0]) == ["file", "line", "position", "character", "bits"]
    assert [(row["line"], row["position"], row["character"], row["bits"]) for row in table] == [
        (str(one["line"]), str(position), letter, str(bits))
        for one in as_json
        for position, (letter, bits) in enumerate(one["per_char"], start=1)
    ]
    whole = rows(charloom("score", trained, five, "--per-char", "--csv"))
    assert "".join(row["character"] for row in whole) == five.read_text()


def test_for_people(charloom: Charloom, trained: Path, five: Path) -> None:
    ran = charloom("score", trained, five, "--lines")
    header, *lines = ran.out.splitlines()
    assert header.split() == ["worst", "bits/char", "characters", "where"]
    assert [line.split(f"{five}:")[1].rstrip() for line in lines] == [
        f"{number}  {text}".rstrip() for number, text in enumerate(LINES, start=1)
    ]
    assert "5 lines, 58 characters" in ran.err
    assert charloom("score", trained, five, "--quiet").err == ""


def test_a_line_cut_short_costs_its_end(charloom: Charloom, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("open the door\nshut the gate\n" * 200)
    options = ("--steps", 150, "--hidden-size", 24, "--batch-size", 8, "--bptt", 32, "--threads", 1)
    assert charloom("train", log, "-o", tmp_path / "model", *options).status == 0
    cut = tmp_path / "cut.txt"
    cut.write_text("open the door\nshut the ga\nshut the gate\n")
    first, second, third = objects(charloom("score", tmp_path / "model", cut, "--lines", "--json"))
    assert second["end_bits"] == second["worst_bits"] > 2 * max(first["worst_bits"], third["worst_bits"])
    (top,) = objects(charloom("score", tmp_path / "model", cut, "--lines", "--top", 1, "--json"))
    assert top == second


def test_marks_stand_below_their_characters(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "wide.txt"
    path.write_text("a\x1b[31m世b\nThe\n")
    ran = charloom("score", trained, path, "--per-char")
    (one,) = objects(charloom("score", trained, path, "--per-char", "--json"))
    _, _, first, first_marks, second, second_marks = ran.out.splitlines()
    assert first.strip() == "a\ufffd[31m世b↵"
    assert second.strip() == "The↵"
    marks = (first_marks + second_marks).replace(" ", "")
    assert marks == "".join(str(min(9, int(bits))) for _, bits in one["per_char"])
    assert first_marks.index(" ", 4) == first.index("世") + 1, "a wide character has one mark and a blank"


def test_escapes_of_a_text_do_not_reach_the_terminal(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.txt"
    path.write_text("\x1b]0;owned\x07\ttab\n")
    ran = charloom("score", trained, path, "--lines")
    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out


SPACES = "　吾輩　猫\nprix\u00a0: 5\u202f€\nfamily 👩\u200d👧\nmi\u200crav\n"


@pytest.mark.parametrize("name", ["log.txt", "a\x1b[2J\nwhole.txt"])
def test_harmless_spaces_and_joiners_are_shown_as_they_are(
    charloom: Charloom, trained: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_text(SPACES, "utf-8")
    ran = charloom("score", trained, path, "--lines")
    assert [line.split("  ")[-1] for line in ran.out.splitlines()[1:]] == SPACES.splitlines()
    assert "\x1b" not in ran.out


def test_a_mark_that_takes_no_column_is_counted_with_its_letter(
    charloom: Charloom, trained: Path, tmp_path: Path
) -> None:
    path = tmp_path / "marks.txt"
    path.write_text("e\u0301x\n", "utf-8")
    (one,) = objects(charloom("score", trained, path, "--per-char", "--json"))
    bits = [bits for _, bits in one["per_char"]]
    *_, text, marks = charloom("score", trained, path, "--per-char").out.splitlines()
    assert text.strip() == "e\u0301x↵"
    assert marks.strip() == "".join(str(min(9, int(cost))) for cost in (bits[0] + bits[1], bits[2], bits[3]))


def test_unknown_characters_are_counted(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "world.txt"
    path.write_text("世界 the\n")
    ran = charloom("score", trained, path, "--json")
    assert ran.json["unknown"] == 2
    assert "2 characters are unknown to the model" in ran.err


def test_standard_input(charloom: Charloom, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo")))
    found = objects(charloom("score", trained, "-", "--lines", "--json"))
    assert [(one["file"], one["line"], one["text"]) for one in found] == [("stdin", 1, "one"), ("stdin", 2, "two")]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "name a file to score"),
        (("no-such-file.txt",), 1, "no such file or folder: no-such-file.txt"),
        (("-", "-"), 2, "name - once"),
        (("--lins",), 2, "--lins"),
        (("{five}", "--top", "0"), 2, "--top 0: give 1 or more"),
        (("{five}", "--csv", "--json"), 2, "--csv or --json, not both"),
        (("{five}", "--encoding", "klingon"), 2, "no such text encoding"),
        (("{five}", "--threads", "0"), 2, "--threads"),
        (("{five}", "{latin}"), 1, "latin.txt is not UTF-8: byte 0xE9 at offset 1 (line 1)"),
        (("{folder}",), 1, "there is no text in the folder"),
    ],
)
def test_what_cannot_be_scored(
    charloom: Charloom, trained: Path, five: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    latin, folder = five.parent / "latin.txt", five.parent / "folder"
    latin.write_bytes(b"b\xe9d\n")
    folder.mkdir()
    ran = charloom("score", trained, *(part.format(five=five, latin=latin, folder=folder) for part in arguments))
    assert ran.status == status
    assert says in one_line(ran)


def test_a_folder_is_all_its_files(charloom: Charloom, trained: Path, five: Path) -> None:
    (five.parent / "six.txt").write_text("six\n")
    (five.parent / "picture.png").write_bytes(b"\x89PNG\0")
    ran = charloom("score", trained, five.parent, "--json")
    assert [Path(one["file"]).name for one in objects(ran)] == ["five.txt", "six.txt"]
    assert "passed over 1 binary file in" in ran.err


@pytest.fixture
def cut_log(five: Path) -> Path:
    """A folder with a log that begins with zero bytes, as after logrotate's copytruncate, and one that does not."""
    (five.parent / "app.log").write_bytes(b"\0" * 9_000 + b"a line\n")
    return five.parent


def test_a_log_that_was_not_scored_is_said_even_when_quiet(charloom: Charloom, trained: Path, cut_log: Path) -> None:
    ran = charloom("score", trained, cut_log, "--lines", "--quiet")
    (line,) = ran.err.splitlines()
    assert line.startswith("warning: passed over")
    assert "app.log: it begins with zero bytes" in line
    for command in (("score", trained, cut_log), ("corpus", "show", cut_log)):
        ran = charloom(*command, "--json", "--quiet")
        (warnings,) = [one["warnings"] for one in objects(ran) if "warnings" in one]
        assert "app.log" in warnings[0]


def test_a_long_line_is_shown_in_part(charloom: Charloom, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("the " * 2_000 + "\n")
    (_, line) = charloom("score", trained, path, "--lines").out.splitlines()
    assert len(line) < 600 + len(str(path))
    assert line.endswith("…")
    (one,) = objects(charloom("score", trained, path, "--lines", "--json"))
    assert one["text"] == "the " * 2_000


def test_masked_numbers_are_read_as_zero_and_shown_as_written(charloom: Charloom, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"12:{minute:02} open gate-{minute}\n" for minute in range(60)) * 3)
    options = (
        "--clean",
        "mask-numbers",
        "--steps",
        5,
        "--hidden-size",
        8,
        "--batch-size",
        4,
        "--bptt",
        16,
        "--threads",
        1,
    )
    assert charloom("train", log, "-o", tmp_path / "model", *options).status == 0
    first, second, *_ = objects(charloom("score", tmp_path / "model", log, "--lines", "--per-char", "--json"))
    assert (first["text"], first["characters"]) == ("12:00 open gate-0", len("0 open 0\n"))
    assert "".join(letter for letter, _ in first["per_char"]) == "0 open 0\n"
    assert first["nats"] == second["nats"]
