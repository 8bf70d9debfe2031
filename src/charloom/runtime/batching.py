"""An engine that writes many texts at once: they join and leave between steps, in a thread of its own.

A turn of the engine reads a bounded piece of the prompts that wait, then draws one character in every row. So a
long prompt does not hold up the texts that are being written, and these do not hold up a new one for long.

With the int8 graph a seeded text is the same, bit for bit, whatever else is being written, however its prompt was
cut, and whether or not the beginning of the prompt was remembered: its sums are exact. With the float32 graph
rounding depends on the company, and a text can differ where two characters are almost equally likely.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from charloom.errors import BusyError, CharloomError, UsageError
from charloom.runtime.continuation import Continuation
from charloom.runtime.generation import sample_seeds
from charloom.runtime.prompts import PromptReader, Reading, prompt_ids
from charloom.runtime.rows import Row, Rows
from charloom.runtime.session import Session
from charloom.runtime.tokens import TokenWriter
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids, Vocabulary

Interpret = Callable[[str, Mapping[str, Any]], tuple[str, SamplingSettings]]
"""From a user's prompt and options to the prompt as the model reads it and whole settings."""


@dataclass(frozen=True)
class EngineStatus:
    """What an engine is doing.

    Attributes:
        waiting: requests that have not begun.
        reading: requests whose prompt is being read.
        writing: rows that are being written.
        cached_prompts: prompts that are remembered, `cached_bytes` of them.
        cache_hits: prompts so far whose beginning was remembered.
        cache_misses: prompts so far that had to be read from the beginning.
    """

    waiting: int
    reading: int
    writing: int
    cached_prompts: int
    cached_bytes: int
    cache_hits: int
    cache_misses: int


