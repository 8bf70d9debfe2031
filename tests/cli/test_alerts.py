"""`score --alert`: the odd lines alone, and an exit status for scripts."""

from __future__ import annotations

import errno
import json
import os
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


def test_a_threshold_is_fitted_once_and_used_later(charloom: Charloom, days: Path) -> None:
    model, good, today, kept = days / "model", days / "good.txt", days / "today.txt", days / "t.json"
    alert = ("--lines", "--alert", "--json")
    fit = ("--good", good, "--by", "total", "--mask", "[0-9]", "--false-alarms", 2)
    expected = charloom("score", model, today, *alert, *fit)
    assert expected.status == 3
    fitted = charloom("score", model, *alert, *fit, "--save-threshold", kept).json
    assert fitted["threshold"] == str(kept)
    assert (fitted["lines"], fitted["false_alarms"], fitted["good"]) == (len(ORDINARY), 2, True)
    for again in ((), ("--by", "total"), ("--mask", "[0-9]")):
        ran = charloom("score", model, today, *alert, "--threshold", kept, *again)
        assert (ran.status, ran.out) == (3, expected.out)
    assert len(charloom("score", model, good, *alert, "--threshold", kept).out.splitlines()) == 1, "of two false alarms"
    with started(model, "-", *alert, "--threshold", kept) as process:
        assert process.stdin is not None
        assert json.loads(answer(process, ODD[0]))["line"] == 1
        process.stdin.close()
        assert process.wait(120) == 3
    ran = charloom("score", model, today, *alert, "--save-threshold", kept)
    assert (ran.status, json.loads(kept.read_text())["by"]) == (3, "worst"), "the lines themselves; replaced"


def test_a_saved_threshold_is_refused_for_something_else(charloom: Charloom, days: Path, trained: Path) -> None:
    model, today, kept = days / "model", days / "today.txt", days / "t.json"
    alert = ("--lines", "--alert")
    assert charloom("score", model, *alert, "--good", days / "good.txt", "--save-threshold", kept).status == 0
    for scored, options, says in (
        (trained, (), "was fitted with another model than"),
        (model, ("--against", trained), "was fitted with one model alone"),
        (model, ("--by", "mean"), "was fitted with --by worst, not mean"),
        (model, ("--mask", "[0-9]"), "was fitted with other masks (none)"),
        (model, ("--good", today), "--good is for fitting a threshold"),
        (model, ("--false-alarms", 3), "--false-alarms is for fitting a threshold"),
    ):
        ran = charloom("score", scored, today, *alert, "--threshold", kept, *options)
        assert (ran.status, ran.out) == (2, "")
        assert says in one_line(ran)
    content = today.read_bytes()
    ran = charloom("score", model, *alert, "--good", days / "good.txt", "--save-threshold", today)
    assert (ran.status, today.read_bytes()) == (1, content)
    assert "is there and is not a threshold" in one_line(ran)


def test_a_threshold_that_cannot_be_kept(
    charloom: Charloom, days: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is said before anything is read where it can be known; odd lines are shown all the same where it cannot."""
    model, today = days / "model", days / "today.txt"
    options = ("--lines", "--alert", "--json", "--false-alarms", 2)
    ran = charloom("score", model, tmp_path / "absent.txt", *options, "--save-threshold", tmp_path / "none" / "t.json")
    assert (ran.status, ran.out) == (1, "")
    assert "there is no folder" in one_line(ran)
    expected = charloom("score", model, today, *options).out
    kept = tmp_path / "t.json"
    assert charloom("score", model, today, *options, "--save-threshold", kept).out == expected
    before = kept.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = charloom("score", model, today, *options, "--save-threshold", kept)
    assert (ran.status, ran.out) == (1, expected)
    assert "the disk is full" in ran.err
    assert kept.read_bytes() == before


def test_against_another_model(charloom: Charloom, days: Path) -> None:
    model, today, other = days / "model", days / "today.txt", days / "other"
    size = ("--hidden-size", 8, "--batch-size", 8, "--bptt", 48, "--threads", 1, "--no-items")
    assert charloom("train", days / "learned.txt", "-o", other, "--steps", 20, *size).status == 0
    options = ("--lines", "--json")
    mine, others, both = (
        [json.loads(line) for line in charloom("score", *asked, *options).out.splitlines()]
        for asked in ((model, today), (other, today), (model, today, "--against", other))
    )
    names = ["beyond_nats", "beyond_bits_per_char", "worst_beyond_bits"]
    for one, two, found in zip(mine, others, both, strict=True):
        assert list(found) == [*one, *names]
        assert found == {**one, **{name: found[name] for name in names}}
        assert found["beyond_nats"] == one["nats"] - two["nats"]
    for by, figure in (("mean", names[1]), ("total", names[0]), ("worst", names[2])):
        top = charloom("score", model, today, "--against", other, *options, "--top", 1, "--by", by).json
        assert top[figure] == max(found[figure] for found in both)
    table = charloom("score", model, today, "--lines", "--against", other, "--csv").out.splitlines()
    assert table[0].endswith("end_bits,beyond_nats,beyond_bits_per_char,worst_beyond_bits")
    shown = charloom("score", model, today, "--lines", "--against", other, "--top", 1, "--per-char")
    assert "beyond the other model" in shown.out.splitlines()[0]
    ran = charloom("score", model, today, "--lines", "--against", other, "--alert", "--false-alarms", 2, "--json")
    assert ODD[0] in ran.out
    assert "bits beyond the other model" in ran.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--alert",), "--alert is for lines: add --lines"),
        (("--lines", "--good", "{today}"), "--good is for alerts: add --alert"),
        (("--lines", "--alert", "--false-alarms", "0"), "false alarms = 0"),
        (("--lines", "--threshold", "{today}"), "--threshold is for alerts: add --alert"),
        (("--lines", "--alert", "--threshold", "{today}"), "is not a threshold that charloom saved"),
        (("--lines", "--alert", "--threshold", "nowhere.json"), "cannot read nowhere.json: No such file"),
        (("--lines", "--mask", "("), "mask '(': not a regular expression"),
    ],
)
def test_what_cannot_work(
    charloom: Charloom, trained: Path, small_text: Path, options: tuple[str, ...], says: str
) -> None:
    ran = charloom("score", trained, small_text, *(option.format(today=small_text) for option in options))
    assert ran.status == 2
    assert says in one_line(ran)
