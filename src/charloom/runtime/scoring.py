"""How surprising a text is to a model: nats of files of any size, and of lines, many at a time.

What is scored passes the model's character-level cleaning, as a prompt does. Every text (a file, or with lines each
line) is read from a zero state after the vocabulary's opening character, so its first character is charged too. The
newline that ends a line is charged where the vocabulary has one: a line that was cut short ends where none should. The
unknown character is charged what the model gives id 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.errors import CorpusError
from charloom.runtime.masks import Masks, charged, compile_masks
from charloom.runtime.scores import Costliest, NatsTotal, Score, bits, bits_per_char
from charloom.runtime.session import Nats, Session, no_number
from charloom.runtime.side_by_side import nats_of_texts
from charloom.text.cleaning import STEPS, clean_pieces, clean_prompt, expand
from charloom.text.vocabulary import Ids, Vocabulary

LONGEST = 1 << 18  # characters of one text that are held at a time
FILES_AT_ONCE = 16  # more are no faster
_HELD_BY_CLEANING = 1 << 22
_WINDOW_CHARACTERS = 1 << 20  # how far lines are gathered and sorted by length before they are read
_WINDOW_LINES = 8192


@dataclass(frozen=True)
class Text:
    """A text to score.

    Attributes:
        pieces: what it consists of, in order; read once.
        shown: what `Score.text` says.
        file: what `Score.file` says.
        line: what `Score.line` says.
        whole: the pieces are in memory, so that it can wait for others.
        is_line: a line end follows it, which is charged where the model has one.
    """

    pieces: Iterable[str]
    shown: str | None = None
    file: str | None = None
    line: int | None = None
    whole: bool = False
    is_line: bool = False


def line_end(vocabulary: Vocabulary, cleaning: Sequence[str]) -> str:
    """What ends a line as the model reads it: a newline, or nothing where its texts have none."""
    newline = clean_prompt("\n", cleaning)
    return "\n" if newline == "\n" and not vocabulary.unknown_characters(newline) else ""


def as_line(text: str, line_end: str) -> str:
    """A line with the line end that follows it, which it may have already."""
    return text if line_end and text.endswith(line_end) else text + line_end


class Scorer:
    """A network and what it takes to show texts to it."""

    def __init__(
        self,
        session: Session,
        vocabulary: Vocabulary,
        cleaning: Sequence[str],
        *,
        per_char: bool = False,
        mask: Masks = (),
    ) -> None:
        """Score with a network.

        Args:
            session: the network.
            vocabulary: what its ids mean.
            cleaning: the steps its training text went through; those on single characters are applied.
            per_char: say what every character costs, of texts of at most 262,144 characters.
            mask: what these regular expressions match in a text as the model reads it is read and not charged.
        """
        self.masks = compile_masks(mask)
        self.session = session
        self.vocabulary = vocabulary
        self.steps = tuple(name for name in expand(cleaning) if STEPS[name].character_level)
        self.line_end = line_end(vocabulary, cleaning)
        self.per_char = per_char
        self.compared = False  # with another model's, character by character

    def in_turn(self, texts: Iterable[Text | None]) -> Iterator[Score]:
        """Score texts that are in memory, windows of them sorted by length; and larger ones, each alone.

        The order stays as it was. Memory is bounded by the window, or by `LONGEST` where it is larger. A window ends at
        None, so that what is there is scored before the next text is waited for.
        """
        window: list[Text] = []
        held = 0
        for text in texts:
            if text is None or not text.whole:
                yield from self.window(window)
                yield from self.side_by_side([text] if text else [])
                window, held = [], 0
                continue
            window.append(text)
            held += sum(map(len, text.pieces))
            if held >= _WINDOW_CHARACTERS or len(window) >= _WINDOW_LINES:
                yield from self.window(window)
                window, held = [], 0
        yield from self.window(window)

    def side_by_side(self, texts: Iterable[Text]) -> Iterator[Score]:
        """Score texts of any size, several at a time; the order stays as it was."""
        readings: dict[int, Reading] = {}
        next_number = 0
        begun = self._begin(texts, readings)
        for number, nats in nats_of_texts(self.session, self.vocabulary.opening_id, begun, FILES_AT_ONCE):
            if nats is not None:
                readings[number].add(nats)
                continue
            readings[number].over = True
            while next_number in readings and readings[next_number].over:
                yield readings.pop(next_number).score()
                next_number += 1

    def _begin(self, texts: Iterable[Text], readings: dict[int, Reading]) -> Iterator[Iterator[Ids]]:
        for number, text in enumerate(texts):
            readings[number] = Reading(text, self)
            yield readings[number].ids()

    def window(self, texts: Sequence[Text]) -> Iterator[Score]:
        """Score texts in memory; the order stays as it was."""
        return (reading.score() for reading in self.read_window(texts))

    def read_window(self, texts: Sequence[Text]) -> Iterator[Reading]:
        """Read texts in memory, the longest first, so that those of like length are side by side.

        A text that occurs again costs the same again and is read once: logs repeat themselves.
        """
        readings = [Reading(text, self) for text in texts]
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
            yield reading


class Reading:
    """One text being scored.

    Attributes:
        costs: where another model's are compared with them, the nats of each character that are not yet; NaN of one
            that is not charged.
        over: all its nats were added.
    """

    def __init__(self, text: Text, scorer: Scorer) -> None:
        self.costs = CharacterCosts() if scorer.compared else None
        self.over = False
        self._text = text
        self._scorer = scorer
        self._ends = text.is_line and bool(scorer.line_end)
        self._total = NatsTotal()
        self._costliest = Costliest(scorer.vocabulary)
        self._waiting = _Waiting()
        self._waiting_charged = _Waiting()
        self._characters = 0
        self._unknown = 0
        self._kept = 0
        self._read: list[str] = []  # the cleaned text and its nats, where every character is to be reported
        self._nats: list[Nats] = []

    def ids(self) -> Iterator[Ids]:
        """The ids of the cleaned text; counts them on the way."""
        vocabulary = self._scorer.vocabulary
        for piece in self._cleaned():
            if self._scorer.per_char:
                self._keep(piece)
            ids = vocabulary.encode(piece)
            counted = ids
            self._characters += len(piece)
            if self._scorer.masks:
                in_piece = charged(self._scorer.masks, piece)
                self._characters -= len(piece) - int(in_piece.sum())
                in_ids = in_piece if len(ids) == len(piece) else np.repeat(in_piece, _widths(piece, len(ids)))
                self._waiting_charged.add(in_ids)
                counted = ids[in_ids]
            if self.costs is not None:
                self.costs.expect(_widths(piece, len(ids)))
            if vocabulary.unknown_id is not None:
                self._unknown += int(np.count_nonzero(counted == vocabulary.unknown_id))
            self._waiting.add(ids)
            yield ids

    def _cleaned(self) -> Iterator[str]:
        steps = self._scorer.steps
        pieces: Iterator[str] = chain(self._text.pieces, [self._scorer.line_end] if self._ends else [])
        if self._text.whole:
            pieces = iter(["".join(pieces)])
        return clean_pieces(pieces, steps, _HELD_BY_CLEANING) if steps else pieces

    def _keep(self, piece: str) -> None:
        self._kept += len(piece)
        if self._kept > LONGEST:
            line = self._text.line
            where = self._text.file or "the text"
            raise CorpusError(
                f"{where if line is None else f'line {line:,} of {where}'} has more than {LONGEST:,} characters, too "
                f"many for per-char: leave that out{', or score line by line' if line is None else ''}"
            )
        self._read.append(piece)

    def add(self, nats: Nats) -> None:
        """Add the next nats, (T,)."""
        if self._scorer.masks:
            in_nats = self._waiting_charged.take(len(nats))
            compared, nats = np.where(in_nats, nats, np.nan), nats * in_nats
        else:
            compared = nats
        if self.costs is not None:
            self.costs.add(compared)
        self._total.add(nats)
        self._costliest.add(nats, self._waiting.take(len(nats)))
        if self._scorer.per_char:
            self._nats.append(nats)

    def score(self) -> Score:
        """What it costs; all its nats were added."""
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
            worst_bits=None if self._costliest.nats is None or not self._characters else bits(self._costliest.nats),
            end_bits=bits(self._costliest.last) if self._ends else None,
        )

    def _per_char(self) -> tuple[tuple[str, float], ...]:
        read = "".join(self._read)
        if not read:
            return ()
        nats = np.concatenate(self._nats)
        if len(nats) != len(read):  # bytes: a character costs what its bytes cost
            nats = np.add.reduceat(nats, _starts(read))
        return tuple(zip(read, (nats / math.log(2)).tolist(), strict=True))


class _Waiting:
    """What is known of ids whose nats have not come, in order."""

    def __init__(self) -> None:
        self._held: list[NDArray[Any]] = []

    def add(self, more: NDArray[Any]) -> None:
        """Add the next, (T,)."""
        self._held.append(more)

    def take(self, count: int) -> NDArray[Any]:
        """Take the next, (count,)."""
        held = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        self._held = [held[count:]]
        return held[:count]


class CharacterCosts:
    """The nats of ids put together to nats of characters, as far as these are complete."""

    def __init__(self) -> None:
        self._widths = np.empty(0, dtype=np.intp)
        self._nats: Nats = np.empty(0, dtype=np.float64)

    def __len__(self) -> int:
        return int(np.searchsorted(np.cumsum(self._widths), len(self._nats), side="right"))

    def expect(self, widths: NDArray[np.intp]) -> None:
        """Add how many ids each of the next characters has."""
        self._widths = np.concatenate([self._widths, widths])

    def add(self, nats: Nats) -> None:
        """Add the next nats of ids, (T,)."""
        self._nats = np.concatenate([self._nats, nats])

    def take(self, count: int) -> Nats:
        """Take the nats of the next characters, (count,)."""
        if not count:
            return self._nats[:0]
        ends = np.cumsum(self._widths[:count])
        costs = np.add.reduceat(self._nats[: ends[-1]], ends - self._widths[:count])
        self._widths, self._nats = self._widths[count:], self._nats[ends[-1] :]
        return costs


def _widths(text: str, total: int) -> NDArray[np.intp]:
    """How many ids each character of a text has, `total` together."""
    if total == len(text):
        return np.ones(total, dtype=np.intp)
    return np.diff(_starts(text), append=total)


def _starts(text: str) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Where the bytes of each character begin in UTF-8; a lone surrogate counts as one byte."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    surrogate = (codes >= 0xD800) & (codes <= 0xDFFF)
    widths = 1 + (codes >= 0x80).astype(np.intp) + (codes >= 0x800) + (codes >= 0x10000)
    widths[surrogate] = 1
    return np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.intp)
