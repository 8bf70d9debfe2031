"""Header and licence of Project Gutenberg: named, and left out, in the forms that books have had since 1991."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.bundle import open_model_directory
from charloom.errors import CorpusError
from charloom.events import Event, Notice
from charloom.settings import CorpusSettings, ReadingSettings
from charloom.text.cleaning import clean, clean_pieces, clean_prompt, expand
from charloom.text.corpus import CorpusSource, load_corpus
from charloom.text.preparing import prepare_corpus

BODY = "Produced by A. Reader\n\nCHAPTER I\n\nIt was the end of a project.\n" + "Down she went, and down.\n" * 20
LICENCE = "\n\nUpdated editions will replace the previous one.\n" + "1.F.1.  Project Gutenberg volunteers expend\n" * 50

HEADERS = {
    "of today": "The Project Gutenberg eBook of Down\n\nTitle: Down\n\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK DOWN ***\n",
    "of 2008": "Project Gutenberg's Down, by A\n\n\n*** START OF THIS PROJECT GUTENBERG EBOOK DOWN ***\n",
    "without a space": "The Project Gutenberg EBook of Down\n***START OF THE PROJECT GUTENBERG EBOOK DOWN***\n",
    "of two lines": "The Project Gutenberg EBook of Down\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK DOWN AND\nDOWN ***\n",
    "of 1993": "***This is the Project Gutenberg Etext of Down***\n\n***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN "
    "ETEXTS**START***\nWhy is this here?\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n",
    "of 2000": "Project Gutenberg Etext of Down\n*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.12.12.00*END*\n",
    "none": "",
}
ENDS = {
    "of today": "\n\n*** END OF THE PROJECT GUTENBERG EBOOK DOWN ***" + LICENCE,
    "of 2008": "\n\n\nEnd of Project Gutenberg's Down, by A\n\n*** END OF THIS PROJECT GUTENBERG EBOOK DOWN ***"
    + LICENCE,
    "of 1993": "\n\n\nEnd of The Project Gutenberg Etext of Down\n",
    "in German": "\n\nEnde dieses Projekt Gutenberg Etextes Down\n" + LICENCE,
    "none": "",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_book_alone_is_left(header: str, end: str, line_end: str, tmp_path: Path) -> None:
    book = HEADERS[header] + ("\n\n\n" if header != "none" else "") + BODY + ENDS[end]
    (tmp_path / "book.txt").write_bytes(b"\xef\xbb\xbf" + book.replace("\n", line_end).encode())
    corpus = load_corpus([str(tmp_path / "book.txt")], CorpusSettings(clean=["gutenberg"]))
    assert corpus.text == BODY
    assert corpus.cleaning == ("gutenberg",)


def test_each_file_loses_its_own_and_other_texts_stay_as_they_are(tmp_path: Path) -> None:
    book = HEADERS["of today"] + "\n" + BODY + ENDS["of today"]
    mine = "\n\nMy own notes on Project Gutenberg.\n\n\nNot the end of it.\n\n"
    for name, text in (
        ("a.txt", mine),
        ("b.txt", book),
        ("c.txt", mine),
        ("d.txt", book + book),
        ("e.txt", "My own preface.\n\n" + book),
    ):
        (tmp_path / name).write_text(text, "utf-8")
    text = load_corpus([str(tmp_path)], CorpusSettings(clean=["lowercase", "gutenberg"])).text
    assert text == (mine + BODY + mine + BODY + BODY + "My own preface.\n\n" + BODY).lower()


@given(
    st.lists(
        st.sampled_from([*HEADERS.values(), *ENDS.values(), BODY, "\n", "a\n", "x" * 500, "\n\n\n"]), max_size=6
    ).map("".join),
    st.lists(st.integers(0, 4_000), max_size=5),
)
def test_pieces_cut_anywhere_give_the_same(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    assert "".join(clean_pieces(pieces, ["gutenberg"])) == clean(text, ["gutenberg"])


@given(st.text(alphabet="ab *\n", max_size=300))
def test_a_text_without_marks_stays_as_it_is(text: str) -> None:
    assert clean(text, ["gutenberg"]) == text


def test_a_long_text_without_marks_is_not_held() -> None:
    pieces = ["word " * 200 + "\n"] * 1_000
    given_away = [len(piece) for piece in clean_pieces(pieces, ["gutenberg"])]
    assert sum(given_away[:100]) > 30_000
    assert sum(given_away) == sum(map(len, pieces))


def test_it_is_done_first_and_not_to_prompts() -> None:
    assert expand(["lowercase", "gutenberg"]) == ("gutenberg", "lowercase")
    assert clean_prompt(BODY + ENDS["of today"], ["gutenberg"]) == BODY + ENDS["of today"]


def notices_of(path: Path, *steps: str) -> list[str]:
    events: list[Event] = []
    CorpusSource([str(path)]).encode(ReadingSettings(clean=list(steps)), events.append)
    return [event.message for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("header", [name for name in HEADERS if name != "none"])
def test_a_book_is_named_with_the_option_that_helps(header: str, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(HEADERS[header] + BODY + ENDS["of today"], "utf-8")
    (said,) = notices_of(tmp_path / "book.txt")
    assert "Project Gutenberg are in" in said
    assert "book.txt" in said
    assert "--clean gutenberg" in said
    assert not notices_of(tmp_path / "book.txt", "gutenberg")


def test_other_texts_are_not_named(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("I read it at Project Gutenberg.\n" * 50 + BODY, "utf-8")
    assert not notices_of(tmp_path / "mine.txt")


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(HEADERS["of today"] + ENDS["of today"], "utf-8")
    with pytest.raises(CorpusError, match="after cleaning with gutenberg"):
        load_corpus([str(tmp_path / "book.txt")], CorpusSettings(clean=["gutenberg"]))


@pytest.mark.slow
def test_commands_record_it_and_read_other_books_in_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(HEADERS["of 2008"] + BODY * 4 + ENDS["of 2008"], "utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "charloom", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300, cwd=tmp_path)

    said = run("corpus", "prepare", "book.txt", "-o", "whole")
    assert "--clean gutenberg" in " ".join((said.stdout + said.stderr).split())
    run("corpus", "prepare", "book.txt", "-o", "prepared", "--clean", "gutenberg")
    options = ["--steps=2", "--hidden-size=8", "--batch-size=2", "--bptt=20", "--threads=1", "--device=cpu"]
    run("train", "prepared", "-o", "a", *options)
    run("train", "book.txt", "-o", "b", "--clean", "gutenberg", *options)
    configs = [open_model_directory(tmp_path / name).config for name in "ab"]
    assert configs[0].corpus.sha256 == configs[1].corpus.sha256
    assert [config.corpus.cleaning for config in configs] == [["gutenberg"]] * 2
    evaluated = json.loads(run("evaluate", "b", "book.txt", "--split", "all", "--json").stdout)
    assert evaluated["characters"] == len(BODY * 4)


def test_several_workers_prepare_the_same_text(tmp_path: Path) -> None:
    texts = [HEADERS["of today"] + BODY + ENDS["of today"], "Mine.\n\n", HEADERS["of 1993"] + BODY + ENDS["of 1993"]]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text, "utf-8")
    settings = ReadingSettings(clean=["gutenberg"])
    names = [str(tmp_path / f"{number}.txt") for number in range(3)]
    alone, together = (
        prepare_corpus(names, tmp_path / f"by {workers}", settings, workers=workers)[0] for workers in (None, 2)
    )
    assert alone.sha256 == together.sha256
