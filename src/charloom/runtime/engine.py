"""An engine that writes many texts at once: they join and leave between steps, in a thread of its own.

A turn of the engine reads a bounded piece of the prompts that wait, then draws one character in every row. So a
long prompt does not hold up the texts that are being written, and these do not hold up a new one for long. A request
that asks for many texts has no more than its share of the rows: where others want some, texts pause, and go on later.

In int8 a seeded text is the same, bit for bit, whatever else is being written, however its prompt was
cut, and whether or not the beginning of the prompt was remembered: its sums are exact. In float32 it is the
same on one kind of processor.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Unpack
from weakref import WeakSet

import numpy as np

from charloom.errors import BusyError, CharloomError, UsageError
from charloom.options import SamplingOptions
from charloom.runtime.continuation import Continuation
from charloom.runtime.generation import sample_seeds
from charloom.runtime.logprobs import Tokens
from charloom.runtime.patterns.constraint import compile_constraint
from charloom.runtime.prompts import PromptReader, prompt_ids
from charloom.runtime.scheduling import Prompt, Scheduler, Text
from charloom.runtime.session import Session
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids, Vocabulary

Interpret = Callable[[str, Mapping[str, Any]], tuple[str, SamplingSettings]]
"""From a user's prompt and options to the prompt as the model reads it and whole settings."""


