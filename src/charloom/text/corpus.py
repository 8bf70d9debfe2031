"""A corpus: the text itself, cleaned, and where it came from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from charloom.errors import CorpusError
from charloom.events import Notify, ignore
from charloom.settings import CorpusSettings
from charloom.text.cleaning import clean, expand
from charloom.text.decoding import check_encoding, decode
from charloom.text.sources import read_documents
from charloom.text.vocabulary import ByteVocabulary, CharacterVocabulary, Vocabulary

_HASH_CHUNK = 1 << 22
_RECORDED_SOURCES = 20


@dataclass(frozen=True)
class Corpus:
    """A text ready to be numbered.

    Attributes:
        text: all documents joined, decoded, normalized and cleaned.
        sources: where it came from, as `Document.source` says.
        cleaning: the steps that were applied, sets spelled out.
    """

    text: str
    sources: tuple[str, ...]
    cleaning: tuple[str, ...]

    @cached_property
    def sha256(self) -> str:
        """The fingerprint: SHA-256 of the cleaned text in UTF-8."""
        digest = hashlib.sha256()
        for start in range(0, len(self.text), _HASH_CHUNK):
            digest.update(self.text[start : start + _HASH_CHUNK].encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def load_corpus(specs: Sequence[str], settings: CorpusSettings, notify: Notify = ignore) -> Corpus:
    """Read, decode, join and clean what `specs` name.

    Documents are joined as files are by `cat`, with a newline added where one does not end in one.

    Raises:
        CorpusError: nothing to read, not decodable, or nothing left after cleaning.
        UsageError: the encoding has no such name.
    """
    check_encoding(settings.encoding)
    texts: list[str] = []
    names: list[str] = []
    sources: Counter[str] = Counter()
    for document in read_documents(specs, notify):
        keep_bytes = settings.vocabulary == "bytes"
        text = decode(document.content, document.name, settings.encoding, keep_bytes=keep_bytes)
        if texts and texts[-1] and not texts[-1].endswith("\n"):
            texts.append("\n")
        texts.append(text)
        names.append(document.name)
        sources[document.source] += 1
    text = "".join(texts)
    if not text:
        raise CorpusError(f"{_shown(names)} is empty: there is nothing to learn from")
    text = clean(text, settings.clean)
    if not text:
        raise CorpusError(f"nothing is left of {_shown(names)} after cleaning with {', '.join(settings.clean)}")
    return Corpus(text, _recorded(sources), expand(settings.clean))


def build_vocabulary(corpus: Corpus, settings: CorpusSettings) -> Vocabulary:
    """The vocabulary that `settings` asks for.

    Raises:
        CorpusError: the text has fewer than two different characters that are frequent enough.
    """
    if settings.vocabulary == "bytes":
        if len(set(corpus.text)) < 2:
            raise CorpusError(_one_character(corpus.text))
        return ByteVocabulary()
    vocabulary = CharacterVocabulary.from_text(corpus.text, settings.min_count)
    if len(vocabulary.characters) < 2:
        if settings.min_count > 1:
            raise CorpusError(f"fewer than two characters occur {settings.min_count} times; lower --min-count")
        raise CorpusError(_one_character(corpus.text))
    return vocabulary


def _one_character(text: str) -> str:
    return f"the text is one character, {text[0]!r}, {len(text):,} times over: there is nothing to learn"


def _recorded(sources: Counter[str]) -> tuple[str, ...]:
    """A bounded list: a million files must not make a model's config.json too large to read."""
    labels = [f"{source} ({count:,} files)" if count > 1 else source for source, count in sources.items()]
    more = len(labels) - _RECORDED_SOURCES
    return (*labels[:_RECORDED_SOURCES], f"and {more:,} more") if more > 0 else tuple(labels)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
