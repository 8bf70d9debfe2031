"""Preparing against reading into memory, and what it leaves behind when it fails."""

from __future__ import annotations

import contextlib
import errno
import functools
import gzip
import hashlib
import io
import os
import re
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.errors import CharloomError, CorpusError, StorageError, UsageError
from charloom.events import Event, PreparationProgress, ignore
from charloom.settings import ReadingSettings
from charloom.text import preparing, reading
from charloom.text.corpus import CorpusSource, build_vocabulary, load_corpus
from charloom.text.prepared import IDS, RECORD, VOCABULARY, PreparedCorpus
from charloom.text.preparing import prepare_corpus
from charloom.text.sources import Document
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary

FILES = {RECORD, IDS, VOCABULARY}


@contextlib.contextmanager
def small_pieces(size: int) -> Iterator[None]:
    """Everything that goes chunk by chunk goes in chunks of `size`."""
    honest = Document.chunks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Document, "chunks", functools.partialmethod(honest, size))
        patch.setattr(reading, "PIECE", size)
        patch.setattr(preparing, "PIECE", size)
        yield


def prepare(specs: list[Path], folder: Path, overwrite: bool = False, **choices: Any) -> PreparedCorpus:
    prepare_corpus([str(spec) for spec in specs], folder, ReadingSettings(**choices), overwrite=overwrite)
    prepared = PreparedCorpus(folder)
    prepared.verify()
    return prepared


WHOLE: dict[str, Callable[[str], str]] = {
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "lowercase": str.lower,
    "mask-numbers": lambda text: re.sub(r"[^ \t\n]*[0-9][^ \t\n]*", "0", text),
    "drop-speaker-lines": lambda text: "\n".join(line for line in text.split("\n") if ":" not in line),
    "drop-empty-lines": lambda text: "\n".join(line for line in text.split("\n") if line),
    "join-lines": lambda text: text.replace("\n", " "),
}


def naive(contents: list[bytes], choices: ReadingSettings) -> str:
    """The cleaned text, written down independently and all at once."""
    joined = ""
    for content in contents:
        text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
        joined += "\n" if joined and not joined.endswith("\n") else ""
        joined += text.replace("\r\n", "\n").replace("\r", "\n")
    for step in choices.clean:
        joined = WHOLE[step](joined)
    return joined


def naive_vocabulary(text: str, choices: ReadingSettings) -> Vocabulary:
    if choices.vocabulary == "bytes":
        return ByteVocabulary()
    return CharacterVocabulary(sorted(c for c in set(text) if text.count(c) >= choices.min_count))


PARTS = ["a", "b", "A", ":", "Σ", "'", "é", "e\u0301", "世", "😀", " ", "\n", "\r", "\r\n", "\ufeff"]
content = st.lists(st.sampled_from(PARTS), max_size=25).map(lambda parts: "".join(parts).encode())
contents = st.lists(content, min_size=1, max_size=5)
choices = st.builds(
    ReadingSettings,
    clean=st.lists(st.sampled_from(sorted(WHOLE)), max_size=3),
    vocabulary=st.sampled_from(["characters", "bytes"]),
    min_count=st.integers(1, 3),
)


def refused(specs: list[str], choices: ReadingSettings) -> str:
    """Why the corpus cannot be read into memory; empty if it can."""
    try:
        build_vocabulary(load_corpus(specs, choices), choices)
    except CorpusError as error:
        return str(error)
    return ""


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(contents, choices, st.integers(1, 9), st.booleans())
def test_prepared_is_what_is_read_into_memory(
    contents: list[bytes], choices: ReadingSettings, size: int, damaged: bool
) -> None:
    if damaged and choices.vocabulary == "bytes":
        contents = [content + b"\xff\xe4\xb8" for content in contents]
    with tempfile.TemporaryDirectory() as name:
        for place, content in enumerate(contents):
            (Path(name) / f"{place:03}.txt").write_bytes(content)
        specs = [f"{name}/*.txt"]
        refusal = refused(specs, choices)
        if refusal:
            with pytest.raises(CorpusError) as caught, small_pieces(size):
                prepare_corpus(specs, Path(name) / "out", choices)
            assert str(caught.value) == refusal
            assert not (Path(name) / "out").exists()
            return
        corpus = load_corpus(specs, choices)
        vocabulary = build_vocabulary(corpus, choices)
        with small_pieces(size):
            record, read = prepare_corpus(specs, Path(name) / "out", choices)
        prepared = PreparedCorpus(Path(name) / "out")
        prepared.verify()
        ids = np.array(prepared.whole.ids)
    text = naive(contents, choices)
    assert text == corpus.text
    assert read == sum(map(len, contents))
    assert record.sha256 == corpus.sha256 == hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    assert (record.characters, record.sources) == (len(text), list(corpus.sources))
    assert record.lines == text.count("\n") + (not text.endswith("\n"))
    assert vocabulary.to_json() == prepared.vocabulary.to_json() == naive_vocabulary(text, choices).to_json()
    assert ids.tolist() == [vocabulary.opening_id, *vocabulary.encode(text).tolist()]
    assert record.unknown == (0 if choices.vocabulary == "bytes" else ids[1:].tolist().count(0))


