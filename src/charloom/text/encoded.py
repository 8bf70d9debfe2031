"""A corpus as ids, whether its text was read just now or prepared ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from charloom.errors import UsageError
from charloom.events import Notify, ignore
from charloom.settings import ReadingSettings
from charloom.text.corpus import build_vocabulary, load_corpus
from charloom.text.prepared import prepared_among
from charloom.text.splits import Segment, with_opening
from charloom.text.vocabulary import Vocabulary, grown


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


def encoded_corpus(
    specs: Sequence[str], settings: ReadingSettings, notify: Notify = ignore, known: Vocabulary | None = None
) -> EncodedCorpus:
    """Read and number what `specs` name; a prepared corpus is verified and stays on the disk.

    The ids of the vocabulary `known` stay what they are; characters it lacks come at its end.

    Raises:
        CorpusError: it cannot be read, is damaged, or is too little.
        UsageError: the encoding has no such name, or a prepared corpus is not named alone or has other ids.
    """
    prepared = prepared_among(specs)
    if prepared is not None:
        if known is not None and known.to_json() != prepared.vocabulary.to_json():
            raise UsageError("a prepared corpus has its own ids, which are not the model's: name the text itself")
        prepared.verify()
        record = prepared.record
        return EncodedCorpus(record.sources, record.characters, record.sha256, prepared.vocabulary, prepared.whole)
    corpus = load_corpus(specs, settings, notify)
    vocabulary = grown(known, build_vocabulary(corpus, settings))
    whole = with_opening(vocabulary.encode(corpus.text), vocabulary.opening_id)
    return EncodedCorpus(corpus.sources, len(corpus.text), corpus.sha256, vocabulary, whole)
