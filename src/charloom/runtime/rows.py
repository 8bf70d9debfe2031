"""Texts that are written side by side, one character each a step; they may join and leave between steps.

Legend: B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.kernel.sampling import Sampler, draw
from charloom.runtime.logprobs import Thought, ThoughtQueue, Thoughts
from charloom.runtime.session import Logits, Session, State, Stepper, no_number
from charloom.runtime.stop_texts import StopTexts
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charloom.runtime.patterns.constraint import RegexConstraint

FinishReason = Literal["length", "stop", "cancelled", "failed"]

_UNIFORMS = 64  # random numbers drawn at a time; one by one they would be the same


class Row:
    """One text being written.

    Attributes:
        settings: how it is drawn, and how long it may become.
        seed: of its own generator.
        finish_reason: None until it has ended.
        error: why it failed, if it did.
        allowed: the only ids that may come next, (V,); None where all may.
        alternatives: how many of the likeliest characters are named at each place; None names none.
        thoughts: of the piece that the last `push` gave, where alternatives are named.
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
        self.thoughts: tuple[Thought, ...] = ()
        self.followed = True
        self._decode = vocabulary.decoder()
        self._stops = StopTexts(settings.stop) if settings.stop else None
        self._left = settings.length
        self._constraint: RegexConstraint | None = None
        if settings.regex is not None:
            from charloom.runtime.patterns.constraint import compile_constraint

            self._constraint = compile_constraint(settings.regex, vocabulary)
            self._constraint.check_length(settings.length)
            self._go_to(self._constraint, self._constraint.start)
        self._queue = None if alternatives is None else ThoughtQueue()
        self._generator = np.random.default_rng(seed)
        self._uniforms: list[float] = []

    def uniform(self) -> float:
        """The next random number of this row, in [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._generator.random(_UNIFORMS).tolist()[::-1]
        return self._uniforms.pop()

    def push(self, token: int, thought: Thought | None = None) -> str:
        """Add one id, and what the model thought of it; return the text that is now certain.

        Where the pattern has not been in that place before, `follow` must be called before the next.
        """
        piece = self._decode(token)
        if self._queue is not None and thought is not None:
            self._queue.add(thought, len(piece))
        if self._stops is not None:
            piece = self._stops.release(piece)
        self._left -= 1
        if self._stops is not None and self._stops.met:
            self.finish_reason = "stop"
        elif self._left == 0:
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
        self.thoughts = ()
        return self._certain("") if self.finish_reason is not None else ""

    @property
    def work(self) -> int:
        """How much work the pattern's last step was; 0 where it was known."""
        return 0 if self._constraint is None else self._constraint.work

    def _certain(self, piece: str) -> str:
        """Take the thoughts of a piece; at the end of the text, with all that was held back."""
        if self.finish_reason is not None and self._stops is not None:
            piece += self._stops.rest()
        if self._queue is not None:
            self.thoughts = self._queue.release(len(piece))
            if self.finish_reason is not None and not (self._stops is not None and self._stops.met):
                self.thoughts += self._queue.rest()
        return piece

    def _follow(self, constraint: RegexConstraint) -> None:
        self._go_to(constraint, constraint.advance(self._place, self._drawn))
        self.followed = True

    def _go_to(self, constraint: RegexConstraint, place: int) -> None:
        """Go to a place in the pattern; where nothing can follow, the text has ended."""
        self._place = place
        self.allowed = constraint.allowed(place, self._left)
        if self.finish_reason is None and not self.allowed.any():
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
        work: how much patterns may do; beyond it rows are left for `follow`, and must be paused until then.
    """

    def __init__(self, session: Session, unknown_id: int | None) -> None:
        self.work = math.inf
        self._session = session
        self._unknown_id = unknown_id
        self._rows: list[Row] = []
        self._arrived: list[tuple[Sequence[Row], Logits, State]] = []
        self._ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)  # drawn, not read yet (B,)
        self._state: State = ()  # (B, H), where there is no stepper
        self._stepper: Stepper | None = None
        self._sampler: Sampler | None = None

    def join(self, rows: Sequence[Row], logits: Logits, state: State) -> None:
        """Let rows take part from the next step on: what comes after their prompts (B, V), and their state (B, H)."""
        self._arrived.append((rows, logits, state))

    def pause(self, rows: Iterable[Row]) -> list[Paused]:
        """Take rows out that have been through a step."""
        leaving = {id(row) for row in rows}
        if not leaving:
            return []
        state, paused, kept = self._after_step(), [], []
        for index, row in enumerate(self._rows):
            if id(row) not in leaving:
                kept.append(index)
            elif row.finish_reason is None:
                own = tuple(part[index : index + 1].copy() for part in state)
                paused.append(Paused(row, int(self._ids[index]), own))
        self._keep(kept)
        return paused

    def resume(self, paused: Sequence[Paused]) -> None:
        """Let rows take part again from the next step on."""
        if not paused:
            return
        states = [self._after_step()] if self._rows else []
        states += [one.state for one in paused]
        self._rows += [one.row for one in paused]
        self._ids = np.concatenate([self._ids, np.array([one.id for one in paused], dtype=np.int64)])
        self._settle(tuple(np.concatenate(parts) for parts in zip(*states, strict=True)))

    def write(self) -> Iterator[tuple[Row, str]]:
        """Step until all rows have ended: row after row with the text that is now certain, which may be none."""
        while pieces := self.step():
            yield from pieces

    def step(self) -> list[tuple[Row, str]]:
        """Draw a character for every row: the rows with the text that is now certain, which may be none.

        A row whose `finish_reason` is set, here or by others, has left before the next step.
        """
        logits = self._next_logits()
        if not self._rows:
            return []
        if self._sampler is None:
            self._sampler = Sampler([row.settings for row in self._rows], self._unknown_id)
        uniforms = np.array([row.uniform() for row in self._rows])
        self._ids = draw(self._sampler.weights(logits, self._allowed(logits.shape[1])), uniforms)
        thoughts = self._thoughts(logits)
        nothing = logits.shape[1]  # what is drawn of a row without numbers
        return [
            (row, self._pushed(row, token, thought) if token != nothing else _without_numbers(row))
            for row, token, thought in zip(self._rows, self._ids.tolist(), thoughts, strict=True)
        ]

    def _thoughts(self, logits: Logits) -> list[Thought | None]:
        """What the model thought of each row's id, where that row names alternatives."""
        alternatives = [row.alternatives for row in self._rows]
        if all(count is None for count in alternatives):
            return [None] * len(self._rows)
        thoughts = Thoughts(logits, alternatives, self._unknown_id)
        return [thoughts.of(index, token) for index, token in enumerate(self._ids.tolist())]

    def follow(self, row: Row) -> str:
        """Let a row's pattern follow what was drawn; return the text that is now certain. An error ends this row."""
        try:
            piece = row.follow()
        except Exception as error:  # whatever it is, the neighbours go on
            row.error, row.finish_reason = error, "failed"
            return ""
        self.work -= row.work
        return piece

    def _pushed(self, row: Row, token: int, thought: Thought | None = None) -> str:
        """What `row.push` gives; an error ends this row and no other."""
        try:
            if thought is not None and not thought.is_finite:
                raise no_number()
            piece = row.push(token, thought)
        except Exception as error:  # whatever it is, the neighbours go on
            row.error, row.finish_reason = error, "failed"
            return ""
        if not row.followed and self.work > 0:
            thoughts = row.thoughts
            piece += self.follow(row)
            row.thoughts = thoughts + row.thoughts
        return piece

    def _next_logits(self) -> Logits:
        """Read what was drawn in the rows that remain, and take in those that have come."""
        kept = [index for index, row in enumerate(self._rows) if row.finish_reason is None]
        if len(kept) < len(self._rows):
            self._keep(kept)
        if self._rows and self._stepper is None:
            self._stepper = self._session.stepper(self._state)
        parts = [] if self._stepper is None else [self._stepper.step(self._ids)]
        if self._arrived:
            parts += self._take_in()
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def _take_in(self) -> list[Logits]:
        """Add the rows that have come, after those that are here; return what comes after their prompts."""
        states = [self._after_step()] if self._rows else []
        found = []
        for rows, logits, state in self._arrived:
            going_on = [index for index, row in enumerate(rows) if row.finish_reason is None]
            if going_on:
                self._rows += [rows[index] for index in going_on]
                found.append(logits[going_on])
                states.append(tuple(part[going_on] for part in state))
        self._arrived = []
        if found:
            self._settle(tuple(np.concatenate(parts) for parts in zip(*states, strict=True)))
        return found

    def _after_step(self) -> State:
        return self._state if self._stepper is None else self._stepper.state

    def _keep(self, kept: list[int]) -> None:
        state = tuple(part[kept] for part in self._after_step())
        self._rows = [self._rows[index] for index in kept]
        self._ids = self._ids[kept]
        self._settle(state)

    def _settle(self, state: State) -> None:
        self._state, self._stepper, self._sampler = state, None, None

    def _allowed(self, vocab_size: int) -> NDArray[np.bool_] | None:
        masks = [row.allowed for row in self._rows]
        if all(mask is None for mask in masks):
            return None
        return np.stack([np.ones(vocab_size, dtype=bool) if mask is None else mask for mask in masks])


def _without_numbers(row: Row) -> str:
    """End a row for which the network has given no numbers, and no other."""
    row.error, row.finish_reason = no_number(), "failed"
    return ""
