"""What an engine does, turn by turn: read prompts in pieces, give out rows, draw characters in each.

An engine's rows are shared among the requests that want some, whatever each has asked for. A request that needs fewer
rows than its share leaves the rest to the others. Where there are more requests than rows, those that were served
least come first; a request that comes begins level with the one served least.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Final

import numpy as np

from charloom.errors import CharloomError
from charloom.runtime.continuation import Continuation
from charloom.runtime.logprobs import Tokens
from charloom.runtime.prompts import PromptReader, Reading
from charloom.runtime.rows import BURST, Paused, Row, Rows
from charloom.runtime.session import Session
from charloom.settings import SamplingSettings
from charloom.text.vocabulary import Ids, Vocabulary

SLICE: Final = 16
"""Steps after which rows are given out anew, where more are wanted than there are."""

_KEPT: Final = 128  # steps that a row is kept where not every request can have one

_WORK: Final = 1_000  # places of patterns visited in a turn; what one step takes beyond it is waited for


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
        """Whether it has ended or was cancelled."""
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
        """Drop what has ended or was cancelled."""
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


def allot_rows(shares: Iterable[Share], rows: int, wanted: Callable[[Share], int]) -> dict[Share, int]:
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


class Scheduler:
    """Gives the rows of one engine to its requests, turn by turn; its thread alone calls what changes them.

    Attributes:
        shares: the requests that something is left to do for.
        busy: how many texts are written, and prompts read.
    """

    def __init__(self, session: Session, vocabulary: Vocabulary, reader: PromptReader, max_rows: int) -> None:
        self.shares: dict[object, Share] = {}
        self.busy = 0
        self._session = session
        self._vocabulary = vocabulary
        self._reader = reader
        self._max_rows = max_rows
        self._rows = Rows(session, vocabulary.unknown_id)
        self._active: dict[Row, Text] = {}
        self._reading: list[Prompt] = []
        self._stale = False  # whether rows are to be given out anew
        self._contended = False  # whether some wait for rows that others have
        self._steps = 0  # since rows were given out

    def let_in(self, key: object, prompts: Sequence[Prompt]) -> None:
        """Take in prompts of a request; one that comes begins level with the one that was served least."""
        if key not in self.shares:
            self.shares[key] = Share(key, min((share.served for share in self.shares.values()), default=0.0))
        self.shares[key].waiting.extend(prompts)
        self._stale = True

    def turn(self) -> None:
        """Read a piece of the prompts, and draw characters in every row."""
        if self._stale or (self._contended and self._steps >= SLICE):
            self._begin_prompts()
        self._read_on()
        self._follow_patterns()
        if self._stale or (self._contended and self._steps >= SLICE):
            self._give_out_rows()
        self._write()

    def fail(self, error: CharloomError) -> None:
        """Give up what was under way; what waits is not lost."""
        self._rows = Rows(self._session, self._vocabulary.unknown_id)
        self._active, self._reading, self._stale = {}, [], True
        for share in self.shares.values():
            lost = [*share.running, *share.paused, *share.following]
            lost += [text for prompt in (*share.reading, *share.ready) for text in prompt.texts]
            share.running, share.following, share.reading = [], [], []
            share.paused.clear()
            share.ready.clear()
            for text in lost:
                text.continuation.fail(error)

    def _begin_prompts(self) -> None:
        """Begin to read prompts, of each request as long as it has fewer texts under way than it may have rows."""
        if not any(share.waiting for share in self.shares.values()):
            return
        given = allot_rows(self.shares.values(), self._max_rows, lambda share: share.wanted)
        for share, rows in given.items():
            while share.waiting and share.under_way < rows:
                prompt = share.waiting.popleft()
                if not prompt.wanted:
                    continue
                share.begun = True
                share.reading.append(prompt)
                prompt.reading = self._reader.begin(prompt.ids, prompt.tokens)
                for text in prompt.texts:
                    text.continuation.begin()
        self._reading = [prompt for share in self.shares.values() for prompt in share.reading]
        self.busy = len(self._active) + len(self._reading)

    def _read_on(self) -> None:
        """Read a piece of the prompts; those that are read to the end are ready to be continued."""
        if not self._reading:
            return
        self._reader.advance([prompt.reading for prompt in self._reading if prompt.reading is not None])
        if all(prompt.wanted and prompt.reading and prompt.reading.logits is None for prompt in self._reading):
            return
        for share in self.shares.values():
            still = []
            for prompt in share.reading:
                assert prompt.reading is not None
                if prompt.reading.logits is None:
                    if prompt.wanted:
                        still.append(prompt)
                    continue
                for text in prompt.texts:
                    if prompt.reading.error is not None:
                        text.continuation.fail(prompt.reading.error)
                    text.continuation.read()
                    if not text.settings.length:  # nothing is to be written: it was about the prompt
                        text.continuation.add("", "length")
                share.ready.append(prompt)
            share.reading = still
        self._reading = [prompt for share in self.shares.values() for prompt in share.reading]
        self._stale = True

    def _follow_patterns(self) -> None:
        """Let patterns go on with their work, as far as a turn allows, first where least was done."""
        self._rows.work = min(_WORK, self._rows.work + _WORK)
        if not self._active and not self._reading:  # no other text is held up
            self._rows.work = max(1, self._rows.work)
        while self._rows.work > 0:
            share = min((one for one in self.shares.values() if one.following), key=lambda one: one.work, default=None)
            if share is None:
                return
            text = share.following.pop(0)
            self._stale = True
            if text.row is None or text.done:
                continue
            before = self._rows.work
            piece = self._rows.follow(text.row)
            share.work += before - self._rows.work
            self._tell(text, text.row, piece)
            if text.row.finish_reason is None:
                share.paused.appendleft(text)

    def _give_out_rows(self) -> None:
        """Give each request its share of the rows: some texts pause, others go on or begin."""
        shares = list(self.shares.values())
        for share in shares:
            share.served += self._steps * len(share.running)
            share.forget_done()
            if not share.wanted:
                del self.shares[share.key]
        self._stale, self._steps = False, 0
        given = allot_rows(self.shares.values(), self._max_rows, lambda share: share.writable)
        self._pause([text for share, rows in given.items() for text in share.running[rows:]])
        resumed: list[Paused] = []
        for share, rows in given.items():
            share.paused.extendleft(reversed(share.running[rows:]))
            del share.running[rows:]
            while share.paused and len(share.running) < rows:
                text = share.paused.popleft()
                assert text.row is not None
                assert text.paused is not None
                resumed.append(text.paused)
                share.running.append(text)
                self._active[text.row] = text
            while share.ready and len(share.running) < rows:
                self._begin_texts(share, rows - len(share.running))
        self._rows.resume(resumed)
        self.busy = len(self._active) + len(self._reading)
        self._contended = any(share.wanted > len(share.running) for share in self.shares.values())

    def _pause(self, texts: Sequence[Text]) -> None:
        paused = self._rows.pause([text.row for text in texts if text.row is not None])
        for one in paused:
            self._active.pop(one.row).paused = one

    def _begin_texts(self, share: Share, most: int) -> None:
        """Give rows to texts of a prompt that is read."""
        prompt = share.ready[0]
        rows: list[Row] = []
        while prompt.texts and len(rows) < most:
            text = prompt.texts.popleft()
            if text.done:
                continue
            row = text.row = Row(self._vocabulary, text.settings, text.continuation.seed, text.alternatives)
            text.continuation.follow(row)
            if row.finish_reason is None:
                rows.append(row)
                share.running.append(text)
                self._active[row] = text
            else:
                text.continuation.add("", row.finish_reason)
        if not prompt.texts:
            share.ready.popleft()
        if rows:
            assert prompt.reading is not None
            assert prompt.reading.logits is not None
            state = tuple(np.repeat(part, len(rows), axis=0) for part in prompt.reading.state)
            self._rows.join(rows, np.repeat(prompt.reading.logits, len(rows), axis=0), state)

    def _write(self) -> None:
        """Draw characters in every row: one while prompts are read, and no more than until rows are given out anew."""
        most = 1 if self._reading else SLICE - self._steps if self._contended else BURST
        stepped = self._rows.turn(max(1, most))
        self._steps += self._rows.steps
        ended, to_follow = len(stepped) != len(self._active), []
        for row, piece in stepped:
            text = self._active[row]
            if row.finish_reason is None:
                text.continuation.add(piece, None, row.logprobs)
            else:
                self._tell(text, row, piece)
                ended = True
            if not row.followed:
                to_follow.append(text)
        if to_follow:
            self._pause(to_follow)
            for share in self.shares.values():
                share.following += [text for text in share.running if text in to_follow]
                share.running = [text for text in share.running if text not in to_follow]
        if ended or to_follow or not (stepped or self._reading):
            self._active = {row: text for row, text in self._active.items() if row.finish_reason is None}
            self._stale = True

    @staticmethod
    def _tell(text: Text, row: Row, piece: str) -> None:
        """Notify whoever waits for a text of what became of it."""
        if row.error is not None:
            text.continuation.fail(CharloomError(f"this text failed: {row.error}"))
        text.continuation.add(piece, row.finish_reason, row.logprobs)
