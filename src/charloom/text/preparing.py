"""Prepare a corpus of any size: stream its text into a folder of ids that training reads from the disk.

Two passes in bounded memory. The first reads the sources, which may be readable only once, cleans them into
a temporary file of UTF-8 in the folder, and counts the characters; the second numbers them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np

from charloom.errors import CorpusError, UsageError
from charloom.events import Notify, PreparationProgress, ignore, unfailing
from charloom.files import temporary_beside, write_together
from charloom.folders import claim_folder, why_not
from charloom.settings import ReadingSettings
from charloom.text.cleaning import expand
from charloom.text.corpus import vocabulary_of
from charloom.text.gutenberg import say_gutenberg
from charloom.text.parts import LONGEST, remove_parts
from charloom.text.prepared import IDS, RECORD, VOCABULARY, PreparedRecord
from charloom.text.reading import PIECE, CorpusReader
from charloom.text.sources import check_outside
from charloom.text.vocabulary import CharacterCounts, Vocabulary
from charloom.text.with_workers import CleanedText, EncodedText, PartedText

_TEXT = "text"  # the temporary file's name


def prepare_corpus(
    specs: Sequence[str],
    folder: Path,
    settings: ReadingSettings,
    *,
    overwrite: bool = False,
    workers: int | None = None,
    notify: Notify = ignore,
) -> tuple[PreparedRecord, int]:
    """Stream what `specs` name into a prepared corpus; returns its record and how many bytes were read.

    Whatever fails, the folder holds the whole new corpus, or what it held before and nothing else; with `workers` also
    the finished parts of the new one, which the next attempt continues with.

    Args:
        specs: the corpus arguments.
        folder: where to write; absent, empty, or a prepared corpus if `overwrite`.
        settings: how to read the text.
        overwrite: replace a prepared corpus that is there.
        workers: processes that share the files among them; None: this one reads all.
        notify: receives the progress.
    """
    notify = unfailing(notify)
    reader = CorpusReader(specs, settings, notify, LONGEST)
    with (
        claim_folder(folder, lambda: _check_folder(folder, specs, overwrite), notify),
        temporary_beside(folder / IDS) as ids_file,
    ):
        if workers is None:
            text, vocabulary, encoded = _in_this_process(reader, folder, settings, ids_file, notify)
        else:
            with PartedText(reader, specs, folder, settings, workers, notify) as parted:
                text = parted.read()
                vocabulary = vocabulary_of(text.counts, settings)
                encoded = parted.number(vocabulary, ids_file)
        say_gutenberg(reader.gutenberg, notify)
        names = (json.dumps(vocabulary.to_json(), ensure_ascii=False, indent=1) + "\n").encode()
        record = _record(reader, settings, text, encoded, hashlib.sha256(names).hexdigest())
        write_together(folder, {VOCABULARY: names, RECORD: record.to_json()}, RECORD, {IDS: ids_file})
        remove_parts(folder)
    return record, reader.bytes


def _check_folder(folder: Path, specs: Sequence[str], overwrite: bool) -> None:
    check_outside(folder, specs)
    refusal = why_not(folder, "prepared corpus", overwrite=overwrite)
    if refusal is not None:
        raise UsageError(refusal) if os.path.lexists(folder) and not folder.is_dir() else CorpusError(refusal)


def _in_this_process(
    reader: CorpusReader, folder: Path, settings: ReadingSettings, ids: BinaryIO, notify: Notify
) -> tuple[CleanedText, Vocabulary, EncodedText]:
    with temporary_beside(folder / _TEXT) as file:
        text = _write_text(reader, file, notify)
        vocabulary = vocabulary_of(text.counts, settings)
        return text, vocabulary, _write_ids(file, text.bytes, vocabulary, ids, notify)


def _write_text(reader: CorpusReader, file: BinaryIO, notify: Notify) -> CleanedText:
    counts, digest, written, last = CharacterCounts(), hashlib.sha256(), 0, ""
    for piece in reader:
        encoded = piece.encode("utf-8", "surrogateescape")
        file.write(encoded)
        digest.update(encoded)
        counts.add_encoded(piece, encoded)
        written += len(encoded)
        last = piece[-1]
        notify(PreparationProgress("reading", reader.bytes, None))
    lines = int(counts.by_code[ord("\n")]) + (last != "\n")
    return CleanedText(counts, digest.hexdigest(), written, lines)


def _write_ids(text: BinaryIO, size: int, vocabulary: Vocabulary, file: BinaryIO, notify: Notify) -> EncodedText:
    opening = np.array([vocabulary.opening_id])
    dtype = vocabulary.encode("\n").dtype.newbyteorder("<")
    digest, symbols = hashlib.sha256(), -1  # the opening id is none of the text's
    text.seek(0)
    for ids in chain([opening], vocabulary.encode_chunks(iter(lambda: text.read(PIECE), b""))):
        encoded = ids.astype(dtype, copy=False).data
        file.write(encoded)
        digest.update(encoded)
        symbols += len(ids)
        notify(PreparationProgress("encoding", text.tell(), size))
    return EncodedText(digest.hexdigest(), symbols, dtype.name)


def _record(
    reader: CorpusReader, settings: ReadingSettings, text: CleanedText, encoded: EncodedText, vocabulary_sha256: str
) -> PreparedRecord:
    characters = text.counts.total
    known = int(text.counts.by_code[text.counts.by_code >= settings.min_count].sum())
    return PreparedRecord(
        sources=list(reader.recorded_sources),
        characters=characters,
        lines=text.lines,
        unknown=0 if settings.vocabulary == "bytes" else characters - known,
        sha256=text.sha256,
        cleaning=list(expand(settings.clean)),  # type: ignore[arg-type]  # names of cleaning.STEPS; pydantic checks
        encoding=settings.encoding,
        vocabulary=settings.vocabulary,
        min_count=settings.min_count,
        symbols=encoded.symbols,
        dtype=encoded.dtype,  # type: ignore[arg-type]  # the same
        files={IDS: encoded.sha256, VOCABULARY: vocabulary_sha256},
    )
