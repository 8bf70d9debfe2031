"""`score --alert`: the odd lines alone, and an exit status for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Charloom, one_line
from tests.cli.test_score_live import answer, started

ORDINARY = [f"{hour:02}:{minute:02} open the door" for hour in range(12) for minute in range(0, 60, 5)]
ODD = ["{} segmentation fault", "12:00 open the d"]


@pytest.fixture
def days(charloom: Charloom, tmp_path: Path) -> Path:
    """A folder with a model, an ordinary day and one with odd lines."""
    (tmp_path / "good.txt").write_text("\n".join(ORDINARY) + "\n")
    (tmp_path / "today.txt").write_text("\n".join([*ORDINARY[:50], ODD[0], *ORDINARY[50:], ODD[1]]) + "\n")
    (tmp_path / "learned.txt").write_text(("\n".join(ORDINARY) + "\n") * 5)
    size = ("--hidden-size", 24, "--batch-size", 8, "--bptt", 48, "--threads", 1, "--no-items")
    ran = charloom("train", tmp_path / "learned.txt", "-o", tmp_path / "model", "--steps", 200, *size)
    assert ran.status == 0, ran.err
    return tmp_path


def test_odd_lines_alone_and_a_status(charloom: Charloom, days: Path) -> None:
    model, good, today = days / "model", days / "good.txt", days / "today.txt"
    for options in (("--good", good), ("--false-alarms", 2)):
        ran = charloom("score", model, today, "--lines", "--alert", "--json", *options)
        found = [json.loads(line) for line in ran.out.splitlines()]
        assert ran.status == 3
        assert all(one["odd"] is True for one in found)
        assert [one["text"] for one in found if one["text"] in ODD] == ODD, "in the file's order"
        assert len(found) <= len(ODD) + 2
        assert "odd is what costs more than" in ran.err
    ran = charloom("score", model, good, "--lines", "--alert", "--good", good)
    assert (ran.status, len(ran.out.splitlines())) == (0, 1), "a header alone"
    masked = charloom("score", model, today, "--lines", "--alert", "--mask", "[0-9]+", "--false-alarms", 2, "--csv")
    assert masked.status == 3
    assert ODD[1] in masked.out
    (top,) = charloom(
        "score", model, today, "--lines", "--alert", "--good", good, "--top", 1, "--json"
    ).out.splitlines()
    assert json.loads(top)["text"] in ODD


def test_the_text_that_was_learned_is_a_bad_place_to_look(charloom: Charloom, days: Path) -> None:
    """A fault that repeats in it was learned."""
    for options in (("--top", 3), ("--alert", "--false-alarms", 2)):
        ran = charloom("score", days / "model", days / "learned.txt", "--lines", *options)
        assert "the model learned a text called learned.txt" in ran.err
        assert "learned a text" not in charloom("score", days / "model", days / "today.txt", "--lines", *options).err
    ran = charloom("score", days / "model", days / "learned.txt", "--lines", "--top", 1, "--json")
    assert "warnings" in ran.out


def test_a_pipe_is_watched_line_by_line(days: Path) -> None:
    with started(days / "model", "-", "--lines", "--alert", "--good", days / "good.txt", "--json") as process:
        assert process.stdin is not None
        process.stdin.write(f"{ORDINARY[3]}\n".encode())
        assert json.loads(answer(process, ODD[0]))["line"] == 2
        process.stdin.close()
        assert process.wait(120) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--alert",), "--alert is for lines: add --lines"),
        (("--lines", "--good", "{today}"), "--good is for alerts: add --alert"),
        (("--lines", "--alert", "--false-alarms", "0"), "false alarms = 0"),
        (("--lines", "--mask", "("), "mask '(': not a regular expression"),
    ],
)
def test_what_cannot_work(
    charloom: Charloom, trained: Path, small_text: Path, options: tuple[str, ...], says: str
) -> None:
    ran = charloom("score", trained, small_text, *(option.format(today=small_text) for option in options))
    assert ran.status == 2
    assert says in one_line(ran)
