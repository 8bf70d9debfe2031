"""A text that an engine is writing, seen from the program that asked for it: read it, wait for it, or give it up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from charloom.errors import CharloomError
from charloom.runtime.generation import Generation
from charloom.runtime.logprobs import Chunk, IdLogprobs, Token, Tokens, WrittenText
from charloom.runtime.rows import FinishReason, Row

_TOKENS_AT_ONCE = 100


@dataclass
class ReadPosition:
    """How far a text has been read: so many pieces of it, characters and tokens."""

    pieces: int = 0
    characters: int = 0
    tokens: int = 0


class Bell:
    """Lets one task wait for many texts: however often it is rung meanwhile, the event loop is woken once."""

    def __init__(self) -> None:
        """Wake the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._rung = False

    def ring(self) -> None:
        """There is something new; may be called from any thread."""
        if not self._rung:
            self._rung = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
                self._loop.call_soon_threadsafe(self._event.set)

    async def heard(self) -> None:
        """Wait until it has been rung since the last time."""
        await self._event.wait()
        self._event.clear()
        self._rung = False


class Continuation:
    """A continuation in progress.

    Iterate over it (`for` or `async for`) to get the text piece by piece; `result()` or `await` gives the whole. As
    a context manager it is cancelled on the way out, if it has not ended.

    Attributes:
        prompt: what is continued, as the user wrote it.
        seed: asking again with it gives the same text.
        unknown: the prompt's characters that the model does not know, each once.
        about: where alternatives were asked for, what the model thought of each character so far.
        about_prompt: the same of the prompt's characters but the first, where that was asked for.
        waited: seconds in the queue; None while it waits.
        first_after: seconds until the first piece of text; None before it.
    """

    def __init__(
        self,
        prompt: str,
        seed: int,
        unknown: tuple[str, ...],
        tokens: Tokens | None = None,
        about_prompt: Tokens | None = None,
    ) -> None:
        """Follow a text that is to be written; engines make these."""
        self.prompt = prompt
        self.seed = seed
        self.unknown = unknown
        self.about = tokens
        self.about_prompt = about_prompt
        self._row: Row | None = None
        self._started = time.perf_counter()
        self._changed = threading.Condition(threading.Lock())
        self.waited: float | None = None
        self.first_after: float | None = None
        self._written = WrittenText()
        self._marks = array("l"), array("l")  # characters and tokens after each piece, where there are tokens
        self._prompt_read = False
        self._reason: FinishReason | None = None
        self._error: CharloomError | None = None
        self._seconds = 0.0
        self._wakers: list[Callable[[], None]] = []
        self._end_wakers: list[Callable[[], None]] = []
        self._listener: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        """Whether the text has ended, for whatever reason."""
        return self._reason is not None

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the text has ended; None until it has."""
        return self._reason

    @property
    def text(self) -> str:
        """What is written so far."""
        with self._changed:
            return self._written.since(0)

    @property
    def length(self) -> int:
        """How many characters are written so far."""
        return self._written.length

    @property
    def error(self) -> CharloomError | None:
        """Why the text failed, if it did."""
        return self._error

    @property
    def prompt_is_read(self) -> bool:
        """Whether all of the prompt has been read."""
        return self._prompt_read

    @property
    def prompt_tokens(self) -> list[Token | None]:
        """What the model thought of the prompt's characters, None for the first; empty until the prompt is read."""
        if self.about_prompt is None or not self._prompt_read:
            return []
        return [None, *self.about_prompt.some(0, len(self.about_prompt))]

    @property
    def seconds(self) -> float:
        """From the request to the end; 0 before it."""
        return self._seconds

    def __repr__(self) -> str:
        return f"<charloom.Continuation of {self.prompt!r:.60}: {self.finish_reason or f'{self.length:,} so far'}>"

    def cancel(self) -> None:
        """Give the text up: its row is free at the next step. Does nothing where the text has ended."""
        with self._changed:
            if self._reason is None:
                if self._row is not None:
                    self._row.finish_reason = "cancelled"
                self._end("cancelled")

    def result(self, timeout: float | None = None) -> Generation:
        """Wait for the end, at most `timeout` seconds, and return the whole.

        Raises:
            TimeoutError: it has not ended by then; it goes on.
            CharloomError: the engine could not finish it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.done, timeout):
                raise TimeoutError(f"the text has not ended after {timeout} s")
            return self._whole()

    @property
    def tokens(self) -> list[Token]:
        """What the model thought of each character, where alternatives were asked for.

        It waits for the end of the text; `chunks` gives them as they come.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.done or self.about is None)
        return [] if self.about is None else list(self.about.some(0, len(self.about)))

    def __iter__(self) -> Iterator[str]:
        """The pieces of text, from the first, as they come; none is empty."""
        for chunk in self.chunks():
            if chunk.text:
                yield chunk.text

    async def __aiter__(self) -> AsyncIterator[str]:
        """The same in an event loop, which is not held up."""
        async for chunk in self.achunks():
            if chunk.text:
                yield chunk.text

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` from now on whenever there is something new, in whichever thread that comes."""
        with self._changed:
            self._listener = listener

    def chunks(self) -> Iterator[Chunk]:
        """The pieces of text with their tokens, from the first, as they come."""
        position = ReadPosition()
        while True:
            with self._changed:
                while not self._news(position) and not self.done:
                    self._changed.wait()
            if (chunk := self.next_chunk(position)) is None:
                self._raise_error()
                return
            yield chunk

    async def achunks(self) -> AsyncIterator[Chunk]:
        """The same in an event loop, which is not held up."""
        position = ReadPosition()
        while True:
            await self._news_for(position)
            if (chunk := self.next_chunk(position)) is None:
                self._raise_error()
                return
            yield chunk

    def next_chunk(self, position: ReadPosition) -> Chunk | None:
        """What there is for a position, with tokens a hundred of them at most; None where there is nothing yet."""
        with self._changed:
            if not self._news(position):
                return None
            if self.about is None:
                text = self._written.since(position.characters)
                position.characters += len(text)
                return Chunk(text)
            characters, tokens = self._marks
            mark = max(position.pieces, bisect_right(tokens, position.tokens + _TOKENS_AT_ONCE) - 1)
            text = self._written.since(position.characters)[: characters[mark] - position.characters]
            start, stop = position.tokens, tokens[mark]
            position.pieces, position.characters, position.tokens = mark + 1, characters[mark], stop
        return Chunk(text, tuple(self.about.some(start, stop)))

    def _news(self, position: ReadPosition) -> bool:
        if self.about is None:
            return self._written.length > position.characters
        return len(self._marks[0]) > position.pieces

    def __await__(self) -> Generator[object, None, Generation]:
        """Wait for the end in an event loop, and return the whole."""
        return self._ended().__await__()

    def __enter__(self) -> Continuation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def begin(self) -> None:
        """For the engine: it waits no longer."""
        self.waited = time.perf_counter() - self._started

    def read(self) -> None:
        """For the engine: the prompt has been read."""
        self._prompt_read = True

    def follow(self, row: Row) -> None:
        """For the engine: this row writes the text."""
        with self._changed:
            self._row = row
            if self._reason is not None:
                row.finish_reason = self._reason

    def add(self, piece: str, reason: FinishReason | None, logprobs: Sequence[IdLogprobs] = ()) -> None:
        """For the engine: the text has come further, and may have ended."""
        with self._changed:
            if self._reason is not None:
                return
            if piece and self.first_after is None:
                self.first_after = time.perf_counter() - self._started
            if piece:
                self._written.add(piece)
            if self.about is not None and (piece or logprobs):
                for one in logprobs:
                    self.about.add(one)
                self._marks[0].append(self._written.length)
                self._marks[1].append(len(self.about))
            if reason is not None:
                self._end(reason)
            elif piece:
                self._tell()

    def fail(self, error: CharloomError) -> None:
        """For the engine: the row cannot be finished."""
        with self._changed:
            if self._reason is None:
                self._error = error
                if self._row is not None:
                    self._row.finish_reason = "failed"
                self._end("failed")

    def _end(self, reason: FinishReason) -> None:
        self._reason = reason
        self._seconds = time.perf_counter() - self._started
        self._tell()
        wakers, self._end_wakers = self._end_wakers, []
        for wake in wakers:
            wake()

    def _tell(self) -> None:
        self._changed.notify_all()
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()
        if self._listener is not None:
            self._listener()

    def _whole(self) -> Generation:
        self._raise_error()
        assert self._reason is not None
        text = self._written.since(0)
        return Generation(self.prompt, text, self._reason, len(text), self._seconds, self.seed, self.unknown)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def ended(self, timeout: float | None = None) -> bool:
        """Wait in an event loop for the end, at most `timeout` seconds; return whether it has come.

        Whoever reads a text in large pieces waits here between them: unlike the text's pieces, its end wakes but once.
        """
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        wake = _waker(loop, woken)
        with self._changed:
            if self.done:
                return True
            self._end_wakers.append(wake)
        timer = None if timeout is None else loop.call_later(timeout, woken.set)
        try:
            await woken.wait()
        finally:
            if timer is not None:
                timer.cancel()
            with self._changed:
                if wake in self._end_wakers:
                    self._end_wakers.remove(wake)
        return self.done

    async def _ended(self) -> Generation:
        await self.ended()
        return self._whole()

    async def _news_for(self, position: ReadPosition) -> None:
        """Return when there is something for a position, or the text has ended."""
        news = asyncio.Event()
        with self._changed:
            if self.done or self._news(position):
                return
            self._wakers.append(_waker(asyncio.get_running_loop(), news))
        await news.wait()


def _waker(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    """What sets an event from another thread."""

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(event.set)

    return wake
