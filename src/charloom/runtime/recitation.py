"""How much of a text a model has memorized: passages of it are begun, and the model goes on alone.

Greedy and cold: a prompt is read from a zero state, as `charloom generate --prompt` reads it, and the likeliest
character is taken every time. Legend: T time, B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from charloom.errors import CorpusError, UsageError
from charloom.kernel.sampling import Sampler, draw
from charloom.runtime.session import LOGITS_LIMIT, Session, initial_state, no_number
from charloom.settings import MAX_SEED, SamplingSettings, Settings, SplitName
from charloom.text.prepared import load_ids
from charloom.text.splits import Segment
from charloom.text.vocabulary import Ids, Vocabulary


@dataclass(frozen=True)
class Passage:
    """A passage of the corpus and what the model made of its second half.

    Attributes:
        offset: where the prompt begins in the corpus, from 0.
        prompt: what the model was given.
        expected: how the corpus goes on.
        written: how the model went on.
        matched: characters of it that agree before the first that does not.
    """

    offset: int
    prompt: str
    expected: str
    written: str
    matched: int


@dataclass(frozen=True)
class Recitation:
    """What a model has memorized. Lengths are characters (bytes with a bytes vocabulary).

    Attributes:
        samples: passages that were begun.
        exact: how many the model continued without a fault.
        exact_fraction: the share of them.
        mean_matched: the mean number of characters that agree before the first that does not.
        prompt_length: characters given.
        length: characters asked for.
        split: the part of the corpus that the passages are from.
        seed: drew the passages.
        recited: a passage continued without a fault, None where there is none.
        failed: the longest recited of the others, None where there is none.
    """

    samples: int
    exact: int
    exact_fraction: float
    mean_matched: float
    prompt_length: int
    length: int
    split: SplitName
    seed: int
    recited: Passage | None
    failed: Passage | None


class ReciteSettings(Settings):
    """How much of a text is asked for."""

    prompt_length: int = Field(57, ge=1, le=100_000, description="Characters of a passage that the model is given.")
    length: int = Field(128, ge=1, le=100_000, description="Characters that it must continue with.")
    samples: int = Field(100, ge=1, le=4096, description="Passages, each from a place of its own.")
    seed: int = Field(1, ge=0, le=MAX_SEED, description="The same seed draws the same passages.")

    @property
    def passage(self) -> int:
        """The length of a whole passage."""
        return self.prompt_length + self.length


class ReciteOptions(TypedDict, total=False):
    """Fields of `ReciteSettings`, as keyword arguments."""

    prompt_length: int
    length: int
    samples: int
    seed: int


def recite(
    session: Session,
    vocabulary: Vocabulary,
    segments: Sequence[Segment],
    settings: ReciteSettings,
    split: SplitName = "train",
) -> Recitation:
    """Let a model continue random passages of a text, and compare.

    Args:
        session: the network.
        vocabulary: what its ids mean.
        segments: the text; every passage lies within one of them, and no two begin at the same place.
        settings: how many passages, how long, and which.
        split: the name of the part that the segments are.
    """
    places = _places(segments, settings)
    whole = np.stack([_passage(segments, place, settings) for place in places])  # (B, T)
    expected = whole[:, settings.prompt_length :]
    written = _continue_prompts(session, whole[:, : settings.prompt_length], settings.length, vocabulary.unknown_id)
    differs = (written != expected) | (expected == vocabulary.unknown_id)  # an unknown character is never written
    matched = np.where(differs.any(axis=1), differs.argmax(axis=1), settings.length)
    exact = matched == settings.length

    def shown(chosen: NDArray[np.bool_]) -> Passage | None:
        if not chosen.any():
            return None
        row = int(np.where(chosen, matched, -1).argmax())
        segment, start = places[row]
        return Passage(
            offset=segments[segment].start + start,
            prompt=vocabulary.decode(whole[row, : settings.prompt_length]),
            expected=vocabulary.decode(expected[row]),
            written=vocabulary.decode(written[row]),
            matched=int(matched[row]),
        )

    return Recitation(
        samples=len(whole),
        exact=int(exact.sum()),
        exact_fraction=float(exact.mean()),
        mean_matched=float(matched.mean()),
        prompt_length=settings.prompt_length,
        length=settings.length,
        split=split,
        seed=settings.seed,
        recited=shown(exact),
        failed=shown(~exact),
    )


def _continue_prompts(session: Session, prompts: Ids, length: int, unknown_id: int | None) -> Ids:
    """Prompts (B, T) → continuations (B, length): all rows in one batch, or in as few as memory for logits allows."""
    size = max(1, LOGITS_LIMIT // session.shape.vocab_size)
    groups = [prompts[start : start + size].T for start in range(0, len(prompts), size)]
    return np.concatenate([greedy(session, group, length, unknown_id).T for group in groups])


def passages_in(segments: Sequence[Segment], length: int) -> int:
    """How many different passages of a length lie within the segments."""
    return sum(max(0, segment.predicted - length + 1) for segment in segments)


def greedy(session: Session, prompts: Ids, length: int, unknown_id: int | None) -> Ids:
    """The likeliest continuation, character by character: prompts (T, B) with T ≥ 1 → ids (length, B)."""
    rows = prompts.shape[1]
    state = initial_state(session.shape, rows)
    window = max(1, LOGITS_LIMIT // (rows * session.shape.vocab_size))
    for start in range(0, len(prompts), window):
        logits, state = session.read(prompts[start : start + window], state)
    settings, uniforms = [SamplingSettings(temperature=0)] * rows, np.zeros((length, rows))
    first = draw(Sampler(settings, unknown_id).weights(logits), uniforms[0])
    if (first == session.shape.vocab_size).any():
        raise no_number()
    others, _ = session.write(first, state, uniforms[1:], settings, unknown_id)
    if (others == session.shape.vocab_size).any():
        raise no_number()
    return np.concatenate([first[None], others])


def _places(segments: Sequence[Segment], settings: ReciteSettings) -> list[tuple[int, int]]:
    """Where the passages begin: the segment, and how many characters into it; drawn without repetition."""
    length = settings.passage
    counts = np.array([max(0, segment.predicted - length + 1) for segment in segments], dtype=np.int64)
    total = int(counts.sum())
    if total < 1:
        characters = sum(segment.predicted for segment in segments)
        raise CorpusError(
            f"the text has {characters:,} characters in this split, and a passage needs {length:,} in one piece: "
            f"lower --prompt-length or --length"
        )
    if total < settings.samples:
        raise UsageError(
            f"samples = {settings.samples}: this split has only {total:,} passages of {length:,} characters"
        )
    drawn = np.random.default_rng(settings.seed).choice(total, settings.samples, replace=False)
    ends = np.cumsum(counts)
    return [
        (where := int(np.searchsorted(ends, number, side="right")), int(number - ends[where] + counts[where]))
        for number in drawn
    ]


def _passage(segments: Sequence[Segment], place: tuple[int, int], settings: ReciteSettings) -> Ids:
    segment, start = place
    ids = segments[segment].ids[1 + start : 1 + start + settings.passage]
    copied: Ids = load_ids(ids).astype(np.int64)
    return copied