@dataclass
class _Request:
    """A prompt, and the rows that are to continue it."""

    ids: Ids
    rows: dict[Row, Continuation]
    writer: TokenWriter | None = None  # of the prompt's tokens
    reading: Reading | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is something to write, or to say of the prompt."""
        unfinished = any(row.finish_reason is None for row in self.rows)
        return unfinished or (self.writer is not None and not all(one.done for one in self.rows.values()))


class Engine:
    """Writes many texts at once. Use it as a context manager, or `close()` it.

    >>> with charloom.load("runs/mine").engine() as engine:
    ...     texts = [engine.submit(prompt, length=80, seed=1) for prompt in prompts]
    ...     for text in texts:
    ...         print(text.result().text)

    All its methods may be called from any thread, and from event loops: none waits for the network.
    """

    def __init__(
        self,
        session: Session,
        vocabulary: Vocabulary,
        interpret: Interpret,
        *,
        max_rows: int = 64,
        max_queue: int = 256,
        prompt_chunk: int = 128,
        cache_bytes: int = 64 << 20,
    ) -> None:
        """Start the engine's thread. `Model.engine` is the way to make one.

        Args:
            session: the network.
            vocabulary: of its ids.
            interpret: what becomes of a user's prompt and options.
            max_rows: texts written at the same time.
            max_queue: requests that may wait beside them.
            prompt_chunk: prompt characters read in one turn, all prompts together.
            cache_bytes: memory for states after prompts; 0 remembers none.
        """
        _check("max_rows", max_rows, 1)
        _check("max_queue", max_queue, 0)
        _check("prompt_chunk", prompt_chunk, 1)
        _check("cache_bytes", cache_bytes, 0)
        self._session = session
        self._vocabulary = vocabulary
        self._interpret = interpret
        self._max_rows = max_rows
        self._max_queue = max_queue
        self._reader = PromptReader(session, at_once=prompt_chunk, cache_bytes=cache_bytes)
        self._rows = Rows(session, vocabulary.unknown_id)
        self._active: dict[Row, Continuation] = {}
        self._reading: list[_Request] = []
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="charloom-engine", daemon=True)
        self._thread.start()

    def submit(
        self,
        prompt: str | Sequence[int] = "",
        *,
        alternatives: int | None = None,
        prompt_alternatives: int | None = None,
        **options: Any,
    ) -> Continuation:
        """Continue a prompt; returns at once.

        Args:
            prompt: what to continue, as text or as ids; empty starts as if a line had just ended.
            alternatives: where given, tokens come with the text: what the model thought of each character, with so
                many of the likeliest in its place.
            prompt_alternatives: the same of the prompt's characters; its beginning is then not taken from memory.
            **options: as `Model.generate`.

        Raises:
            UsageError: an unknown option, a value out of its range, or an id that the vocabulary lacks.
            BusyError: as many requests wait as may, or the engine is closing.
        """
        return self.submit_samples(
            prompt, 1, alternatives=alternatives, prompt_alternatives=prompt_alternatives, **options
        )[0]

    def submit_samples(
        self,
        prompt: str | Sequence[int],
        samples: int,
        *,
        alternatives: int | None = None,
        prompt_alternatives: int | None = None,
        **options: Any,
    ) -> list[Continuation]:
        """Several continuations of a prompt, which is read once; sample i has seed + i. They begin together.

        Raises:
            UsageError: as `submit`, or more samples than the engine has rows.
            BusyError: as `submit`.
        """
        if not 1 <= samples <= self._max_rows:
            raise UsageError(f"samples = {samples}: give a number from 1 to {self._max_rows}, the engine's rows")
        for name, value in (("alternatives", alternatives), ("prompt_alternatives", prompt_alternatives)):
            if value is not None:
                _check(name, value, 0)
        text, ids, unknown, settings = self._understood(prompt, options)
        rows = [Row(self._vocabulary, settings, seed, alternatives) for seed in sample_seeds(settings.seed, samples)]
        continuations = [Continuation(row, text, unknown) for row in rows]
        writer = None if prompt_alternatives is None else TokenWriter(self._vocabulary, prompt_alternatives)
        request = _Request(ids, dict(zip(rows, continuations, strict=True)), writer if text else None)
        if request.wanted:
            self._enqueue(request)
        else:  # nothing is to be written
            for continuation in continuations:
                continuation.add("")
        return continuations

    def _understood(
        self, prompt: str | Sequence[int], options: Mapping[str, Any]
    ) -> tuple[str, Ids, tuple[str, ...], SamplingSettings]:
        """A prompt as text and as ids, its unknown characters, and whole settings."""
        if isinstance(prompt, str):
            cleaned, settings = self._interpret(prompt, options)
            unknown = tuple(self._vocabulary.unknown_characters(cleaned))
            return prompt, prompt_ids(self._vocabulary, cleaned), unknown, settings
        size = self._vocabulary.size
        for token in prompt:
            if not 0 <= token < size:
                raise UsageError(f"prompt: there is no id {token}; the vocabulary has those from 0 to {size - 1}")
        _, settings = self._interpret("", options)
        ids = np.array(prompt, dtype=np.int64) if prompt else prompt_ids(self._vocabulary, "")
        return self._vocabulary.decode(np.array(prompt, dtype=np.int64)), ids, (), settings

    def _enqueue(self, request: _Request) -> None:
        with self._changed:
            if self._closing:
                raise BusyError("the engine is closing: it takes no more requests")
            # Those for which there are rows wait for the next turn only, and do not count.
            room = self._max_queue + max(0, self._max_rows - self._busy_rows())
            if len(self._waiting) >= room:
                self._waiting = deque(request for request in self._waiting if request.wanted)
                if len(self._waiting) >= room:
                    raise BusyError(f"{self._max_queue:,} requests are waiting already: try again later")
            self._waiting.append(request)
            self._changed.notify_all()

    def _busy_rows(self) -> int:
        return len(self._active) + sum(len(request.rows) for request in self._reading)

    def status(self) -> EngineStatus:
        """What the engine is doing just now."""
        cache = self._reader.cache
        return EngineStatus(
            waiting=len(self._waiting),
            reading=len(self._reading),
            writing=len(self._active),
            cached_prompts=len(cache),
            cached_bytes=cache.bytes,
            cache_hits=cache.hits,
            cache_misses=cache.misses,
        )

    def close(self, *, drain: bool = True, timeout: float | None = None) -> None:
        """Take no more requests; finish those there are, or with `drain=False` cancel them; end the thread.

        Raises:
            TimeoutError: it has not ended after `timeout` seconds; it still will.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            unread = [*self._reading, *self._waiting]
            unfinished = [*self._active.values(), *(one for request in unread for one in request.rows.values())]
        if not drain:
            for continuation in unfinished:
                continuation.cancel()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the engine has not ended after {timeout} s")

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=error is None)

    def _work(self) -> None:
        while self._wait_for_work():
            try:
                self._turn()
            except Exception as error:  # the network itself failed: what was under way is lost, what comes is not
                self._fail(CharloomError(f"the network failed: {' '.join(str(error).split())[:200]}"))

    def _fail(self, error: CharloomError) -> None:
        read_or_written = [*self._active.values(), *(one for each in self._reading for one in each.rows.values())]
        self._rows = Rows(self._session, self._vocabulary.unknown_id)
        self._active, self._reading = {}, []
        for continuation in read_or_written:
            continuation.fail(error)

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not (self._waiting or self._reading or self._active or self._closing):
                self._changed.wait()
            return bool(self._waiting or self._reading or self._active)

    def _turn(self) -> None:
        self._admit()
        self._reader.advance([request.reading for request in self._reading if request.reading is not None])
        self._join_the_read()
        for row, piece in self._rows.step():
            continuation = self._active[row]
            if row.error is not None:
                continuation.fail(CharloomError(f"this text failed: {row.error}"))
            continuation.add(piece)
        self._active = {row: one for row, one in self._active.items() if row.finish_reason is None}

    def _admit(self) -> None:
        """Begin with requests, first come, first served, while there are rows for all of their samples."""
        with self._changed:
            while self._waiting:
                request = self._waiting[0]
                if request.wanted and self._busy_rows() + len(request.rows) > self._max_rows:
                    break
                self._waiting.popleft()
                if request.wanted:
                    self._reading.append(request)
                    for continuation in request.rows.values():
                        continuation.begin()
        for request in self._reading:
            if request.reading is None:
                request.reading = self._reader.begin(request.ids, request.writer)

    def _join_the_read(self) -> None:
        """Let the rows whose prompt is read take part; forget the requests that nobody wants any more."""
        still: list[_Request] = []
        for request in self._reading:
            reading = request.reading
            if reading is None or not request.wanted:
                continue
            if reading.logits is None:
                still.append(request)
                continue
            rows: Sequence[Row] = list(request.rows)
            for row, continuation in request.rows.items():
                if request.writer is not None:
                    continuation.prompt_tokens = reading.tokens
                if row.finish_reason is not None:  # nothing is to be written: it was about the prompt
                    continuation.add("")
            state = tuple(np.repeat(part, len(rows), axis=0) for part in reading.state)
            self._rows.join(rows, np.repeat(reading.logits, len(rows), axis=0), state)
            self._active.update(request.rows)
        self._reading = still


def _check(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{name} = {value}: give {least} or more")
