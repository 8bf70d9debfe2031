"""A text that an engine is writing, seen from the program that asked for it: read it, wait for it, or give it up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from types import TracebackType

from charloom.errors import CharloomError
from charloom.runtime.generation import Generation
from charloom.runtime.rows import FinishReason, Row
from charloom.runtime.tokens import Chunk, Token


class Continuation:
    """A continuation in progress.

    Iterate over it (`for` or `async for`) to get the text piece by piece; `result()` or `await` gives the whole. As
    a context manager it is cancelled on the way out, if it has not ended.

    Attributes:
        prompt: what is continued, as the user wrote it.
        seed: asking again with it gives the same text.
        unknown: the prompt's characters that the model does not know, each once.
        prompt_tokens: where they were asked for and the prompt has been read, what the model thought of each of its
            characters; None for the first.
    """

    def __init__(self, row: Row, prompt: str, unknown: tuple[str, ...]) -> None:
        """Follow `row`; engines make these."""
        self.prompt = prompt
        self.seed = row.seed
        self.unknown = unknown
        self._row = row
        self._started = time.perf_counter()
        self._changed = threading.Condition()
        self.prompt_tokens: list[Token | None] = []
        self._pieces: list[Chunk] = []
        self._reason: FinishReason | None = None
        self._error: CharloomError | None = None
        self._seconds = 0.0
        self._wakers: list[Callable[[], None]] = []

    @property
    def done(self) -> bool:
        """Whether the text has ended, for whatever reason."""
        return self._reason is not None

    def cancel(self) -> None:
        """Give the text up: its row is free at the next step. Does nothing where the text has ended."""
        with self._changed:
            if self._reason is None:
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
        """What the model thought of each character so far, where alternatives were asked for."""
        return [token for piece in list(self._pieces) for token in piece.tokens]

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

    def chunks(self) -> Iterator[Chunk]:
        """The pieces of text with their tokens, from the first, as they come."""
        place = 0
        while True:
            with self._changed:
                while len(self._pieces) == place and not self.done:
                    self._changed.wait()
                news = self._pieces[place:]
            if not news:
                self._raise_error()
                return
            place += len(news)
            yield _joined(news)

    async def achunks(self) -> AsyncIterator[Chunk]:
        """The same in an event loop, which is not held up."""
        place = 0
        while True:
            await self._news_after(place)
            news = self._pieces[place:]
            if not news:
                self._raise_error()
                return
            place += len(news)
            yield _joined(news)

    def __await__(self) -> Generator[object, None, Generation]:
        """Wait for the end in an event loop, and return the whole."""
        return self._ended().__await__()

    def __enter__(self) -> Continuation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def add(self, piece: str) -> None:
        """For the engine: the row has come further, and may have ended."""
        with self._changed:
            if self._reason is not None:
                return
            if piece or self._row.tokens:
                self._pieces.append(Chunk(piece, self._row.tokens))
            if self._row.finish_reason is not None:
                self._end(self._row.finish_reason)
            elif piece:
                self._tell()

    def fail(self, error: CharloomError) -> None:
        """For the engine: the row cannot be finished."""
        with self._changed:
            if self._reason is None:
                self._error = error
                self._row.finish_reason = "failed"
                self._end("failed")

    def _end(self, reason: FinishReason) -> None:
        self._reason = reason
        self._seconds = time.perf_counter() - self._started
        self._tell()

    def _tell(self) -> None:
        self._changed.notify_all()
        wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def _whole(self) -> Generation:
        self._raise_error()
        assert self._reason is not None
        text = _joined(self._pieces).text
        return Generation(self.prompt, text, self._reason, len(text), self._seconds, self.seed, self.unknown)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    async def _ended(self) -> Generation:
        place = 0
        while not self.done:
            await self._news_after(place)
            place = len(self._pieces)
        return self._whole()

    async def _news_after(self, place: int) -> None:
        """Return when there are more than `place` pieces, or the text has ended."""
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(news.set)

        with self._changed:
            if self.done or len(self._pieces) > place:
                return
            self._wakers.append(wake)
        await news.wait()


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    text = "".join(chunk.text for chunk in chunks)
    return Chunk(text, tuple(token for chunk in chunks for token in chunk.tokens))
