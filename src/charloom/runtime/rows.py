"""Texts that are written side by side, one character each a step; they may join and leave between steps.

Legend: B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.constraints import RegexConstraint, compile_constraint
from charloom.runtime.sampling import Sampler, draw
from charloom.runtime.session import Logits, Session, State, Stepper
from charloom.runtime.stopping import TextAssembler
from charloom.runtime.tokens import LogProbabilities, Token, TokenQueue, TokenWriter, log_probabilities
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Vocabulary

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
        tokens: of the piece that the last `push` gave, where alternatives were asked for.
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

        Raises:
            UsageError: the pattern is none, or no match of it can be written with this vocabulary and length.
        """
        self.settings = settings
        self.seed = seed
        self.finish_reason: FinishReason | None = None if settings.length else "length"
        self.error: Exception | None = None
        self.allowed: NDArray[np.bool_] | None = None
        self._assembler = TextAssembler(vocabulary.decoder(), settings.stop)
        self._left = settings.length
        self._constraint = None if settings.regex is None else compile_constraint(settings.regex, vocabulary)
        if self._constraint is not None:
            self._constraint.check_length(settings.length)
            self._follow(self._constraint, self._constraint.start)
        self.tokens: tuple[Token, ...] = ()
        self._queue = None if alternatives is None else TokenQueue(TokenWriter(vocabulary, alternatives))
        self._generator = np.random.default_rng(seed)
        self._uniforms: list[float] = []

    @property
    def wants_tokens(self) -> bool:
        """Whether `push` needs the distribution that each id was drawn from."""
        return self._queue is not None

    def uniform(self) -> float:
        """The next random number of this row, in [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._generator.random(_UNIFORMS).tolist()[::-1]
        return self._uniforms.pop()

    def push(self, token: int, distribution: LogProbabilities | None = None) -> str:
        """Add one id, of a place with these log-probabilities (V,); return the text that is now certain."""
        before = self._assembler.decoded
        piece = self._assembler.push(token)
        if self._queue is not None and distribution is not None:
            self._queue.add(token, distribution, self._assembler.decoded - before)
        self._left -= 1
        if self._assembler.stopped:
            self.finish_reason = "stop"
        elif self._left == 0:
            self.finish_reason = "length"
        elif self._constraint is not None:
            self._follow(self._constraint, self._constraint.advance(self._place, token))
        if self.finish_reason is not None:
            piece += self._assembler.finish()
        if self._queue is not None:
            self.tokens = self._queue.release(len(piece))
            if self.finish_reason is not None and not self._assembler.stopped:
                self.tokens += self._queue.rest()
        return piece

    def _follow(self, constraint: RegexConstraint, place: int) -> None:
        """Go to a place in the pattern; where nothing can follow, the text has ended."""
        self._place = place
        self.allowed = constraint.allowed(place, self._left)
        if self.finish_reason is None and not self.allowed.any():
            self.finish_reason = "stop"


class Rows:
    """Rows that advance together through one network."""

    def __init__(self, session: Session, unknown_id: int | None) -> None:
        """Nobody is there yet."""
        self._session = session
        self._unknown_id = unknown_id
        self._rows: list[Row] = []
        self._arrived: list[tuple[Sequence[Row], Logits, State]] = []
        self._ids: NDArray[np.int64] = np.empty(0, dtype=np.int64)  # drawn, not read yet (B,)
        self._stepper: Stepper | None = None
        self._sampler = Sampler([], unknown_id)

    def join(self, rows: Sequence[Row], logits: Logits, state: State) -> None:
        """Let rows take part from the next step on: what comes after their prompts (B, V), and their state (B, H)."""
        self._arrived.append((rows, logits, state))

    def step(self) -> list[tuple[Row, str]]:
        """Draw a character for every row: the rows with the text that is now certain, which may be none.

        A row whose `finish_reason` is set, here or by others, has left before the next step.
        """
        logits = self._next_logits()
        if not self._rows:
            return []
        allowed = self._allowed(logits.shape[1])
        uniforms = np.array([row.uniform() for row in self._rows])
        self._ids = draw(self._sampler.weights(logits, allowed), uniforms)
        distributions = self._distributions(logits)
        return [
            (row, _pushed(row, token, distributions.get(index)))
            for index, (row, token) in enumerate(zip(self._rows, self._ids.tolist(), strict=True))
        ]

    def _next_logits(self) -> Logits:
        """Read what was drawn in the rows that remain, and take in those that have come."""
        self._drop_finished()
        parts = [] if self._stepper is None else [self._stepper.step(self._ids)]
        if self._arrived:
            parts += self._take_in()
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def _drop_finished(self) -> None:
        kept = [index for index, row in enumerate(self._rows) if row.finish_reason is None]
        if len(kept) == len(self._rows):
            return
        self._rows = [self._rows[index] for index in kept]
        self._ids = self._ids[kept]
        state = () if self._stepper is None else tuple(part[kept] for part in self._stepper.state)
        self._settle(state)

    def _take_in(self) -> list[Logits]:
        """Add the rows that have come, after those that are here; return what comes after their prompts."""
        states = [] if self._stepper is None else [self._stepper.state]
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

    def _settle(self, state: State) -> None:
        self._stepper = self._session.stepper(state) if self._rows else None
        self._sampler = Sampler([row.settings for row in self._rows], self._unknown_id)

    def _distributions(self, logits: Logits) -> dict[int, LogProbabilities]:
        """The model's own distributions (V,) of the rows that want them, by their place."""
        wanting = [index for index, row in enumerate(self._rows) if row.wants_tokens]
        return dict(zip(wanting, log_probabilities(logits[wanting]), strict=True)) if wanting else {}

    def _allowed(self, vocab_size: int) -> NDArray[np.bool_] | None:
        masks = [row.allowed for row in self._rows]
        if all(mask is None for mask in masks):
            return None
        return np.stack([np.ones(vocab_size, dtype=bool) if mask is None else mask for mask in masks])


def _pushed(row: Row, token: int, distribution: LogProbabilities | None) -> str:
    """What `row.push` gives; an error ends this row and no other."""
    try:
        return row.push(token, distribution)
    except Exception as error:  # whatever it is, the neighbours go on
        row.error, row.finish_reason = error, "failed"
        return ""
