"""How much of its training text a finished model repeats: what `recite` and `novelty` say, at a bounded cost."""

from __future__ import annotations

from charloom.bundle import MemoryRecord
from charloom.bundle.config import CopiedRecord, RecitedRecord
from charloom.runtime.generation import generate_batch
from charloom.runtime.novelty import CopiedShare, Novelty, NoveltySettings, Searched, novelty
from charloom.runtime.recitation import Recitation, ReciteSettings, passages_in, recite
from charloom.runtime.session import Session
from charloom.settings import SamplingSettings
from charloom.text.splits import Segment, Split
from charloom.training.preparation import TrainingData

SEARCHED_CHARACTERS = 5_000_000  # of the training text, from its beginning
SHORTEST = 10_000  # characters of training text; below it there is little to know by heart
_CHARACTERS_A_SAMPLE = 500  # of training text
_WRITTEN_SHARE = 10  # no more than a tenth of the training text's length is written
_MOST_WRITTEN = 5_000
_SEARCH_SECONDS = 0.6e-6  # for one character of the training text


def measured_memory(session: Session, data: TrainingData, sampling: SamplingSettings, seed: int) -> MemoryRecord | None:
    """Recite and search the beginning of the training text; None where the text is too short for it.

    Args:
        session: the finished network.
        data: what it was trained on.
        sampling: how it writes.
        seed: draws the passages and the texts.
    """
    split = bounded_split(data.split, SEARCHED_CHARACTERS)
    searched = sum(segment.predicted for segment in split.train)
    settings = ReciteSettings(samples=max(1, min(100, searched // _CHARACTERS_A_SAMPLE)), seed=seed)
    if searched < SHORTEST or passages_in(split.train, settings.passage) < settings.samples:
        return None
    recited = recite(session, data.vocabulary, split.train, settings)
    writing = NoveltySettings(characters=min(_MOST_WRITTEN, searched // _WRITTEN_SHARE), seed=seed)
    written = generate_batch(
        session, data.vocabulary, "", "", sampling.model_copy(update=writing.sampling), writing.rows
    )
    unseen = () if data.record.validation else split.validation
    texts = [one.text for one in written]
    if not any(texts):
        return None
    return _record(searched, recited, novelty(data.vocabulary, texts, Searched(split.train, unseen)))


def memory_seconds(data: TrainingData, seconds_a_character: float) -> float:
    """About how long that takes, where a network reads many rows at `seconds_a_character`."""
    if data.characters < SHORTEST:
        return 0.0
    stepped = 100 * ReciteSettings().passage + _MOST_WRITTEN
    # A step reads a character a row and so takes longer than its share of a window.
    return 2 * stepped * seconds_a_character + _SEARCH_SECONDS * min(data.characters, SEARCHED_CHARACTERS)


def bounded_split(split: Split, at_most: int) -> Split:
    """The same validation part, and the beginning of the training part."""
    segments: list[Segment] = []
    left = at_most
    for segment in split.train:
        if left > 0:
            segments.append(Segment(segment.ids[: left + 1], segment.start))
            left -= segments[-1].predicted
    return Split(segments, split.validation)


def _record(searched: int, recited: Recitation, found: Novelty) -> MemoryRecord:
    return MemoryRecord(
        searched=searched,
        recited=RecitedRecord(
            samples=recited.samples,
            exact=recited.exact,
            mean_matched=recited.mean_matched,
            prompt_length=recited.prompt_length,
            length=recited.length,
        ),
        written=_copied(found),
        unseen=None if found.unseen is None else _copied(found.unseen),
    )


def _copied(share: CopiedShare) -> CopiedRecord:
    return CopiedRecord.model_validate(
        {
            "characters": share.characters,
            "longest": share.longest,
            "copied_fraction": {str(length): fraction for length, fraction in share.copied_fraction.items()},
        }
    )
