"""A prepared corpus that is damaged, hostile or misused is one clear line."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charloom.errors import CharloomError, CorpusError, UsageError
from charloom.settings import CorpusSettings, ReadingSettings
from charloom.text.corpus import CorpusSource, load_corpus
from charloom.text.prepared import IDS, RECORD, VOCABULARY, PreparedCorpus, load_ids, map_ids, prepared_among
from charloom.text.preparing import prepare_corpus
from charloom.text.splits import split_ids
from charloom.text.vocabulary import Ids


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_bytes(b"The quick brown fox.\n" * 1000)
    prepare_corpus([str(tmp_path / "a.txt")], tmp_path / "out", ReadingSettings())
    return tmp_path / "out"


def message_of(folder: Path) -> str:
    """The one line with which the corpus is refused."""
    with pytest.raises(CorpusError) as caught:
        CorpusSource([str(folder)]).encode(ReadingSettings())
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


def change(folder: Path, **values: Any) -> None:
    data = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**data, **values}))


def replace_ids(folder: Path, ids: bytes) -> None:
    """Other ids, with the checksum that fits: what a hostile hand would do."""
    (folder / IDS).write_bytes(ids)
    files = json.loads((folder / RECORD).read_text())["files"]
    change(folder, files={**files, IDS: hashlib.sha256(ids).hexdigest()})


def test_ids_are_a_view_of_the_file_and_so_are_the_parts_of_a_split(folder: Path) -> None:
    whole = PreparedCorpus(folder).whole
    split = split_ids(whole, "tail", 0.1, 500)
    assert [part.predicted for part in (*split.train, *split.validation)] == [20_500, 500]
    for part in (*split.train, *split.validation):
        assert np.shares_memory(part.ids, whole.ids)
        assert not part.ids.flags.writeable


def test_any_part_of_the_ids_can_be_loaded(tmp_path: Path) -> None:
    ids = np.arange(2_000, dtype="<u2")
    (tmp_path / "ids.bin").write_bytes(ids.tobytes())
    mapped = map_ids(tmp_path / "ids.bin", "uint16")
    parts: list[Callable[[Ids], Ids]] = [
        lambda ids: ids,
        lambda ids: ids[7:19],
        lambda ids: ids[5:5],
        lambda ids: ids[::-3],
        lambda ids: ids[100:1_000, None],
        lambda ids: ids[:1_998].reshape(27, 74).T,
        lambda ids: ids[-1:],
    ]
    for part in parts:
        found = load_ids(part(mapped))
        np.testing.assert_array_equal(found, part(ids))
        assert found.size == 0 or not np.shares_memory(found, mapped)
    assert load_ids(ids) is ids, "what is in memory is not copied"


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says what is resident")
def test_what_was_loaded_does_not_stay_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "ids.bin"
    path.write_bytes(bytes(16 << 20))
    ids = map_ids(path, "uint8")
    assert not any(load_ids(ids[start : start + 4096]).any() for start in range(0, len(ids), 4096))
    entry = Path("/proc/self/smaps").read_text().partition(str(path))[2]
    assert int(entry.partition("Rss:")[2].split()[0]) < 1_000


def shorter(path: Path) -> None:
    os.truncate(path, 1)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def others(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


@pytest.mark.parametrize("change", [shorter, longer, others])
def test_a_file_that_was_changed_is_an_error_and_one_that_was_replaced_is_not(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "ids.bin"
    path.write_bytes(bytes(range(100)))
    os.utime(path, (1, 1))
    ids = map_ids(path, "uint8")
    (tmp_path / "new").write_bytes(bytes(100))
    (tmp_path / "new").replace(path)
    assert load_ids(ids).tolist() == list(range(100)), "what was opened is read on"
    os.utime(path, (1, 1))
    ids = map_ids(path, "uint8")
    change(path)
    with pytest.raises(CorpusError, match="was changed by another program while it was in use"):
        load_ids(ids[50:60])


@pytest.mark.parametrize("place", [0, 10_000, -1])
def test_an_altered_byte(folder: Path, place: int) -> None:
    content = bytearray((folder / IDS).read_bytes())
    content[place] ^= 1
    (folder / IDS).write_bytes(content)
    assert "the checksum of ids.bin is not the one in corpus.json; prepare the text again" in message_of(folder)


@pytest.mark.parametrize("size", [0, 1, 20_999, 21_002])
def test_ids_of_another_size(folder: Path, size: int) -> None:
    replace_ids(folder, bytes(size))
    assert f"ids.bin has {size:,} bytes and must have 21,001" in message_of(folder)


def test_an_id_that_the_vocabulary_lacks(folder: Path) -> None:
    content = bytearray((folder / IDS).read_bytes())
    content[500] = 200
    replace_ids(folder, bytes(content))
    assert "ids.bin holds id 200 and vocabulary.json only" in message_of(folder)


@pytest.mark.parametrize("name", [RECORD, IDS, VOCABULARY])
def test_a_file_that_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name} is missing; prepare it again" in message_of(folder)


def test_an_altered_vocabulary(folder: Path) -> None:
    (folder / VOCABULARY).write_text('{"kind": "bytes"}')
    assert "the checksum of vocabulary.json" in message_of(folder)


@pytest.mark.parametrize(
    "content", [b'{"kind": "bytes"}', b'{"kind": "characters", "characters": [null]}', b"[", b"[" * 99_999]
)
def test_a_vocabulary_of_something_else(folder: Path, content: bytes) -> None:
    (folder / VOCABULARY).write_bytes(content)
    files = json.loads((folder / RECORD).read_text())["files"]
    change(folder, files={**files, VOCABULARY: hashlib.sha256(content).hexdigest()})
    assert "is damaged" in message_of(folder)


@pytest.mark.parametrize(
    "values",
    [
        {"dtype": "object"},
        {"dtype": "int8"},
        {"dtype": "uint64"},
        {"dtype": ["uint8"]},
        {"symbols": 10**30},
        {"symbols": -1},
        {"symbols": 21_000.0},
        {"symbols": True},
        {"characters": 2**48},
        {"characters": "21000"},
        {"files": {"../../etc/passwd": "0" * 64, IDS: "0" * 64}},
        {"files": {IDS: "0" * 64}},
        {"files": {IDS: "x", VOCABULARY: "0" * 64}},
        {"cleaning": ["shout"]},
        {"cleaning": "nfc"},
        {"vocabulary": "words"},
        {"vocabulary": "bytes"},
        {"min_count": 0},
        {"sha256": "\x1b[2J"},
        {"format_version": 2},
        {"format_version": True},
        {"format_version": None},
    ],
)
def test_a_hostile_record(folder: Path, values: dict[str, Any]) -> None:
    change(folder, **values)
    assert re.search("is damaged|reads up to|prepare", message_of(folder))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 99_999, b'{"a": 1}'])
def test_a_record_that_is_none(folder: Path, content: bytes) -> None:
    (folder / RECORD).write_bytes(content)
    assert RECORD in message_of(folder)


def test_a_record_too_large_to_be_true(folder: Path) -> None:
    (folder / RECORD).write_bytes(b" " * (2 << 20))
    assert "too large to be true" in message_of(folder)


def test_what_a_later_version_adds_is_passed_over(folder: Path) -> None:
    change(folder, weather="fine")
    assert CorpusSource([str(folder)]).encode(ReadingSettings()).characters == 21_000


def test_it_must_be_named_alone(folder: Path) -> None:
    for specs in ([str(folder), "a.txt"], ["python-docs", str(folder)], [str(folder)] * 2):
        with pytest.raises(UsageError, match="must be named alone"):
            prepared_among(specs)
    for spec in ("-", "python-docs", "a\0b", "~no-such-user-of-this-machine", "x" * 5000, str(folder.parent)):
        assert prepared_among([spec]) is None


def test_it_is_no_text(folder: Path) -> None:
    read: Callable[[], object]
    for read in (
        lambda: load_corpus([str(folder)], ReadingSettings()),
        lambda: prepare_corpus([str(folder)], folder.parent / "again", ReadingSettings()),
    ):
        with pytest.raises(CorpusError, match="is a prepared corpus"):
            read()


def test_settings_that_were_made_by_hand_must_agree(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"Some: thing\nand a second line\n")
    made = ReadingSettings(clean=["article"], encoding="latin-1", min_count=2)
    prepare_corpus([str(tmp_path / "a.txt")], tmp_path / "out", made)
    prepared = PreparedCorpus(tmp_path / "out")
    steps = ["drop-speaker-lines", "drop-empty-lines", "lowercase", "join-lines"]
    own = {"clean": steps, "encoding": "latin-1", "vocabulary": "characters", "min_count": 2}
    for same in (CorpusSettings(), CorpusSettings(clean=["article"], min_count=2), CorpusSettings(encoding="latin-1")):
        assert prepared.adopt(same) == own
    for other, option in (
        (CorpusSettings(clean=[]), "--clean"),
        (CorpusSettings(encoding="utf-8"), "--encoding latin-1, not utf-8"),
        (CorpusSettings(min_count=1), "--min-count 2, not 1"),
        (CorpusSettings(vocabulary="bytes"), "--vocabulary characters, not bytes"),
    ):
        with pytest.raises(UsageError, match=option):
            prepared.adopt(other)


def test_every_error_is_ours(folder: Path) -> None:
    """Whatever single byte of the record is changed: it is read, or refused in a line."""
    content = (folder / RECORD).read_bytes()
    for place in range(0, len(content), 7):
        (folder / RECORD).write_bytes(content[:place] + b"9" + content[place + 1 :])
        try:
            CorpusSource([str(folder)]).encode(ReadingSettings())
        except CharloomError as error:
            assert str(error).isprintable()  # noqa: PT017
