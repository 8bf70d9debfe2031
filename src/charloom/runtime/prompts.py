"""Prompts on their way through the network, side by side and in bounded pieces.

Legend: T time, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from charloom.errors import ModelDirectoryError
from charloom.runtime.prefix_cache import PrefixCache
from charloom.runtime.session import LOGITS_LIMIT, Logits, Session, State, initial_state, no_number
from charloom.runtime.tokens import log_probabilities
from charloom.runtime.written import Tokens
from charloom.text.vocabulary import Ids, Vocabulary

READ_AT_ONCE = 1024  # characters


def prompt_ids(vocabulary: Vocabulary, cleaned_prompt: str) -> Ids:
    """The ids a prompt sets the state with; an empty prompt is read as the start of a line."""
    if not cleaned_prompt:
        return np.array([vocabulary.opening_id])
    return vocabulary.encode(cleaned_prompt)


class Reading:
    """One prompt, ids (T,) with T ≥ 1, read as far as `position`.

    Attributes:
        ids: the prompt's, (T,).
        position: how many of them were read.
        state: after what was read, (1, H).
        logits: what comes after the whole prompt, (1, V); None until it is read.
        tokens: where they are given, take in what the model thought of each character but the first.
        error: why they could not take it in, if they could not.
    """

    def __init__(self, ids: Ids, state: State, tokens: Tokens | None = None) -> None:
        """Nothing is read yet.

        Raises:
            ValueError: there is no id.
        """
        if not len(ids):
            raise ValueError("a prompt needs at least one id")
        self.ids = ids
        self.position = 0
        self.state = state
        self.logits: Logits | None = None
        self.tokens = tokens
        self.error: ModelDirectoryError | None = None

    @property
    def left(self) -> int:
        """Characters that are still to be read."""
        return len(self.ids) - self.position

    def advance(self, logits: Logits, state: State) -> None:
        """Characters were read: what came after each (T, V), and the state after the last (1, H)."""
        if self.tokens is not None:
            following = self.ids[self.position + 1 :][: len(logits)].astype(np.int64)
            distributions = log_probabilities(logits[: len(following)])
            if np.isfinite(distributions).all():
                self.tokens.extend(following, distributions)
            else:  # it is this prompt's error, not its neighbours'
                self.error, self.tokens = no_number(), None
        self.position += len(logits)
        self.state = state
        if not self.left:
            self.logits = logits[-1:].copy()


class PromptReader:
    """Reads prompts, at most so many characters in one go, and remembers what it has read.

    Attributes:
        cache: the prompts that are remembered.
    """

    def __init__(self, session: Session, *, at_once: int = READ_AT_ONCE, cache_bytes: int = 0) -> None:
        """Read at most `at_once` characters in one go, all prompts together; remember up to `cache_bytes`."""
        self._session = session
        # A large vocabulary has many logits for each character read.
        self._at_once = max(1, min(at_once, LOGITS_LIMIT // session.shape.vocab_size))
        self.cache = PrefixCache(cache_bytes)

    def begin(self, ids: Ids, tokens: Tokens | None = None) -> Reading:
        """Begin a prompt, ids (T,), from where another one has led already, unless tokens are wanted of it."""
        reading = Reading(ids, initial_state(self._session.shape, 1), tokens)
        known = None if tokens is not None else self.cache.longest(ids)
        if known is not None:
            reading.position, reading.state = known.length, known.state
            reading.logits = known.logits if known.length == len(ids) else None
        return reading

    def advance(self, readings: Sequence[Reading]) -> None:
        """Read on, in all of these prompts that are not read to the end, or in as many as one go allows."""
        unread = [reading for reading in readings if reading.left][: self._at_once]
        if not unread:
            return
        length = max(1, min(self._at_once // len(unread), *(reading.left for reading in unread)))
        ids = np.stack([reading.ids[reading.position :][:length] for reading in unread], axis=1)  # (T, B)
        state = tuple(np.concatenate(parts) for parts in zip(*(reading.state for reading in unread), strict=True))
        logits, after = self._session.run(ids, state)
        for row, reading in enumerate(unread):
            reading.advance(logits[:, row], tuple(part[row : row + 1].copy() for part in after))
            if reading.logits is not None:
                self.cache.put(reading.ids, reading.logits, reading.state)

    def read(self, ids: Ids) -> tuple[Logits, State]:
        """Read a whole prompt: what comes after it (1, V), and the state (1, H)."""
        reading = self.begin(ids)
        while reading.logits is None:
            self.advance([reading])
        return reading.logits, reading.state
