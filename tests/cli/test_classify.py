from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import charloom as library
from tests.cli.conftest import Charloom, Ran, one_line

LINES = ["abe", "", "kat", '"ioe", said', "pab\x1b[2J"]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pair")
    for name, text in (("vowels", "aeiou\nabe\nioe\n"), ("stops", "bdg\nkat\npab\n")):
        (folder / f"{name}.txt").write_text(text * 60)
        library.train(
            folder / f"{name}.txt", folder / name, steps=30, hidden_size=8, batch_size=4, bptt=20, threads=1
        )  # fmt: skip
    return {name: folder / name for name in ("vowels", "stops")}


@pytest.fixture
def five(tmp_path: Path) -> Path:
    path = tmp_path / "five.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def objects(ran: Ran) -> list[dict[str, Any]]:
    assert ran.status == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_lines_as_json(charloom: Charloom, pair: dict[str, Path], five: Path) -> None:
    found = objects(charloom("classify", *pair.values(), five, "--lines", "--json"))
    names = ["file", "line", "text", "class", "probabilities", "nats", "characters", "unknown"]
    assert [list(one) for one in found] == [names] * 5
    assert [one["text"] for one in found] == LINES
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5]
    expected = list(library.Classifier(pair).classify_texts(LINES))
    assert [one["probabilities"] for one in found] == [one.probabilities for one in expected]
    assert [one["class"] for one in found] == [one.best for one in expected]
    assert found[1]["class"] is None
    assert all(sum(one["probabilities"].values()) == pytest.approx(1) for one in found)


def test_whole_files_and_standard_input(
    charloom: Charloom, pair: dict[str, Path], five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = objects(charloom("classify", *pair.values(), five, "--json"))
    assert list(found) == ["file", "class", "probabilities", "nats", "characters", "unknown"]
    assert found["file"] == str(five)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abe\nkat")))
    lines = objects(charloom("classify", *pair.values(), "-", "--lines", "--json"))
    assert [(one["file"], one["line"], one["class"]) for one in lines] == [
        ("stdin", 1, "vowels"),
        ("stdin", 2, "stops"),
    ]


def test_for_people(charloom: Charloom, pair: dict[str, Path], five: Path) -> None:
    ran = charloom("classify", *pair.values(), five, "--lines")
    header, *lines = ran.out.splitlines()
    assert header.split() == ["class", "probability", "where"]
    assert [line.split()[0] for line in lines] == ["vowels", "-", "stops", "vowels", "stops"]
    assert "\x1b" not in ran.out
    assert "5 lines" in ran.err
    assert "unknown to all models" in ran.err
    assert charloom("classify", *pair.values(), five, "--quiet").err == ""


def test_csv(charloom: Charloom, pair: dict[str, Path], five: Path) -> None:
    ran = charloom("classify", *pair.values(), five, "--lines", "--csv")
    rows = list(csv.DictReader(io.StringIO(ran.out, newline="")))
    assert list(rows[0]) == ["file", "line", "text", "class", "p_vowels", "p_stops"]
    as_json = objects(charloom("classify", *pair.values(), five, "--lines", "--json"))
    assert [row["p_stops"] for row in rows] == [str(one["probabilities"]["stops"]) for one in as_json]
    assert rows[1]["class"] == ""


def test_priors(charloom: Charloom, pair: dict[str, Path], five: Path) -> None:
    (even,) = objects(charloom("classify", *pair.values(), five, "--json"))
    ran = charloom("classify", *pair.values(), five, "--json", "--prior", "vowels=0.9")
    (given,) = objects(ran)
    assert given["nats"] == even["nats"]
    odds = [one["probabilities"]["vowels"] / one["probabilities"]["stops"] for one in (even, given)]
    assert odds[1] / odds[0] == pytest.approx(9)
    both = ("--prior", "vowels=0.9", "--prior", "stops=0.1")
    assert objects(charloom("classify", *pair.values(), five, "--json", *both)) == [given]


def test_how_often_it_is_right(charloom: Charloom, pair: dict[str, Path], tmp_path: Path) -> None:
    labelled = tmp_path / "labelled.tsv"
    labelled.write_text("vowels\tabe\nstops\tkat\n\nstops\tioe\nvowels\taeiou\n")
    *found, report = objects(charloom("classify", *pair.values(), labelled, "--labels", "first", "--json"))
    assert [(one["label"], one["class"]) for one in found if one["label"]] == [
        ("vowels", "vowels"), ("stops", "stops"), ("stops", "vowels"), ("vowels", "vowels"),
    ]  # fmt: skip
    assert report == {
        "accuracy": 0.75,
        "mean_recall": 0.75,
        "texts": 4,
        "empty": 0,
        "recall": {"vowels": 1.0, "stops": 0.5},
        "precision": {"vowels": pytest.approx(2 / 3), "stops": 1.0},
        "confusion": {"vowels": {"vowels": 2, "stops": 0}, "stops": {"vowels": 1, "stops": 1}},
    }
    ran = charloom("classify", *pair.values(), labelled, "--labels", "first")
    headline, columns, vowels, stops = ran.out.splitlines()
    assert headline.startswith("accuracy 0.750 (3 of 4)")
    assert columns.split() == ["vowels", "stops", "recall", "precision"]
    assert vowels.split() == ["vowels", "2", "0", "1.000", "0.667"]
    assert stops.split() == ["stops", "1", "1", "0.500", "1.000"]
    ran = charloom("classify", *pair.values(), labelled, "--labels", "first", "--csv")
    assert ran.out.splitlines()[0] == "file,line,text,label,class,p_vowels,p_stops"
    assert "accuracy 0.750" in ran.err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "name the models"),
        (("{vowels}", "{stops}"), 2, "name a file to classify"),
        (("{vowels}", "{five}"), 2, "two models or more"),
        (("{five}", "{vowels}"), 1, "is a file"),
        (("no-model", "{five}"), 1, "no such model directory: no-model"),
        (("{vowels}", "{stops}", "no-such.txt"), 1, "no such file or folder: no-such.txt"),
        (("{vowels}", "{stops}", "{five}", "{stops}", "--lines"), 1, "is a model directory, and a text is needed"),
        (("{vowels}", "{stops}", "{five}", "--lins"), 2, "--lins"),
        (("{vowels}", "{stops}", "{five}", "--csv", "--json"), 2, "--csv or --json"),
        (("{vowels}", "{stops}", "{five}", "--prior", "vowels"), 2, "--prior vowels: give uniform, sizes"),
        (("{vowels}", "{stops}", "{five}", "--prior", "wovels=0.5"), 2, "wovels"),
        (("{vowels}", "{stops}", "{five}", "--prior", "sizes"), 2, "vowels=0.5"),
        (("{vowels}", "{stops}", "{five}", "--prior", "vowels=0.5", "--prior", "vowels=0.9"), 2, "given twice"),
        (("{vowels}", "{stops}", "{five}", "--labels", "first"), 1, "line 1: there is no tab"),
        (("{vowels}", "{stops}", "{five}", "--labels", "file"), 2, "'five' is none of the classes"),
        (("{vowels}", "{stops}", "-", "-"), 2, "name - once"),
    ],
)
def test_what_cannot_be_classified(
    charloom: Charloom, pair: dict[str, Path], five: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    ran = charloom("classify", *(part.format(five=five, **pair) for part in arguments))
    assert ran.status == status
    assert says in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err


def test_one_line_of_error(charloom: Charloom, pair: dict[str, Path]) -> None:
    assert "name a file to classify" in one_line(charloom("classify", *pair.values()))