@dataclass(frozen=True)
class EngineStatus:
    """What an engine is doing.

    Attributes:
        waiting: prompts that are not being read yet, or whose texts have no rows yet.
        reading: prompts that are being read.
        writing: texts that are being written.
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
        self._scheduler = Scheduler(session, vocabulary, self._reader, max_rows)
        self._arrived: dict[object, list[Prompt]] = {}
        self._unfinished: WeakSet[Continuation] = WeakSet()
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
        **options: Unpack[SamplingOptions],
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
        **options: Unpack[SamplingOptions],
    ) -> list[Continuation]:
        """Several continuations of a prompt, which is read once; sample i has seed + i.

        Raises:
            UsageError: as `submit`, or no sample.
            BusyError: as `submit`.
        """
        return self.submit_all(
            [prompt], samples, alternatives=alternatives, prompt_alternatives=prompt_alternatives, **options
        )

    def submit_all(
        self,
        prompts: Sequence[str | Sequence[int]],
        samples: int = 1,
        *,
        alternatives: int | None = None,
        prompt_alternatives: int | None = None,
        share: object = None,
        **options: Unpack[SamplingOptions],
    ) -> list[Continuation]:
        """Several continuations of each of several prompts, all or none of them, as one request.

        Requests share the rows: however many texts one asks for, others have rows too. What is submitted with an equal
        `share` while some of it is unfinished belongs to one request.

        Raises:
            UsageError: as `submit`, or no sample.
            BusyError: as `submit`.
        """
        _check("samples", samples, 1)
        for name, value in (("alternatives", alternatives), ("prompt_alternatives", prompt_alternatives)):
            if value is not None:
                _check(name, value, 0)
        asked = [self._asked(prompt, samples, alternatives, prompt_alternatives, options) for prompt in prompts]
        continuations = [text.continuation for prompt in asked for text in prompt.texts]
        to_do = [prompt for prompt in asked if prompt.tokens is not None or prompt.texts[0].settings.length]
        if to_do:
            self._enqueue(object() if share is None else share, to_do, continuations)
        for prompt in asked:
            if prompt not in to_do:
                for text in prompt.texts:
                    text.continuation.add("", "length")
        return continuations

    def _asked(
        self,
        prompt: str | Sequence[int],
        samples: int,
        alternatives: int | None,
        prompt_alternatives: int | None,
        options: Mapping[str, Any],
    ) -> Prompt:
        shown, ids, unknown, settings = self._understood(prompt, options)
        if settings.regex is not None:
            compile_constraint(settings.regex, self._vocabulary).check_length(settings.length)
        about = None if prompt_alternatives is None or not shown else Tokens(self._vocabulary, prompt_alternatives)
        texts: deque[Text] = deque()
        for seed in sample_seeds(settings.seed, samples):
            tokens = None if alternatives is None else Tokens(self._vocabulary, alternatives)
            texts.append(Text(Continuation(shown, seed, unknown, tokens, about), settings, alternatives))
        return Prompt(ids, texts, about)

    def _understood(
        self, prompt: str | Sequence[int], options: Mapping[str, Any]
    ) -> tuple[str, Ids, tuple[str, ...], SamplingSettings]:
        """A prompt as text and as ids, its unknown characters, and whole settings."""
        if isinstance(prompt, str):
            cleaned, settings = self._interpret(prompt, options)
            unknown = tuple(self._vocabulary.unknown_characters(cleaned))
            return prompt, prompt_ids(self._vocabulary, cleaned), unknown, settings
        size = self._vocabulary.size
        if len(prompt) and not 0 <= min(prompt) <= max(prompt) < size:
            wrong = next(token for token in prompt if not 0 <= token < size)
            raise UsageError(f"prompt: there is no id {wrong}; the vocabulary has those from 0 to {size - 1}")
        _, settings = self._interpret("", options)
        ids = np.array(prompt, dtype=np.int64)
        return self._vocabulary.decode(ids), ids if len(ids) else prompt_ids(self._vocabulary, ""), (), settings

    def _enqueue(self, share: object, prompts: list[Prompt], continuations: list[Continuation]) -> None:
        with self._changed:
            if self._closing:
                raise BusyError("the engine is closing: it takes no more requests")
            if share not in self._scheduler.shares and share not in self._arrived and self._full():
                raise BusyError(f"{self._max_queue:,} requests are waiting already: try again later")
            self._arrived.setdefault(share, []).extend(prompts)
            self._unfinished.update(continuations)
            self._changed.notify_all()

    def _full(self) -> bool:
        """Whether as many requests wait as may; those for which there are rows wait for the next turn only."""
        shares = list(self._scheduler.shares.values())
        if len(shares) + len(self._arrived) < self._max_queue:
            return False
        waiting = [list(share.waiting) for share in shares if not share.begun]
        waiting += [prompts for key, prompts in self._arrived.items() if key not in self._scheduler.shares]
        wanted: int = sum(any(prompt.wanted for prompt in prompts) for prompts in waiting)
        return wanted >= self._max_queue + max(0, self._max_rows - self._scheduler.busy)

    def status(self) -> EngineStatus:
        """What the engine is doing just now."""
        cache, shares, arrived = self._reader.cache, list(self._scheduler.shares.values()), list(self._arrived.values())
        return EngineStatus(
            waiting=sum(map(len, arrived)) + sum(len(one.waiting) + len(one.ready) for one in shares),
            reading=sum(len(one.reading) for one in shares),
            writing=sum(len(one.running) + len(one.paused) + len(one.following) for one in shares),
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
            unfinished = list(self._unfinished)
        if not drain:
            for continuation in unfinished:
                continuation.cancel()
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the engine has not ended after {timeout} s")

    def __repr__(self) -> str:
        status = self.status()
        state = "closed" if self._closing else "open"
        return f"<charloom.Engine, {state}: {status.writing} being written, {status.waiting} waiting>"

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(drain=error is None)

    def _work(self) -> None:
        while self._wait_for_work():
            try:
                self._let_in()
                self._scheduler.turn()
            except Exception as error:  # the network itself failed: what was under way is lost, what comes is not
                self._scheduler.fail(CharloomError(f"the network failed: {' '.join(str(error).split())[:200]}"))

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not (self._arrived or self._scheduler.shares or self._closing):
                self._changed.wait()
            return bool(self._arrived or self._scheduler.shares)

    def _let_in(self) -> None:
        """Take in what was submitted."""
        if self._arrived:
            with self._changed:
                for key, prompts in self._arrived.items():
                    self._scheduler.let_in(key, prompts)
                self._arrived.clear()


def _check(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise UsageError(f"{name} = {value!r:.60}: give {least} or more")
