"""How surprising a text is to a model: nats of files of any size, and of lines, many at a time.

What is scored passes the model's character-level cleaning, as a prompt does. Every text (a file, or with lines each
line) is read from a zero state after the vocabulary's opening character, so its first character is charged too; the
newline that ends a line is not. The unknown character is charged what the model gives id 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charloom.errors import CorpusError
from charloom.runtime.nats import Nats, NatsTotal, nats_of_texts
from charloom.runtime.session import Session, no_number
from charloom.text.cleaning import STEPS, clean_pieces, expand
from charloom.text.vocabulary import Ids, Vocabulary

LONGEST = 1 << 18  # characters of one text that are held at a time
FILES_AT_ONCE = 16  # more are no faster
_HELD_BY_CLEANING = 1 << 22
_WINDOW_CHARACTERS = 1 << 20  # how far lines are gathered and sorted by length before they are read
_WINDOW_LINES = 8192


@dataclass(frozen=True)
class Score:
    """How surprising one text is.

    Attributes:
        text: as the user wrote it; of a line of more than 262,144 characters its beginning; None for a whole file.
        characters: how many the model was charged for, after cleaning.
        unknown: how many of them the model has no id for.
        nats: −ln p of the whole text; an empty text has 0.
        bits_per_char: nats / ln 2 / characters; None for an empty text.
        per_char: where it was asked for, every character as the model read it, and its bits.
        file: the file it stands in, if it stands in one.
        line: which line of the file it is, from 1; None for a whole file.
    """

    text: str | None
    characters: int
    unknown: int
    nats: float
    bits_per_char: float | None
    per_char: tuple[tuple[str, float], ...] | None = None
    file: str | None = None
    line: int | None = None


def bits_per_char(nats: float, characters: int) -> float | None:
    """Bits a character; None where there is none."""
    return nats / math.log(2) / characters if characters else None


@dataclass(frozen=True)
class Text:
    """A text to score.

    Attributes:
        pieces: what it consists of, in order; read once.
        shown: what `Score.text` says.
        file: what `Score.file` says.
        line: what `Score.line` says.
        whole: the pieces are one, in memory, so that it can wait for others.
    """

    pieces: Iterable[str]
    shown: str | None = None
    file: str | None = None
    line: int | None = None
    whole: bool = False


class Scorer:
    """A network and what it takes to show texts to it."""

    def __init__(
        self, session: Session, vocabulary: Vocabulary, cleaning: Sequence[str], *, per_char: bool = False
    ) -> None:
        """Score with a network.

        Args:
            session: the network.
            vocabulary: what its ids mean.
            cleaning: the steps its training text went through; those on single characters are applied.
            per_char: say what every character costs, of texts of at most 262,144 characters.
        """
        self.session = session
        self.vocabulary = vocabulary
        self.steps = tuple(name for name in expand(cleaning) if STEPS[name].character_level)
        self.per_char = per_char

    def in_turn(self, texts: Iterable[Text]) -> Iterator[Score]:
        """Score texts that are in memory, windows of them sorted by length; and larger ones, each alone.

        The order stays as it was. Memory is bounded by the window, or by `LONGEST` where it is larger.

        Raises:
            CorpusError: what every character costs was asked for, of a text too long for that.
            ModelDirectoryError: the network's answer is not a number.
        """
        window: list[Text] = []
        held = 0
        for text in texts:
            if not text.whole:
                yield from self._window(window)
                yield from self.side_by_side([text])
                window, held = [], 0
                continue
            window.append(text)
            held += sum(map(len, text.pieces))
            if held >= _WINDOW_CHARACTERS or len(window) >= _WINDOW_LINES:
                yield from self._window(window)
                window, held = [], 0
        yield from self._window(window)

    def side_by_side(self, texts: Iterable[Text]) -> Iterator[Score]:
        """Score texts of any size, several at a time; the order stays as it was.

        Raises:
            CorpusError: what every character costs was asked for, of a text too long for that.
            ModelDirectoryError: the network's answer is not a number.
        """
        readings: dict[int, _Reading] = {}
        told = 0
        begun = self._begin(texts, readings)
        for number, nats in nats_of_texts(self.session, self.vocabulary.opening_id, begun, FILES_AT_ONCE):
            if nats is not None:
                readings[number].add(nats)
                continue
            readings[number].over = True
            while told in readings and readings[told].over:
                yield readings.pop(told).score()
                told += 1

    def _begin(self, texts: Iterable[Text], readings: dict[int, _Reading]) -> Iterator[Iterator[Ids]]:
        for number, text in enumerate(texts):
            readings[number] = _Reading(text, self)
            yield readings[number].ids()

    def _window(self, texts: Sequence[Text]) -> Iterator[Score]:
        """Score texts in memory, the longest first, so that those of like length stand side by side.

        A text that occurs again costs the same again and is read once: logs repeat themselves.
        """
        readings = [_Reading(text, self) for text in texts]
        ids = [np.concatenate(list(reading.ids())) for reading in readings]
        first: dict[bytes, int] = {}
        same = [first.setdefault(one.tobytes(), place) for place, one in enumerate(ids)]
        order = sorted(first.values(), key=lambda place: -len(ids[place]))
        nats_of: dict[int, list[Nats]] = {place: [] for place in order}
        distinct = (iter([ids[place]]) for place in order)
        for number, nats in nats_of_texts(self.session, self.vocabulary.opening_id, distinct):
            if nats is not None:
                nats_of[order[number]].append(nats)
        for place, reading in zip(same, readings, strict=True):
            for nats in nats_of[place]:
                reading.add(nats)
            yield reading.score()


class _Reading:
    """One text being scored."""

    def __init__(self, text: Text, scorer: Scorer) -> None:
        self.over = False
        self._text = text
        self._scorer = scorer
        self._total = NatsTotal()
        self._characters = 0
        self._unknown = 0
        self._read: list[str] = []  # the cleaned text and its nats, where every character is to be told
        self._nats: list[Nats] = []

    def ids(self) -> Iterator[Ids]:
        """The ids of the cleaned text; counts them on the way."""
        vocabulary = self._scorer.vocabulary
        for piece in self._cleaned():
            self._characters += len(piece)
            if self._scorer.per_char:
                self._keep(piece)
            ids = vocabulary.encode(piece)
            if vocabulary.unknown_id is not None:
                self._unknown += int(np.count_nonzero(ids == vocabulary.unknown_id))
            yield ids

    def _cleaned(self) -> Iterator[str]:
        steps = self._scorer.steps
        return clean_pieces(self._text.pieces, steps, _HELD_BY_CLEANING) if steps else iter(self._text.pieces)

    def _keep(self, piece: str) -> None:
        if self._characters > LONGEST:
            line = self._text.line
            where = self._text.file or "the text"
            raise CorpusError(
                f"{where if line is None else f'line {line:,} of {where}'} has more than {LONGEST:,} characters, too "
                f"many for per-char: leave that out{', or score line by line' if line is None else ''}"
            )
        self._read.append(piece)

    def add(self, nats: Nats) -> None:
        self._total.add(nats)
        if self._scorer.per_char:
            self._nats.append(nats)

    def score(self) -> Score:
        nats = self._total.nats
        if not math.isfinite(nats):
            raise no_number()
        return Score(
            text=self._text.shown,
            characters=self._characters,
            unknown=self._unknown,
            nats=nats,
            bits_per_char=bits_per_char(nats, self._characters),
            per_char=self._per_char() if self._scorer.per_char else None,
            file=self._text.file,
            line=self._text.line,
        )

    def _per_char(self) -> tuple[tuple[str, float], ...]:
        read = "".join(self._read)
        if not read:
            return ()
        nats = np.concatenate(self._nats)
        if len(nats) != len(read):  # bytes: a character costs what its bytes cost
            nats = np.add.reduceat(nats, _starts(read))
        return tuple(zip(read, (nats / math.log(2)).tolist(), strict=True))


def _starts(text: str) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Where the bytes of each character begin in UTF-8; a lone surrogate stands for one byte."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    surrogate = (codes >= 0xD800) & (codes <= 0xDFFF)
    widths = 1 + (codes >= 0x80).astype(np.intp) + (codes >= 0x800) + (codes >= 0x10000)
    widths[surrogate] = 1
    return np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.intp)
