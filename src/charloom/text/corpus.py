"""A corpus: its text, cleaned, or its ids, whether it was read just now or prepared ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, Unpack

from charloom.errors import CorpusError, UsageError
from charloom.events import Notice, Notify, ignore, unfailing
from charloom.options import ReadingOptions
from charloom.settings import ReadingSettings, validate
from charloom.text.cleaning import expand
from charloom.text.gutenberg import say_gutenberg
from charloom.text.prepared import prepared_among
from charloom.text.reading import CorpusReader
from charloom.text.sources import list_specs
from charloom.text.splits import Segment, with_opening
from charloom.text.vocabulary import ByteVocabulary, CharacterCounts, CharacterVocabulary, Vocabulary, grow_vocabulary

LARGE = 500_000_000  # characters in memory from which on a notice says that a text can be prepared instead
_HASH_CHUNK = 1 << 22


@dataclass(frozen=True)
class Corpus:
    """A text ready to be numbered.

    Attributes:
        text: all documents joined, decoded, normalized and cleaned.
        sources: where it came from, as `Document.source` says.
        cleaning: the steps that were applied, sets spelled out.
        settings: how it was read, and is numbered.
        gutenberg: the first document with header or licence of Project Gutenberg in it.
    """

    text: str
    sources: tuple[str, ...]
    cleaning: tuple[str, ...]
    settings: ReadingSettings
    gutenberg: str | None = None

    def __repr__(self) -> str:
        """Where it came from, how long it is, how it begins."""
        sources = f"{self.sources[0]} and {len(self.sources) - 1:,} more" if self.sources[1:] else "".join(self.sources)
        return f"<charloom.Corpus {sources}: {len(self.text):,} characters, beginning {self.text[:40]!r}>"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Its characters and their ids, as training would number them: `encode`, `decode`, `size`."""
        return build_vocabulary(self, self.settings)

    @cached_property
    def sha256(self) -> str:
        """The fingerprint: SHA-256 of the cleaned text in UTF-8."""
        digest = hashlib.sha256()
        for start in range(0, len(self.text), _HASH_CHUNK):
            digest.update(self.text[start : start + _HASH_CHUNK].encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def load_corpus(specs: Sequence[str], settings: ReadingSettings, notify: Notify = ignore) -> Corpus:
    """Read, decode, join and clean what `specs` name.

    Documents are joined as files are by `cat`, with a newline added where one does not end in one.
    """
    reader = CorpusReader(specs, settings, notify)
    pieces: list[str] = []
    characters = 0
    for piece in reader:
        pieces.append(piece)
        if characters <= LARGE < characters + len(piece):
            notify(Notice("a large text, held in memory whole: charloom corpus prepare makes that unnecessary"))
        characters += len(piece)
    return Corpus("".join(pieces), reader.recorded_sources, expand(settings.clean), settings, reader.gutenberg)


def read_corpus(
    corpus: str | Path | Sequence[str | Path], *, notify: Notify = ignore, **options: Unpack[ReadingOptions]
) -> Corpus:
    """Read a text as `train` reads it, into memory: decoded, joined and cleaned.

    Args:
        corpus: a file, folder, glob, address or name, or several.
        notify: receives notices of what is passed over and fetched.
        **options: `clean`, `encoding`, `vocabulary`, `min_count`, as for `train`.

    Raises:
        UsageError: an option cannot work, or a prepared corpus is named: it stays on the disk.
        CorpusError: the text cannot be read.
    """
    specs = list_specs(corpus)
    if prepared_among(specs) is not None:
        raise UsageError("a prepared corpus stays on the disk: name the text that it was prepared from")
    return load_corpus(specs, validate(ReadingSettings, options), unfailing(notify))


def build_vocabulary(corpus: Corpus, settings: ReadingSettings) -> Vocabulary:
    """The vocabulary that `settings` asks for."""
    counts = CharacterCounts()
    counts.add(corpus.text)
    return vocabulary_of(counts, settings)


def vocabulary_of(counts: CharacterCounts, settings: ReadingSettings) -> Vocabulary:
    """The vocabulary that `settings` asks for, of a text whose characters have been counted."""
    distinct = counts.distinct
    if len(distinct) < 2 and (settings.vocabulary == "bytes" or settings.min_count == 1):
        raise CorpusError(
            f"the text is one character, {distinct[0]!r}, {counts.total:,} times over: there is nothing to learn"
        )
    if settings.vocabulary == "bytes":
        return ByteVocabulary()
    vocabulary = CharacterVocabulary.from_counts(counts, settings.min_count)
    if len(vocabulary.characters) < 2:
        raise CorpusError(f"fewer than two characters occur {settings.min_count} times; lower --min-count")
    return vocabulary


@dataclass(frozen=True)
class EncodedCorpus:
    """A corpus ready to be split.

    Attributes:
        sources: where it came from.
        characters: how many the cleaned text has.
        sha256: its fingerprint, of the cleaned text in UTF-8.
        vocabulary: the meaning of its ids.
        whole: its ids.
    """

    sources: Sequence[str]
    characters: int
    sha256: str
    vocabulary: Vocabulary
    whole: Segment


Reading = TypeVar("Reading", bound=ReadingSettings)


class CorpusSource:
    """What was named as a corpus: texts, or a prepared corpus, which is opened here, once.

    Attributes:
        specs: the names.
        prepared: the prepared corpus, if one is named.
    """

    def __init__(self, specs: Sequence[str]) -> None:
        """Look at what is named; no text is read."""
        self.specs = specs
        self.prepared = prepared_among(specs)

    def adopt(self, settings: Reading) -> Reading:
        """The settings that hold: a prepared corpus says itself how it was read."""
        return settings if self.prepared is None else settings.model_copy(update=self.prepared.adopt(settings))

    def encode(
        self, settings: ReadingSettings, notify: Notify = ignore, known: Vocabulary | None = None
    ) -> EncodedCorpus:
        """Read and number the texts; a prepared corpus is verified and stays on the disk.

        The ids of the vocabulary `known` stay what they are; characters it lacks come at its end.
        """
        if self.prepared is None:
            corpus = load_corpus(self.specs, settings, notify)
            say_gutenberg(corpus.gutenberg, notify)
            vocabulary = grow_vocabulary(known, build_vocabulary(corpus, settings))
            whole = with_opening(vocabulary.encode(corpus.text), vocabulary.opening_id)
            return EncodedCorpus(corpus.sources, len(corpus.text), corpus.sha256, vocabulary, whole)
        if known is not None and known.to_json() != self.prepared.vocabulary.to_json():
            raise UsageError("a prepared corpus has its own ids, which are not the model's: name the text itself")
        self.prepared.verify()
        record = self.prepared.record
        return EncodedCorpus(
            record.sources, record.characters, record.sha256, self.prepared.vocabulary, self.prepared.whole
        )