@pytest.mark.parametrize(("characters", "dtype"), [(255, "uint8"), (256, "uint16"), (66_000, "uint32")])
def test_ids_are_as_wide_as_they_need_be(tmp_path: Path, characters: int, dtype: str) -> None:
    (tmp_path / "a.txt").write_text("".join(map(chr, range(0x20000, 0x20000 + characters))), "utf-8")
    prepared = prepare([tmp_path / "a.txt"], tmp_path / "out")
    whole = CorpusSource([str(tmp_path / "a.txt")]).encode(ReadingSettings()).whole
    assert prepared.record.dtype == dtype
    np.testing.assert_array_equal(prepared.whole.ids, whole.ids)


def test_sources_that_can_be_read_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "Größe\r\n".encode() * 1000
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with small_pieces(1000):
        record, read = prepare_corpus(["-", str(tmp_path / "a.txt.gz")], tmp_path / "out", ReadingSettings())
    assert read == 2 * len(content)
    assert record.sources == ["stdin", "a.txt.gz"]
    assert record.sha256 == hashlib.sha256("Größe\n".encode() * 2000).hexdigest()


def test_progress_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc\n" * 1000)
    events: list[Event] = []
    with small_pieces(100):
        prepare_corpus([str(tmp_path / "a.txt")], tmp_path / "out", ReadingSettings(), notify=events.append)
    progress = [event for event in events if isinstance(event, PreparationProgress)]
    assert [event.stage for event in progress] == sorted((event.stage for event in progress), reverse=True)
    assert {(event.done, event.total) for event in progress} >= {(4000, None), (4000, 4000)}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(b"The quick brown fox.\n" * 100)
    return path


def test_a_taken_folder(text: Path, tmp_path: Path) -> None:
    first = prepare([text], tmp_path / "out")
    with pytest.raises(CorpusError, match="already holds a prepared corpus"):
        prepare([text], tmp_path / "out")
    (tmp_path / "out" / RECORD).rename(tmp_path / "out" / f".{RECORD}.123.part")  # killed before the last rename
    with pytest.raises(CorpusError, match="already holds a prepared corpus"):
        prepare([text], tmp_path / "out")
    second = prepare([text], tmp_path / "out", overwrite=True, clean=["lowercase"])
    assert second.record.sha256 != first.record.sha256
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "vocabulary.json").write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(CorpusError, match="holds other files"):
            prepare([text], tmp_path / "model", overwrite)
    assert (tmp_path / "model" / "vocabulary.json").read_text() == "{}"


def test_an_output_inside_the_corpus(text: Path) -> None:
    for output in (text.parent, text.parent / "out"):
        with pytest.raises(UsageError, match="inside the corpus"):
            prepare([text.parent], output)


def test_an_output_that_is_a_file(text: Path) -> None:
    with pytest.raises(UsageError, match="is a file: name a folder"):
        prepare([text], text)


class Interrupted:
    """Receives a number of events of a stage, then raises."""

    def __init__(self, stage: str, error: BaseException) -> None:
        self.stage, self.error = stage, error

    def __call__(self, event: Event) -> None:
        if isinstance(event, PreparationProgress) and event.stage == self.stage:
            raise self.error


@pytest.mark.parametrize("stage", ["reading", "encoding"])
def test_what_is_interrupted_on_the_way_leaves_what_was_there(text: Path, tmp_path: Path, stage: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus([str(text)], tmp_path / "new", ReadingSettings(), notify=Interrupted(stage, KeyboardInterrupt()))
    assert not (tmp_path / "new").exists()

    before = prepare([text], tmp_path / "out").record
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(
            [str(text)],
            tmp_path / "out",
            ReadingSettings(clean=["lowercase"]),
            overwrite=True,
            notify=Interrupted(stage, KeyboardInterrupt()),
        )
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    after = PreparedCorpus(tmp_path / "out")
    after.verify()
    assert after.record == before


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_full_disk_when_it_is_flushed(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    calls: list[int] = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="disk is full"):
        prepare([text], tmp_path / "out")
    assert len(calls) == number
    assert not (tmp_path / "out").exists()


def test_what_a_killed_process_left_is_removed(text: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in (".text.4999999.part", ".ids.bin.4999999.part"):
        (tmp_path / "out" / name).write_bytes(b"half")
    prepare([text], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_a_source_that_breaks_off(text: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.txt.gz").write_bytes(gzip.compress(os.urandom(5000).hex().encode())[:-100])
    with pytest.raises(CorpusError, match=r"cannot read .*bad\.txt\.gz"):
        prepare([text, tmp_path / "bad.txt.gz"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_memory_stays_small_for_a_line_without_an_end(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "LONGEST", 1000)
    (tmp_path / "b.txt").write_text("世" * 2000, "utf-8")
    with pytest.raises(CharloomError, match="more than 1,000 characters"), small_pieces(10):
        prepare_corpus(
            [str(tmp_path / "b.txt")], tmp_path / "out", ReadingSettings(clean=["drop-speaker-lines"]), notify=ignore
        )
