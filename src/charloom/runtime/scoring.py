"""How surprising a text is to a model: nats of files of any size, and of lines, many at a time.

What is scored passes the model's character-level cleaning, as a prompt does. Every text (a file, or with lines each
line) is read from a zero state after the vocabulary's opening character, so its first character is charged too; the
newline that ends a line is not. The unknown character is charged what the model gives id 0.

Texts are rows of a batch that they enter and leave as they begin and end. A text is an iterator of stretches of ids, so
that it may be larger than memory. Its state is carried from its first id to its last. A text that ends leaves its row
to the next one, and for as long as none ends nothing is padded. A text's nats are the same bits
alone and in any company; in int8 also on every processor.

Legend: T time, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.errors import CorpusError
from charloom.runtime.session import Nats, Session, initial_state, no_number
from charloom.text.cleaning import STEPS, clean_pieces, expand
from charloom.text.vocabulary import Ids, Vocabulary

MAX_ROWS = 64
_POSITIONS = 4096  # T · B of one run: enough to be fast, and short lines are padded by less
_NUMBERS = 1 << 23  # in the largest array of one run, 32 MiB of float32
_BLOCK = 1 << 16

LONGEST = 1 << 18  # characters of one text that are held at a time
FILES_AT_ONCE = 16  # more are no faster
_HELD_BY_CLEANING = 1 << 22
_WINDOW_CHARACTERS = 1 << 20  # how far lines are gathered and sorted by length before they are read
_WINDOW_LINES = 8192


def nats_of_texts(
    session: Session, opening_id: int, texts: Iterable[Iterator[Ids]], max_rows: int = MAX_ROWS
) -> Iterator[tuple[int, Nats | None]]:
    """Read texts side by side, each from a zero state and `opening_id`; those of like length should come together.

    Args:
        session: the network.
        opening_id: what is read before the first id of a text.
        texts: each the stretches (T,) of its ids; a text is asked for when a row is free for it.
        max_rows: how many texts are read at a time, at most.

    Yields:
        The number of a text, from 0, and the nats (T,) of its next ids; or None after its last.
    """
    batch = _Batch(session, opening_id)
    rows = max(1, min(max_rows, batch.positions))
    waiting = enumerate(texts)
    while True:
        while len(batch) < rows and (entry := next(waiting, None)) is not None:
            number, stretches = entry
            if not batch.enter(number, stretches):
                yield number, None
        if not len(batch):
            return
        yield from batch.step()


class NatsTotal:
    """The sum of the nats of one text, the same to the last bit however they come in stretches.

    Blocks of fixed length are summed exactly and then added one after another: memory does not grow.
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._held: list[float] = []

    def add(self, nats: Nats) -> None:
        """Add the next stretch (T,)."""
        self._held += nats.tolist()
        while len(self._held) >= _BLOCK:
            self._total += math.fsum(self._held[:_BLOCK])
            del self._held[:_BLOCK]

    @property
    def nats(self) -> float:
        """The sum of all that was added."""
        return self._total + math.fsum(self._held)


class _Row:
    """One text on its way through the network."""

    def __init__(self, number: int, stretches: Iterator[Ids], opening_id: int) -> None:
        self.number = number
        self._stretches = stretches
        self._last = opening_id
        self._held: Ids = np.empty(0, dtype=np.uint8)

    def available(self, wanted: int) -> int:
        """How many ids are at hand, after looking for `wanted` of them: fewer only where the text ends."""
        while len(self._held) < wanted and (stretch := next(self._stretches, None)) is not None:
            self._held = np.concatenate([self._held, stretch]) if len(self._held) else stretch
        return len(self._held)

    def lay(self, inputs: Ids, targets: Ids) -> int:
        """Write the next ids, as many as there are, into a column of inputs and one of targets, each (T,)."""
        ids = self._held[: len(targets)]
        self._held = self._held[len(ids) :]
        inputs[0], inputs[1 : len(ids)] = self._last, ids[:-1]
        targets[: len(ids)] = ids
        self._last = int(ids[-1])
        return len(ids)


class _Batch:
    """The texts that are being read, and the state of each."""

    def __init__(self, session: Session, opening_id: int) -> None:
        shape = session.shape
        self.positions = max(1, min(_POSITIONS, _NUMBERS // max(shape.vocab_size, 4 * shape.hidden_size)))
        self._session = session
        self._opening_id = opening_id
        self._rows: list[_Row] = []
        self._state = initial_state(shape, 0)

    def __len__(self) -> int:
        return len(self._rows)

    def enter(self, number: int, stretches: Iterator[Ids]) -> bool:
        """Give a text a row, unless there is nothing in it."""
        row = _Row(number, stretches, self._opening_id)
        if not row.available(1):
            return False
        self._rows.append(row)
        return True

    def step(self) -> Iterator[tuple[int, Nats | None]]:
        """Read on in every row; those whose text has ended become free."""
        rows = self._rows
        time = self.positions // len(rows)
        time = min(time, max(row.available(time) for row in rows))
        inputs = np.zeros((time, len(rows)), dtype=np.int64)
        targets = np.zeros_like(inputs)
        lengths = [row.lay(inputs[:, b], targets[:, b]) for b, row in enumerate(rows)]
        found, state = self._session.nats(inputs, targets, self._entered_state())
        nats = found.T.copy()  # (B, T)
        going_on: list[int] = []
        for b, row in enumerate(rows):
            yield row.number, nats[b, : lengths[b]]
            if row.available(1):
                going_on.append(b)
            else:
                yield row.number, None
        self._rows = [rows[b] for b in going_on]
        self._state = state if len(going_on) == len(rows) else tuple(part[going_on] for part in state)

    def _entered_state(self) -> tuple[NDArray[np.float32], ...]:
        """The state with zeros for the texts that have just entered."""
        new = len(self._rows) - len(self._state[0])
        if not new:
            return self._state
        fresh = initial_state(self._session.shape, new)
        return tuple(np.concatenate([old, zeros]) for old, zeros in zip(self._state, fresh, strict=True))


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
        file: the file it is in, if it is in one.
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
        """Score texts of any size, several at a time; the order stays as it was."""
        readings: dict[int, _Reading] = {}
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

    def _begin(self, texts: Iterable[Text], readings: dict[int, _Reading]) -> Iterator[Iterator[Ids]]:
        for number, text in enumerate(texts):
            readings[number] = _Reading(text, self)
            yield readings[number].ids()

    def _window(self, texts: Sequence[Text]) -> Iterator[Score]:
        """Score texts in memory, the longest first, so that those of like length are side by side.

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
        self._read: list[str] = []  # the cleaned text and its nats, where every character is to be reported
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
    """Where the bytes of each character begin in UTF-8; a lone surrogate counts as one byte."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    surrogate = (codes >= 0xD800) & (codes <= 0xDFFF)
    widths = 1 + (codes >= 0x80).astype(np.intp) + (codes >= 0x800) + (codes >= 0x10000)
    widths[surrogate] = 1
    return np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.intp)
