"""The one way from sources to cleaned text: piece by piece, in memory that does not grow with the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from charloom.errors import CorpusError
from charloom.events import Notify
from charloom.settings import ReadingSettings
from charloom.text.cleaning import STEPS, UNLIMITED, clean_pieces, expand
from charloom.text.decoding import check_encoding, decode_chunks
from charloom.text.gutenberg import GutenbergMarks
from charloom.text.sources import Document, read_documents

PIECE = 1 << 19  # characters
_RECORDED_SOURCES = 20
_SHOWN_NAMES = 3


class CorpusReader:
    """Reads, decodes, joins and cleans what corpus arguments name. Iterate over it once, for pieces of the text.

    Documents are joined as files are by `cat`, with a newline added where one does not end in one.

    Attributes:
        bytes: how much was read so far.
        gutenberg: the first document from which header and licence of Project Gutenberg were not left out.
    """

    def __init__(
        self, specs: Sequence[str], settings: ReadingSettings, notify: Notify, longest: int = UNLIMITED
    ) -> None:
        """Nothing is read yet.

        Args:
            specs: the corpus arguments.
            settings: how to read.
            notify: receives notices of what is passed over and fetched.
            longest: how many characters cleaning may hold back at a time.
        """
        check_encoding(settings.encoding)
        self.bytes = 0
        self.gutenberg: str | None = None
        steps = expand(settings.clean)
        self._steps_of_each = [name for name in steps if STEPS[name].by_document]
        self._steps_of_all = [name for name in steps if not STEPS[name].by_document]
        self._specs = specs
        self._settings = settings
        self._notify = notify
        self._longest = longest
        self._names: list[str] = []
        self._documents = 0
        self._sources: Counter[str] = Counter()

    def __iter__(self) -> Iterator[str]:
        """Cleaned pieces of half a million characters or more but for the last, none of them empty."""
        left = False
        for piece in gather(clean_pieces(self._joined(), self._steps_of_all, self._longest)):
            left = True
            yield piece
        if not left:
            raise self.nothing_is_left()

    @property
    def recorded_sources(self) -> tuple[str, ...]:
        """A bounded list: a million files must not make a model's config.json too large to read."""
        labels = [f"{source} ({count:,} files)" if count > 1 else source for source, count in self._sources.items()]
        more = len(labels) - _RECORDED_SOURCES
        return (*labels[:_RECORDED_SOURCES], f"and {more:,} more") if more > 0 else tuple(labels)

    def nothing_is_left(self) -> CorpusError:
        """The error where cleaning left nothing."""
        steps = ", ".join(self._settings.clean)
        return CorpusError(f"nothing is left of {self._shown()} after cleaning with {steps}")

    def nothing_to_read(self) -> CorpusError:
        """The error where all documents are empty."""
        return CorpusError(f"{self._shown()} is empty: there is nothing to read")

    def _joined(self) -> Iterator[str]:
        last = ""
        for document in read_documents(self._specs, self._notify):
            self.remember(document)
            if last not in ("", "\n"):
                yield "\n"
                last = "\n"
            marks = GutenbergMarks()
            for piece in marks.watch(clean_pieces(self._decoded(document), self._steps_of_each, self._longest)):
                last = piece[-1:] or last
                yield piece
            if marks.found and self.gutenberg is None:
                self.gutenberg = document.name
        if not last and not (self._steps_of_each and self.bytes):
            raise self.nothing_to_read()

    def _decoded(self, document: Document) -> Iterator[str]:
        settings = self._settings
        keep_bytes = settings.vocabulary == "bytes"
        return decode_chunks(self._counted(document), document.name, settings.encoding, keep_bytes=keep_bytes)

    def _counted(self, document: Document) -> Iterator[bytes]:
        for chunk in document.chunks():
            self.bytes += len(chunk)
            yield chunk

    def remember(self, document: Document) -> None:
        """Record a document as a source."""
        self._sources[document.source] += 1
        self._documents += 1
        if len(self._names) < _SHOWN_NAMES:
            self._names.append(document.name)

    def _shown(self) -> str:
        more = self._documents - len(self._names)
        return ", ".join(self._names) + (f" and {more} more" if more else "")


def gather(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in pieces of at least `PIECE` characters, but for the last: small files cost no more than large."""
    waiting: list[str] = []
    length = 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length >= PIECE:
            yield "".join(waiting)
            waiting, length = [], 0
    if length:
        yield "".join(waiting)
