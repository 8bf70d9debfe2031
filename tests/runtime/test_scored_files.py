from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

import charloom
from charloom.errors import CorpusError, UsageError
from charloom.runtime import scored_files, scoring


def test_int8_bits_do_not_depend_on_how_a_file_is_read(trained: Path, small_text: Path, tmp_path: Path) -> None:
    text = small_text.read_text("utf-8")[:9000]
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.txt").write_text(text[:700])
    model = charloom.load(trained, precision="int8")
    alone = model.score(text)
    (first, second, third) = model.score_files([str(tmp_path / name) for name in ("a.txt", "b.txt", "a.txt")])
    assert first.nats == third.nats == alone.nats
    assert second.nats == model.score(text[:700]).nats
    (once,) = model.score_files(tmp_path / "a.txt")
    assert once == first


def test_a_file_costs_what_evaluate_says(trained: Path, small_text: Path) -> None:
    model = charloom.load(trained, precision="float32")
    (found,) = model.score_files(small_text)
    expected = model.evaluate(small_text, split="all")
    assert found.characters == expected.characters == 20_000
    assert found.bits_per_char == pytest.approx(expected.bits_per_char, abs=1e-6)
    assert found.file == str(small_text)


def test_lines_of_files(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\nthree\rfour")
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write("fünf\n\n".encode())
    model = charloom.load(trained)
    found = list(model.score_files([str(tmp_path / "a.txt"), str(tmp_path / "b.txt.gz")], lines=True))
    names = [str(tmp_path / "a.txt")] * 4 + [str(tmp_path / "b.txt.gz")] * 2
    assert [one.file for one in found] == names
    assert [(one.line, one.text) for one in found] == [
        (1, "one"),
        (2, ""),
        (3, "three"),
        (4, "four"),
        (1, "fünf"),
        (2, ""),
    ]
    assert found[2].nats == model.score("three\n").nats
    assert [one.unknown for one in found] == [0, 0, 0, 0, 1, 0]


def test_a_line_longer_than_may_be_held(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (scored_files, scoring):
        monkeypatch.setattr(module, "LONGEST", 1 << 13)
        monkeypatch.setattr(scored_files, "_CHUNK", 1 << 10)
    path = tmp_path / "long.txt"
    long = "the quick brown fox " * 1000
    path.write_text(f"first\n{long}\nlast\n")
    model = charloom.load(trained, precision="int8")
    first, middle, last = model.score_files(path, lines=True)
    assert (first.text, last.text, last.line) == ("first", "last", 3)
    assert middle.characters == len(long) + 1 > 1 << 13
    assert middle.text == long[: 1 << 13]
    assert middle.nats == model.score(long + "\n").nats
    assert last.nats == model.score("last\n").nats
    assert middle.end_bits is not None
    with pytest.raises(CorpusError, match=r"line 2 of .* has more than 8,192 characters.*leave that out$"):
        list(model.score_files(path, lines=True, per_char=True))
    with pytest.raises(CorpusError, match=r"long.txt has more than 8,192 characters.*score line by line$"):
        list(model.score_files(path, per_char=True))


def test_standard_input(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    found = list(charloom.load(trained).score_files("-", lines=True))
    assert [(one.file, one.text) for one in found] == [("stdin", "one"), ("stdin", "two")]


def test_what_cannot_be_scored(trained: Path, tmp_path: Path) -> None:
    model = charloom.load(trained)
    (tmp_path / "latin.txt").write_bytes(b"good\nb\xe9d\n")
    with pytest.raises(CorpusError, match=r"latin.txt is not UTF-8: byte 0xE9 at offset 6 \(line 2\)"):
        list(model.score_files(tmp_path / "latin.txt"))
    (one,) = model.score_files(tmp_path / "latin.txt", encoding="latin-1")
    assert one.characters == 9
    with pytest.raises(CorpusError, match="no such file or folder"):
        model.score_files([str(tmp_path / "latin.txt"), str(tmp_path / "nowhere.txt")])
    with pytest.raises(UsageError, match="name a file"):
        model.score_files([])
    with pytest.raises(UsageError, match="name - once"):
        model.score_files(["-", "-"])
    with pytest.raises(UsageError, match="no such text encoding"):
        model.score_files(tmp_path, encoding="klingon")


def test_an_empty_file_costs_nothing(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    model = charloom.load(trained)
    (one,) = model.score_files(tmp_path / "empty.txt")
    assert (one.characters, one.nats, one.bits_per_char) == (0, 0.0, None)
    assert list(model.score_files(tmp_path / "empty.txt", lines=True)) == []
