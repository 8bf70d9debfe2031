"""Measure a model on a text by one of three named protocols. Nats are summed and divided once.

- `stateful`: each segment is read once from start to end, its state carried (a tail split is one segment).
- `windows-256`: windows of 256 predictions that do not overlap, each from a zero state.
- `cold-60`: the same with 60, the article's way.

The figures of different protocols must never be compared. Legend: T time, B rows, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charloom.bundle import Loss
from charloom.errors import CorpusError
from charloom.runtime.session import LOGITS_LIMIT, Session, State, initial_state
from charloom.settings import Protocol
from charloom.text.prepared import load_ids
from charloom.text.splits import Segment
from charloom.text.vocabulary import Ids, Vocabulary

WINDOWS: dict[Protocol, int] = {"windows-256": 256, "cold-60": 60}
_STATEFUL_CHUNK = 1024
_COUNTED_CHUNK = 1 << 20
_MAX_ROWS = 64
_SHORT = 257


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes:
        loss: nats a symbol (a character, or a byte with a bytes vocabulary).
        bits_per_char: bits a character.
        bits_per_byte: bits a byte of UTF-8; None where unknown characters make it impossible to say.
        perplexity: exp(loss).
        characters: characters predicted.
        unknown: how many of them the model has no id for; they are charged what the model gives
            "unknown".
        protocol: how it was measured.
        items: of a model that learned a list, how many items were measured; else None.
    """

    loss: float
    bits_per_char: float
    bits_per_byte: float | None
    perplexity: float
    characters: int
    unknown: int
    protocol: Protocol
    items: int | None = None

    @property
    def bits_per_item(self) -> float | None:
        """Bits of a whole item, its line end included; None for a text."""
        return None if self.items is None else self.bits_per_char * self.characters / self.items

    def record(self) -> Loss:
        """What a model directory keeps of it."""
        return Loss(
            loss=self.loss,
            bits_per_char=self.bits_per_char,
            perplexity=self.perplexity,
            characters=self.characters,
        )


def evaluate_segments(
    session: Session, vocabulary: Vocabulary, segments: Sequence[Segment], protocol: Protocol
) -> Evaluation:
    """Measure a model on segments of a text."""
    symbols = sum(segment.predicted for segment in segments)
    if symbols == 0:
        raise CorpusError("there is no text to evaluate")
    return _evaluation(math.fsum(_nats(session, segments, protocol)), vocabulary, segments, protocol)


def evaluation_of_loss(
    loss: float, vocabulary: Vocabulary, segments: Sequence[Segment], protocol: Protocol
) -> Evaluation:
    """The evaluation that came to a loss that is already known."""
    symbols = sum(segment.predicted for segment in segments)
    return _evaluation(loss * symbols, vocabulary, segments, protocol)


def _evaluation(nats: float, vocabulary: Vocabulary, segments: Sequence[Segment], protocol: Protocol) -> Evaluation:
    symbols = sum(segment.predicted for segment in segments)
    characters, utf8_bytes, unknown = _counts(vocabulary, segments)
    bits = nats / math.log(2)
    loss = nats / symbols
    return Evaluation(
        loss=loss,
        bits_per_char=bits / max(1, characters),
        bits_per_byte=None if utf8_bytes is None else bits / utf8_bytes,
        perplexity=math.exp(min(loss, 700.0)),
        characters=characters,
        unknown=unknown,
        protocol=protocol,
    )


def _counts(vocabulary: Vocabulary, segments: Sequence[Segment]) -> tuple[int, int | None, int]:
    """Characters, bytes (None where some are unknown) and unknown characters among what is predicted."""
    characters = unknown = utf8_bytes = 0
    for segment in segments:
        for start in range(1, len(segment.ids), _COUNTED_CHUNK):
            ids = load_ids(segment.ids[start : start + _COUNTED_CHUNK])
            here, here_bytes = vocabulary.characters_and_bytes(ids)
            characters += here
            unknown += 0 if vocabulary.unknown_id is None else int((ids == vocabulary.unknown_id).sum())
            utf8_bytes += here_bytes or 0
    return characters, None if unknown else utf8_bytes, unknown


def _nats(session: Session, segments: Sequence[Segment], protocol: Protocol) -> Iterator[float]:
    pieces: Iterator[Segment] = iter(segments)
    if protocol in WINDOWS:
        pieces = (window for segment in segments for window in _windows(segment, WINDOWS[protocol]))
    for batch in _batches(pieces, session.shape.vocab_size):
        state = initial_state(session.shape, batch.shape[1])
        for start in range(0, len(batch) - 1, _STATEFUL_CHUNK):
            chunk = load_ids(batch[start : start + _STATEFUL_CHUNK + 1])
            nats, state = _chunk_nats(session, chunk, state)
            yield nats


def _chunk_nats(session: Session, ids: Ids, state: State) -> tuple[float, State]:
    nats, state = session.nats(ids[:-1], ids[1:], state)
    return float(nats.sum()), state


def _windows(segment: Segment, size: int) -> Iterator[Segment]:
    for start in range(0, segment.predicted, size):
        yield Segment(segment.ids[start : start + size + 1])


def _batches(pieces: Iterator[Segment], vocab_size: int) -> Iterator[Ids]:
    """Put pieces of equal length side by side, (T + 1, B), as many as the memory for logits allows."""
    waiting: list[Ids] = []
    rows = _MAX_ROWS
    for piece in pieces:
        if waiting and (len(piece.ids) != len(waiting[0]) or len(waiting) >= rows):
            yield _side_by_side(waiting)
            waiting = []
        waiting.append(piece.ids)
        length = min(len(piece.ids), _STATEFUL_CHUNK)
        most = _MAX_ROWS * max(1, _SHORT // length)  # of many short items, as much is read at once as of windows
        rows = max(1, min(most, LOGITS_LIMIT // (length * vocab_size)))
    if waiting:
        yield _side_by_side(waiting)


def _side_by_side(rows: list[Ids]) -> Ids:
    """Rows as columns; one alone is not copied, for it may be larger than memory."""
    return rows[0][:, None] if len(rows) == 1 else np.stack([load_ids(row) for row in rows], axis=1)
