"""Texts that are written side by side, some characters each a turn; they may join and leave between turns.

Legend: T steps, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.kernel.sampling import Sampler, draw
from charloom.runtime.logprobs import BatchLogprobs, IdLogprobs, LogprobQueue
from charloom.runtime.session import Logits, Session, State, no_number
from charloom.runtime.stop_texts import StopTexts
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charloom.runtime.patterns.constraint import RegexConstraint

FinishReason = Literal["length", "stop", "cancelled", "failed"]

BURST = 64
"""Steps made in one turn at most."""
_WORK = 1 << 31  # weights · rows · steps, about: some ten milliseconds


class Row:
    """One text being written.

    Attributes:
        settings: how it is drawn, and how long it may become.
        seed: of its own generator.
        finish_reason: None until it has ended.
        error: why it failed, if it did.
        allowed: the only ids that may be drawn next, (V,); None where all may. Where the pattern may end, all may: one
            with which no match goes on ends the text.
        alternatives: how many of the likeliest characters are named at each place; None names none.
        logprobs: of the piece that the last `push` gave, where alternatives are named.
        left: how many characters may still come.
        followed: whether the pattern has followed what was written; until then nothing can be drawn.
    """

    def __init__(
        self, vocabulary: Vocabulary, settings: SamplingSettings, seed: int, alternatives: int | None = None
    ) -> None:
        """Begin a text; a length of 0, or a pattern that only nothing matches, ends it at once.

        Args:
            vocabulary: what its ids mean.
            settings: how it is drawn.
            seed: of its generator.
            alternatives: how many of the likeliest characters to name at each place; None makes no tokens.
        """
        self.settings = settings
        self.seed = seed
        self.finish_reason: FinishReason | None = None if settings.length else "length"
        self.error: Exception | None = None
        self.allowed: NDArray[np.bool_] | None = None
        self.alternatives = alternatives
        self.logprobs: tuple[IdLogprobs, ...] = ()
        self.followed = True
        self._decode = vocabulary.decoder()
        self._stops = StopTexts(settings.stop) if settings.stop else None
        self.left = settings.length
        self._constraint: RegexConstraint | None = None
        if settings.regex is not None:
            from charloom.runtime.patterns.constraint import compile_constraint

            self._constraint = compile_constraint(settings.regex, vocabulary)
            self._constraint.check_length(settings.length)
            self._everything = np.ones(vocabulary.size, dtype=bool)
            self._go_to(self._constraint, self._constraint.start)
        self._queue = None if alternatives is None else LogprobQueue()
        self._generator = np.random.default_rng(seed)

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """The next random numbers of this row, in [0, 1); drawn one by one they are the same."""
        return self._generator.random(count)

    def push_all(self, tokens: Sequence[int]) -> str:
        """Add ids until the text ends; return the text that is now certain."""
        if self._stops is not None or self._constraint is not None or self._queue is not None:
            pieces = []
            for token in tokens:
                pieces.append(self.push(token))
                if self.finish_reason is not None:
                    break
            return "".join(pieces)
        tokens = tokens[: self.left]
        self.left -= len(tokens)
        if not self.left:
            self.finish_reason = "length"
        return "".join(map(self._decode, tokens))

    def push(self, token: int, logprobs: IdLogprobs | None = None) -> str:
        """Add one id with its log-probabilities, or end where the pattern does not go on with it.

        Returns the text that is now certain.

        Where the pattern has not been in that place before, `follow` must be called before the next.
        """
        if self._constraint is not None and not self._matching[token]:
            self.finish_reason = "stop"
            return self._certain("")
        piece = self._decode(token)
        if self._queue is not None and logprobs is not None:
            self._queue.add(logprobs, len(piece))
        if self._stops is not None:
            piece = self._stops.release(piece)
        self.left -= 1
        if self._stops is not None and self._stops.met:
            self.finish_reason = "stop"
        elif self.left == 0:
            self.finish_reason = "length"
        elif self._constraint is not None:
            self._drawn, self.followed = token, False
            if self._constraint.knows(self._place, token):
                self._follow(self._constraint)
        if self.finish_reason is None and self._queue is None:
            return piece
        return self._certain(piece)

    def follow(self) -> str:
        """Let the pattern follow the last id; return the text that has become certain: where it is the end."""
        if self._constraint is None or self.followed:
            return ""
        self._follow(self._constraint)
        self.logprobs = ()
        return self._certain("") if self.finish_reason is not None else ""

    @property
    def work(self) -> int:
        """How much work the pattern's last step was; 0 where it was known."""
        return 0 if self._constraint is None else self._constraint.work

    def _certain(self, piece: str) -> str:
        """Take the logprobs of a piece; at the end of the text, with all that was held back."""
        if self.finish_reason is not None and self._stops is not None:
            piece += self._stops.rest()
        if self._queue is not None:
            self.logprobs = self._queue.release(len(piece))
            if self.finish_reason is not None and not (self._stops is not None and self._stops.met):
                self.logprobs += self._queue.rest()
        return piece

    def _follow(self, constraint: RegexConstraint) -> None:
        self._go_to(constraint, constraint.advance(self._place, self._drawn))
        self.followed = True

    def _go_to(self, constraint: RegexConstraint, place: int) -> None:
        """Go to a place in the pattern; where nothing can follow, the text has ended."""
        self._place = place
        self._matching = constraint.allowed(place, self.left)  # the ids with which a match goes on
        self.allowed = self._everything if constraint.accepting(place) else self._matching
        if self.finish_reason is None and not self._matching.any():
            self.finish_reason = "stop"


