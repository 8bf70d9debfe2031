"""An engine's rows are shared among the requests that want some, whatever each has asked for.

A request that needs fewer rows than its share leaves the rest to the others. Where there are more requests than rows,
those that were served least come first; a request that comes begins level with the one served least.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Final

from charloom.runtime.continuation import Continuation
from charloom.runtime.prompts import Reading
from charloom.runtime.rows import Paused, Row
from charloom.runtime.written import Tokens
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids

SLICE: Final = 16
"""Steps after which rows are given out anew, where more are wanted than there are."""

_KEPT: Final = 128  # steps that a row is kept where not every request can have one


@dataclass(eq=False)
class Text:
    """One text: what is asked of it, and where it is on its way."""

    continuation: Continuation
    settings: SamplingSettings
    alternatives: int | None
    row: Row | None = None
    paused: Paused | None = None  # while others have its row

    @property
    def done(self) -> bool:
        """Whether it has ended, or nobody waits for it any more."""
        return self.continuation.done


@dataclass(eq=False)
class Prompt:
    """A prompt, and the texts that continue it and have no row yet."""

    ids: Ids
    texts: deque[Text]
    tokens: Tokens | None = None  # what the model thinks of it
    reading: Reading | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is a text to write, or something to say of the prompt."""
        return not all(text.done for text in self.texts)


@dataclass(eq=False)
class Share:
    """What is wanted by one request.

    Attributes:
        key: what the request is called.
        begun: whether something was done for it.
        served: how many characters were written for it, counted from where the others were when it came.
        waiting: prompts that nothing was done for.
        reading: prompts that are being read.
        ready: prompts that are read, whose texts have no rows yet.
        running: texts that have rows, in the order they began.
        paused: texts whose rows others have, in the order they began.
        following: texts whose pattern is still at work.
        work: how much its patterns did so far.
    """

    key: object
    served: float = 0.0
    work: float = 0.0
    begun: bool = False
    waiting: deque[Prompt] = field(default_factory=deque)
    reading: list[Prompt] = field(default_factory=list)
    ready: deque[Prompt] = field(default_factory=deque)
    running: list[Text] = field(default_factory=list)
    paused: deque[Text] = field(default_factory=deque)
    following: list[Text] = field(default_factory=list)

    @property
    def writable(self) -> int:
        """How many rows it could use at once."""
        return len(self.running) + len(self.paused) + (_texts(self.ready) if self.ready else 0)

    @property
    def under_way(self) -> int:
        """How many texts something was done for, those with a row included."""
        return self.writable + len(self.following) + (_texts(self.reading) if self.reading else 0)

    @property
    def wanted(self) -> int:
        """How many rows it could use in the end."""
        return self.under_way + (_texts(self.waiting) if self.waiting else 0)

    def forget_done(self) -> None:
        """Drop what has ended, and what nobody waits for any more."""
        if self.running:
            self.running = [text for text in self.running if not text.done]
        if self.following:
            self.following = [text for text in self.following if not text.done]
        if self.paused:
            self.paused = deque(text for text in self.paused if not text.done)
        for prompts in (self.ready, self.waiting):
            while prompts and not prompts[0].wanted:
                prompts.popleft()


def _texts(prompts: Iterable[Prompt]) -> int:
    return sum(len(prompt.texts) for prompt in prompts)


def allotted(shares: Iterable[Share], rows: int, wanted: Callable[[Share], int]) -> dict[Share, int]:
    """How many rows each may have: one after another to the share that was served least, until none is left.

    Where not every share can have one, those that have one keep it for a while: changing rows costs time.
    """
    counts = {share: count for share in shares if (count := wanted(share))}
    if sum(counts.values()) <= rows:
        return counts
    given = dict.fromkeys(counts, 0)
    kept = _KEPT if len(counts) > rows else 0
    line = [(share.served - (kept if share.running else 0), order, share) for order, share in enumerate(counts)]
    heapify(line)
    for _ in range(rows):
        served, order, share = line[0]
        given[share] += 1
        if given[share] == counts[share]:
            heappop(line)
        else:
            heapreplace(line, (served + SLICE, order, share))
    return given
