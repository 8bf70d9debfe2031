"""Everything a run needs before its first step: the text as numbers, and the plan."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charloom.bundle import CorpusRecord, ModelShape
from charloom.errors import CorpusError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.settings import CorpusSettings, ModelSettings, Protocol, TrainingSettings
from charloom.text.cleaning import expand
from charloom.text.corpus import CorpusSource, EncodedCorpus, load_corpus
from charloom.text.items import (
    LONGEST,
    item_segments,
    longest_line,
    looks_like_items,
    newline_id,
    split_items,
    unique_items,
)
from charloom.text.likeness import Likeness, measure_likeness
from charloom.text.prepared import is_mapped, load_ids
from charloom.text.sources import shown_name
from charloom.text.splits import Segment, Split, split_ids, with_opening
from charloom.text.vocabulary import Ids, Vocabulary
from charloom.training.batches import Batches, ItemBatches, RingBatches, fit_batch
from charloom.training.mixed_batches import mixed_items, mixed_rows
from charloom.training.old_text import OldText
from charloom.training.schedule import EVALUATION_SHARE, EVALUATIONS, Plan

_OPENING_EVERY = 2_000  # characters; a text whose opening id is rarer is given it where a row forgets its past
_LOOKED_AT_PIECES = 64
_LOOKED_AT_PIECE = 16_384


@dataclass(frozen=True)
class TrainingData:
    """A corpus ready to be learned.

    Attributes:
        record: what the model directory says of it.
        vocabulary: the meaning of its ids.
        split: what is trained on and what is held out.
        likeness: whether the held-out end is like the rest; None where that is not known, or another part is held out.
        old: the old model's text, where it is learned, too.
    """

    record: CorpusRecord
    vocabulary: Vocabulary
    split: Split
    likeness: Likeness | None = None
    old: OldText | None = None

    @property
    def protocol_on_the_way(self) -> Protocol:
        """How to validate during training: cold windows, because they batch well."""
        return "cold-60" if self.record.validation_split == "row-tail" else "windows-256"

    @property
    def final_protocols(self) -> list[Protocol]:
        """How to validate at the end; the first is the headline."""
        protocols: list[Protocol] = ["stateful", "windows-256"]
        return [*protocols, "cold-60"] if self.record.validation_split == "row-tail" else protocols

    @cached_property
    def measured(self) -> Sequence[Segment]:
        """What is measured to validate: the validation part, or each of its items by itself."""
        return item_segments(self.split.validation[0]) if self.record.items else self.split.validation

    @property
    def listed_items(self) -> list[str]:
        """The items of the list that is learned, those held out of it included."""
        parts = self.split.train if self.record.validation else [*self.split.train, *self.split.validation]
        return [item for part in parts for item in self.vocabulary.decode(load_ids(part.ids[1:])).split("\n") if item]

    @property
    def opening_is_rare(self) -> bool:
        """Whether the id that a text is opened with hardly occurs in what is learned, so that it must be put there."""
        counts = self.sampled_counts
        return bool(counts[self.vocabulary.opening_id] * _OPENING_EVERY < counts.sum())

    @cached_property
    def sampled_counts(self) -> NDArray[np.int64]:
        """How often each id is in what is learned; of a long text in pieces that are evenly spread over it."""
        counts = np.zeros(self.vocabulary.size, dtype=np.int64)
        for part in self.split.train:
            for ids in _spread(part.ids[1:]):
                counts += np.bincount(load_ids(ids), minlength=len(counts))
        return counts

    @property
    def characters(self) -> int:
        """How many ids an epoch predicts: those of the training split, and as many of an old text."""
        own = sum(segment.predicted for segment in self.split.train)
        return own if self.old is None else own + min(own, len(self.old.learned))

    @property
    def validation_characters(self) -> int:
        """How many ids the validation split predicts."""
        return sum(segment.predicted for segment in self.split.validation)


def _spread(ids: Ids) -> Iterator[Ids]:
    """The ids of a text; of a long one pieces that are evenly spread over it."""
    pieces = np.linspace(0, len(ids), _LOOKED_AT_PIECES, endpoint=False, dtype=np.int64)
    step = len(ids) // _LOOKED_AT_PIECES + 1
    return (ids[start : start + min(step, _LOOKED_AT_PIECE)] for start in pieces)


def prepare_data(
    source: CorpusSource,
    settings: CorpusSettings,
    notify: Notify,
    known: Vocabulary | None = None,
    *,
    apart: bool = False,
) -> TrainingData:
    """Read, clean, number and split a corpus; a prepared one is verified, and stays on the disk.

    Args:
        source: what to read.
        settings: how, as the source adopts them.
        notify: receives notices.
        known: a vocabulary whose ids stay what they are; new characters come at its end.
        apart: split each of the texts that are named by itself.
    """
    corpus = source.encode(settings, notify, known)
    items = _are_items(corpus, settings, notify)
    if apart:
        split = _split_apart(source.specs, corpus.vocabulary, settings, items=items)
    else:
        split = _split(corpus, settings, notify, items=items)
    record = CorpusRecord(
        sources=list(corpus.sources),
        characters=corpus.characters,
        sha256=corpus.sha256,
        cleaning=list(expand(settings.clean)),  # type: ignore[arg-type]  # names of cleaning.STEPS; pydantic checks
        encoding=settings.encoding,
        vocabulary=settings.vocabulary,
        min_count=settings.min_count,
        validation_split=settings.validation_split,
        validation_fraction=settings.validation_fraction,
        validation_characters=settings.validation_characters,
        validation=None if settings.validation is None else shown_name(Path(settings.validation)),
        items=items,
    )
    likeness = None if apart else _likeness(record, split, corpus.vocabulary, notify)
    return TrainingData(record, corpus.vocabulary, split, likeness)


def _are_items(corpus: EncodedCorpus, settings: CorpusSettings, notify: Notify) -> bool:
    """Whether the text is to be read as a list of items: as the user says, or by how it looks."""
    if settings.items and settings.validation_split != "tail":
        raise UsageError(f"validation_split = {settings.validation_split!r} is for a text, not for a list of items")
    if settings.items is not None:
        return settings.items
    ids = corpus.whole.ids[1:]
    if settings.validation_split != "tail" or not looks_like_items(ids, corpus.vocabulary):
        return False
    if is_mapped(corpus.whole.ids):
        notify(Notice("this looks like a list of items, one a line: --items learns each by itself"))
        return False
    return longest_line(ids, newline_id(corpus.vocabulary)) <= LONGEST


def _split(corpus: EncodedCorpus, settings: CorpusSettings, notify: Notify, *, items: bool) -> Split:
    fraction, at_most, vocabulary = settings.validation_fraction, settings.validation_characters, corpus.vocabulary
    if settings.validation is not None:
        validation = _validation_text(str(settings.validation), vocabulary, settings, notify)
        if items and not item_segments(validation):
            raise CorpusError(f"there is no item to validate on in {settings.validation}: it has empty lines only")
        train = unique_items(corpus.whole, newline_id(vocabulary)) if items else corpus.whole
        split = Split([train], [validation])
    elif items:
        split = split_items(corpus.whole, newline_id(vocabulary), fraction, at_most)
    else:
        return split_ids(corpus.whole, settings.validation_split, fraction, at_most)
    if items:
        learned, lines = (np.count_nonzero(ids[:-1] == ids[0]) for ids in (split.train[0].ids, corpus.whole.ids))
        notify(
            Notice(
                f"a list of items, one a line: of {lines:,} lines {learned:,} different ones are learned, each by "
                f"itself and in random order; --no-items reads the text as it is"
            )
        )
    return split


def _split_apart(specs: Sequence[str], vocabulary: Vocabulary, settings: CorpusSettings, *, items: bool) -> Split:
    """What is learned and held out of each text by itself, as when it is the only one."""
    splits: list[Split] = []
    for spec in specs:
        try:
            corpus = CorpusSource([spec]).encode(settings, ignore, vocabulary)
            splits.append(_split(corpus, settings, ignore, items=items))
        except CorpusError as error:
            raise CorpusError(f"{spec}: {error}") from None
    train, validation = (
        [part for split in splits for part in getattr(split, name)] for name in ("train", "validation")
    )
    return Split(_joined(train), _joined(validation)) if items else Split(train, validation)


def _joined(lists: Sequence[Segment]) -> list[Segment]:
    """Lists of items as one; each begins and ends with a line end."""
    return [Segment(np.concatenate([lists[0].ids, *(each.ids[1:] for each in lists[1:])]))]


def _likeness(record: CorpusRecord, split: Split, vocabulary: Vocabulary, notify: Notify) -> Likeness | None:
    if record.validation_split != "tail" or record.validation is not None or record.items:
        return None
    likeness = measure_likeness(split, vocabulary.size)
    if likeness is not None and likeness.unlike:
        notify(
            Notice(f"{unlike_end(likeness.held_out, likeness.learned)}; cut it off, or say --validation-split blocks")
        )
    return likeness


def unlike_end(held_out: float, learned: float) -> str:
    """What is said where a 3-gram needs more bits for the end of a text than for the rest."""
    return (
        f"the end of the text, which is held out, is unlike the rest: a 3-gram of the rest needs "
        f"{held_out:.2f} bits a symbol for it, and elsewhere {learned:.2f}. So losses on it say little about the rest"
    )


def _validation_text(spec: str, vocabulary: Vocabulary, settings: CorpusSettings, notify: Notify) -> Segment:
    text = load_corpus([spec], settings, notify).text
    unseen = vocabulary.unknown_characters(text)
    if unseen:
        characters = "1 character" if len(unseen) == 1 else f"{len(unseen)} characters"
        notify(Notice(f"the validation text has {characters} that the corpus lacks"))
    return with_opening(vocabulary.encode(text), vocabulary.opening_id)


def model_shape(data: TrainingData, settings: ModelSettings) -> ModelShape:
    """The network for this vocabulary."""
    return ModelShape(vocab_size=data.vocabulary.size, **settings.model_dump())


def make_batches(
    data: TrainingData, settings: TrainingSettings, explicit: frozenset[str], notify: Notify
) -> tuple[Batches, TrainingSettings]:
    """What to train on, and the settings with batch and window shrunk to a short text unless `explicit`."""
    parts = [segment.ids[1:] for segment in data.split.train]
    fitted = fit_batch(data.characters, settings, explicit)
    if fitted != settings:
        noun = "row" if fitted.batch_size == 1 else "rows"
        notify(
            Notice(
                f"a short text: reading {fitted.batch_size} {noun} in windows of {fitted.bptt} "
                f"instead of {settings.batch_size} in windows of {settings.bptt}"
            )
        )
    rows = (fitted.batch_size, fitted.bptt, fitted.seed)
    if data.record.items:
        items = ItemBatches(parts[0], *rows) if data.old is None else mixed_items(parts[0], data.old.learned, *rows)
        return items, fitted
    return RingBatches(parts, *rows) if data.old is None else mixed_rows(parts, data.old.learned, *rows), fitted


def steps_plan(data: TrainingData, settings: TrainingSettings, batches: Batches) -> Plan:
    """How long to train and how often to look, where `steps` or `epochs` say it."""
    epochs = settings.epochs or 1
    steps = settings.steps or max(1, math.ceil(epochs * batches.windows_per_epoch))
    if settings.evaluate_every:
        return Plan(settings, steps, settings.evaluate_every)
    affordable = math.ceil(EVALUATION_SHARE * data.validation_characters / (settings.batch_size * settings.bptt))
    evenly = math.ceil(steps / EVALUATIONS)
    return Plan(settings, steps, min(steps, max(evenly, affordable)))