@dataclass(frozen=True)
class Paused:
    """A row that takes no part for a while: the id it has drawn and not read, and the state (1, H) before it."""

    row: Row
    id: int
    state: State


class Rows:
    """Rows that advance together through one network.

    Attributes:
        steps: how many steps the last turn made.
        work: how much patterns may do; beyond it rows are left for `follow`, and must be paused until then.
    """

    def __init__(self, session: Session, unknown_id: int | None) -> None:
        self.steps = 0
        self.work = math.inf
        self._most = 1
        self._session = session
        self._unknown_id = unknown_id
        self._rows: list[Row] = []
        self._arrived: list[tuple[Sequence[Row], Logits, State]] = []
        self._ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)  # drawn, not read yet (B,)
        self._state: State = ()  # (B, H)

    def join(self, rows: Sequence[Row], logits: Logits, state: State) -> None:
        """Let rows take part from the next turn on: what comes after their prompts (B, V), and their state (B, H)."""
        self._arrived.append((rows, logits, state))

    def pause(self, rows: Iterable[Row]) -> list[Paused]:
        """Take rows out that have been through a turn."""
        leaving = {id(row) for row in rows}
        if not leaving:
            return []
        paused, kept = [], []
        for index, row in enumerate(self._rows):
            if id(row) not in leaving:
                kept.append(index)
            elif row.finish_reason is None:
                own = tuple(part[index : index + 1].copy() for part in self._state)
                paused.append(Paused(row, int(self._ids[index]), own))
        self._keep(kept)
        return paused

    def resume(self, paused: Sequence[Paused]) -> None:
        """Let rows take part again from the next turn on."""
        if paused:
            self._add([one.row for one in paused], [one.id for one in paused], [one.state for one in paused])

    def write(self) -> Iterator[tuple[Row, str]]:
        """Write until all rows have ended: row after row with the text that is now certain, which may be none."""
        while pieces := self.turn():
            yield from pieces

    def turn(self, most: int = BURST) -> list[tuple[Row, str]]:
        """Draw up to `most` characters for every row: the rows with the text that is now certain, which may be none.

        A row whose `finish_reason` is set, here or by others, has left before the next turn. A row that has joined
        draws its first character.
        """
        self._keep([index for index, row in enumerate(self._rows) if row.finish_reason is None])
        self.steps, pieces = 1, []
        if self._rows and all(row.alternatives is None for row in self._rows):
            pieces = self._write(most)
        elif self._rows:
            logits, self._state = self._session.read(self._ids[None], self._state)
            self._ids, pieces = self._draw(self._rows, logits)
        return pieces + self._take_in()

    def _write(self, most: int) -> list[tuple[Row, str]]:
        """Draw some characters for every row."""
        rows, nothing = self._rows, self._session.shape.vocab_size  # what is drawn of a row without numbers
        allowed = self._allowed(rows)
        if allowed is None:
            self.steps = self._burst(most)
        written, self._state = self._session.write(
            self._ids,
            self._state,
            np.stack([row.uniforms(self.steps) for row in rows], axis=1),
            [row.settings for row in rows],
            self._unknown_id,
            allowed,
        )
        self._ids = written[-1]
        return [(row, self._pushed(row, tokens, nothing)) for row, tokens in zip(rows, written.T.tolist(), strict=True)]

    def _burst(self, most: int) -> int:
        """How many steps to make: more from turn to turn, few where much of them could be beyond a stop text."""
        rows, shape = self._rows, self._session.shape
        steps = min(most, self._most, max(row.left for row in rows), _WORK // (shape.parameters * len(rows)))
        self._most = min(2 * self._most, BURST)
        stopping = [(row.settings.length - row.left) // 4 for row in rows if row.settings.stop]
        return max(1, min([steps, *stopping]))

    def _draw(self, rows: Sequence[Row], logits: Logits) -> tuple[NDArray[np.int64], list[tuple[Row, str]]]:
        """Draw one character for each of some rows by logits (B, V)."""
        nothing = logits.shape[1]
        sampler = Sampler([row.settings for row in rows], self._unknown_id)
        uniforms = np.array([row.uniforms(1)[0] for row in rows])
        ids = draw(sampler.weights(logits, self._allowed(rows)), uniforms)
        named = self._logprobs(rows, logits, ids)
        pieces = [
            (row, self._pushed(row, [token], nothing, logprobs))
            for row, token, logprobs in zip(rows, ids.tolist(), named, strict=True)
        ]
        return ids, pieces

    def _logprobs(self, rows: Sequence[Row], logits: Logits, ids: NDArray[np.int64]) -> list[IdLogprobs | None]:
        """Of each row's id, where that row names alternatives."""
        alternatives = [row.alternatives for row in rows]
        if all(count is None for count in alternatives):
            return [None] * len(rows)
        logprobs = BatchLogprobs(logits, alternatives, self._unknown_id)
        return [logprobs.of(index, token) for index, token in enumerate(ids.tolist())]

    def follow(self, row: Row) -> str:
        """Let a row's pattern follow what was drawn; return the text that is now certain. An error ends this row."""
        try:
            piece = row.follow()
        except Exception as error:  # whatever it is, the neighbours go on
            row.error, row.finish_reason = error, "failed"
            return ""
        self.work -= row.work
        return piece

    def _pushed(self, row: Row, tokens: list[int], nothing: int, logprobs: IdLogprobs | None = None) -> str:
        """What `row` gives of its next ids; an error ends this row and no other."""
        lost = nothing in tokens
        try:
            if logprobs is None:
                piece = row.push_all(tokens[: tokens.index(nothing)] if lost else tokens)
            elif lost or not logprobs.is_finite:
                raise no_number()
            else:
                piece = row.push(tokens[0], logprobs)
            if lost and row.finish_reason is None:
                raise no_number()
        except Exception as error:  # whatever it is, the neighbours go on
            row.error, row.finish_reason = error, "failed"
            return ""
        if not row.followed and self.work > 0:
            before = row.logprobs
            piece += self.follow(row)
            row.logprobs = before + row.logprobs
        return piece

    def _take_in(self) -> list[tuple[Row, str]]:
        """Draw the first character of the rows that have come, and add them."""
        pieces: list[tuple[Row, str]] = []
        for rows, logits, state in self._arrived:
            going_on = [index for index, row in enumerate(rows) if row.finish_reason is None]
            if going_on:
                joining = [rows[index] for index in going_on]
                ids, drawn = self._draw(joining, logits[going_on])
                pieces += drawn
                self._add(joining, ids, [tuple(part[going_on] for part in state)])
        self._arrived = []
        return pieces

    def _add(self, rows: Sequence[Row], ids: Sequence[int] | NDArray[np.int64], states: Sequence[State]) -> None:
        """Add rows after those that are here."""
        parts = [*([self._state] if self._rows else []), *states]
        self._state = tuple(np.concatenate(each) for each in zip(*parts, strict=True))
        self._rows = [*self._rows, *rows]
        self._ids = np.concatenate([self._ids, np.asarray(ids, dtype=np.int64)])

    def _keep(self, kept: list[int]) -> None:
        if len(kept) < len(self._rows):
            self._rows = [self._rows[index] for index in kept]
            self._ids = self._ids[kept]
            self._state = tuple(part[kept] for part in self._state)

    def _allowed(self, rows: Sequence[Row]) -> NDArray[np.bool_] | None:
        masks = [row.allowed for row in rows]
        if all(mask is None for mask in masks):
            return None
        everything = np.ones(self._session.shape.vocab_size, dtype=bool)
        return np.stack([everything if mask is None else mask for mask in masks])
