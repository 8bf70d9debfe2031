"""Texts of any size read side by side: the nats of each, many at a time.

Texts are rows of a batch that they enter and leave as they begin and end. A text is an iterator of stretches of ids, so
that it may be larger than memory. Its state is carried from its first id to its last. A text that ends leaves its row
to the next one, and for as long as none ends nothing is padded. A text's nats are the same bits
alone and in any company; in int8 also on every processor.

Legend: T time, B rows, V vocabulary, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from charloom.runtime.session import Nats, Session, initial_state
from charloom.text.vocabulary import Ids

MAX_ROWS = 64
_POSITIONS = 4096  # T · B of one run: enough to be fast, and short lines are padded by less
_NUMBERS = 1 << 23  # in the largest array of one run, 32 MiB of float32


def nats_of_texts(
    session: Session, opening_id: int, texts: Iterable[Iterator[Ids]], max_rows: int = MAX_ROWS
) -> Iterator[tuple[int, Nats | None]]:
    """Read texts side by side, each from a zero state and `opening_id`; those of like length should come together.

    Args:
        session: the network.
        opening_id: what is read before the first id of a text.
        texts: each the stretches (T,) of its ids; a text is asked for when a row is free for it.
        max_rows: how many texts are read at a time, at most.

    Yields:
        The number of a text, from 0, and the nats (T,) of its next ids; or None after its last.
    """
    batch = _Batch(session, opening_id)
    rows = max(1, min(max_rows, batch.positions))
    waiting = enumerate(texts)
    while True:
        while len(batch) < rows and (entry := next(waiting, None)) is not None:
            number, stretches = entry
            if not batch.enter(number, stretches):
                yield number, None
        if not len(batch):
            return
        yield from batch.step()


class _Row:
    """One text on its way through the network."""

    def __init__(self, number: int, stretches: Iterator[Ids], opening_id: int) -> None:
        self.number = number
        self._stretches = stretches
        self._last = opening_id
        self._held: Ids = np.empty(0, dtype=np.uint8)

    def available(self, wanted: int) -> int:
        """How many ids are at hand, after looking for `wanted` of them: fewer only where the text ends."""
        while len(self._held) < wanted and (stretch := next(self._stretches, None)) is not None:
            self._held = np.concatenate([self._held, stretch]) if len(self._held) else stretch
        return len(self._held)

    def lay(self, inputs: Ids, targets: Ids) -> int:
        """Write the next ids, as many as there are, into a column of inputs and one of targets, each (T,)."""
        ids = self._held[: len(targets)]
        self._held = self._held[len(ids) :]
        inputs[0], inputs[1 : len(ids)] = self._last, ids[:-1]
        targets[: len(ids)] = ids
        self._last = int(ids[-1])
        return len(ids)


class _Batch:
    """The texts that are being read, and the state of each."""

    def __init__(self, session: Session, opening_id: int) -> None:
        shape = session.shape
        self.positions = max(1, min(_POSITIONS, _NUMBERS // max(shape.vocab_size, 4 * shape.hidden_size)))
        self._session = session
        self._opening_id = opening_id
        self._rows: list[_Row] = []
        self._state = initial_state(shape, 0)

    def __len__(self) -> int:
        return len(self._rows)

    def enter(self, number: int, stretches: Iterator[Ids]) -> bool:
        """Give a text a row, unless there is nothing in it."""
        row = _Row(number, stretches, self._opening_id)
        if not row.available(1):
            return False
        self._rows.append(row)
        return True

    def step(self) -> Iterator[tuple[int, Nats | None]]:
        """Read on in every row; those whose text has ended become free."""
        rows = self._rows
        time = self.positions // len(rows)
        time = min(time, max(row.available(time) for row in rows))
        inputs = np.zeros((time, len(rows)), dtype=np.int64)
        targets = np.zeros_like(inputs)
        lengths = [row.lay(inputs[:, b], targets[:, b]) for b, row in enumerate(rows)]
        found, state = self._session.nats(inputs, targets, self._entered_state())
        nats = found.T.copy()  # (B, T)
        going_on: list[int] = []
        for b, row in enumerate(rows):
            yield row.number, nats[b, : lengths[b]]
            if row.available(1):
                going_on.append(b)
            else:
                yield row.number, None
        self._rows = [rows[b] for b in going_on]
        self._state = state if len(going_on) == len(rows) else tuple(part[going_on] for part in state)

    def _entered_state(self) -> tuple[NDArray[np.float32], ...]:
        """The state with zeros for the texts that have just entered."""
        new = len(self._rows) - len(self._state[0])
        if not new:
            return self._state
        fresh = initial_state(self._session.shape, new)
        return tuple(np.concatenate([old, zeros]) for old, zeros in zip(self._state, fresh, strict=True))
