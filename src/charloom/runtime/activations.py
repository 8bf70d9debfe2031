"""What hidden units do while a text is read.

Legend: T time, H hidden units, U chosen units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charloom.errors import UsageError
from charloom.runtime.session import Session, initial_state, no_number
from charloom.text.vocabulary import Ids, Vocabulary

LONGEST = 5_000  # ids: each is a step of its own
MOST = 8  # units that are chosen where none are named


@dataclass(frozen=True)
class Activations:
    """The hidden states of some units of a layer.

    Attributes:
        layer: from 0.
        characters: what was read (T,); of bytes the last one of a character has it, the others have "".
        units: which (U,).
        values: after each character, from −1 to 1 (T, U).
    """

    layer: int
    characters: tuple[str, ...]
    units: tuple[int, ...]
    values: NDArray[np.float32]


def activations(
    session: Session,
    vocabulary: Vocabulary,
    ids: Ids,
    *,
    layer: int | None = None,
    units: Sequence[int] | None = None,
) -> Activations:
    """Read ids (T,) from the start of a line and note the hidden state after each.

    Args:
        session: the network.
        vocabulary: what its ids mean.
        ids: what to read.
        layer: from 0; the last one if None.
        units: which of the layer; the eight that vary most over the text if None.
    """
    shape = session.shape
    if len(ids) > LONGEST:
        raise UsageError(f"text: {len(ids):,} characters are too many to look at, give at most {LONGEST:,}", "text")
    last = shape.num_layers - 1
    layer = last if layer is None else layer
    if not _is_number_below(layer, shape.num_layers):
        raise UsageError(f"layer = {layer!r:.60}: give one from 0 to {last}", "layer")
    if isinstance(units, str | bytes) or not isinstance(units, Iterable | None):
        raise UsageError(f"units = {units!r:.60}: give a list of numbers", "units")
    for unit in () if units is None else units:
        if not _is_number_below(unit, shape.hidden_size):
            message = f"units: there is no unit {unit!r:.60}, give some from 0 to {shape.hidden_size - 1}"
            raise UsageError(message, "units")
    hidden = read_states(session, vocabulary, ids, [layer * shape.states_per_layer])[1:, 0]
    chosen = list(units) if units is not None else _most_variable(hidden)
    decode = vocabulary.decoder()
    characters = tuple(decode(int(token)) for token in ids)
    return Activations(layer, characters, tuple(chosen), hidden[:, chosen])


def _is_number_below(value: object, end: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) < end


def read_states(session: Session, vocabulary: Vocabulary, ids: Ids, places: Sequence[int]) -> NDArray[np.float32]:
    """Some parts P of the state after the start of a line and after each id, (T + 1, P, H)."""
    _, state = session.run(np.array([[vocabulary.opening_id]]), initial_state(session.shape, 1))
    found = np.empty((len(ids) + 1, len(places), session.shape.hidden_size), dtype=np.float32)
    for time in range(len(ids) + 1):
        if time:
            _, state = session.read(np.array([[ids[time - 1]]]), state)
        for at, place in enumerate(places):
            found[time, at] = state[place][0]
    if not np.isfinite(found).all():
        raise no_number()
    return found


def _most_variable(hidden: NDArray[np.float32]) -> list[int]:
    """The units that change most over the text, the most variable first; of equals the lower number."""
    if not len(hidden):
        return []
    order: list[int] = np.argsort(-hidden.var(axis=0), kind="stable")[:MOST].tolist()
    return order
