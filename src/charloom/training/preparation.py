"""Everything a run needs before its first step: the text as numbers, and the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charloom.bundle import CorpusRecord, ModelShape
from charloom.events import Notice, Notify
from charloom.settings import DEFAULT_EPOCHS, CorpusSettings, ModelSettings, Protocol, TrainingSettings
from charloom.text.corpus import build_vocabulary, load_corpus
from charloom.text.sources import shown_name
from charloom.text.splits import Split, split_ids, with_opening
from charloom.text.vocabulary import Vocabulary
from charloom.training.batches import RingBatches, fit_batch
from charloom.training.loop import Plan

EVALUATIONS = 20  # a run, unless evaluate_every is set
EVALUATION_SHARE = 4  # characters learned per character evaluated, at least: evaluating stays cheap


@dataclass(frozen=True)
class TrainingData:
    """A corpus ready to be learned.

    Attributes:
        record: what the model directory says of it.
        vocabulary: the meaning of its ids.
        split: what is trained on and what is kept back.
    """

    record: CorpusRecord
    vocabulary: Vocabulary
    split: Split

    @property
    def protocol_on_the_way(self) -> Protocol:
        """How to validate during training: cold windows, because they batch well."""
        return "cold-60" if self.record.validation_split == "row-tail" else "windows-256"

    @property
    def final_protocols(self) -> list[Protocol]:
        """How to validate at the end; the first is the headline."""
        protocols: list[Protocol] = ["stateful", "windows-256"]
        return [*protocols, "cold-60"] if self.record.validation_split == "row-tail" else protocols

    @property
    def validation_characters(self) -> int:
        """How many ids the validation split predicts."""
        return sum(segment.predicted for segment in self.split.validation)


def prepare_data(specs: Sequence[str], settings: CorpusSettings, notify: Notify) -> TrainingData:
    """Read, clean, number and split a corpus.

    Raises:
        CorpusError: it cannot be read, or is too little.
    """
    corpus = load_corpus(specs, settings, notify)
    vocabulary = build_vocabulary(corpus, settings)
    ids, opening = vocabulary.encode(corpus.text), vocabulary.opening_id
    if settings.validation is None:
        split = split_ids(ids, settings.validation_split, settings.validation_fraction, opening)
    else:
        validation = load_corpus([settings.validation], settings, notify)
        unseen = vocabulary.unknown_characters(validation.text)
        if unseen:
            notify(Notice(f"the validation text has {len(unseen)} character(s) that the corpus lacks"))
        split = Split([with_opening(ids, opening)], [with_opening(vocabulary.encode(validation.text), opening)])
    record = CorpusRecord(
        sources=list(corpus.sources),
        characters=len(corpus.text),
        sha256=corpus.sha256,
        cleaning=list(corpus.cleaning),  # type: ignore[arg-type]  # names of cleaning.STEPS; pydantic checks
        encoding=settings.encoding,
        vocabulary=settings.vocabulary,
        min_count=settings.min_count,
        validation_split=settings.validation_split,
        validation_fraction=settings.validation_fraction,
        validation=None if settings.validation is None else shown_name(Path(settings.validation)),
    )
    return TrainingData(record, vocabulary, split)


def model_shape(data: TrainingData, settings: ModelSettings) -> ModelShape:
    """The network for this vocabulary."""
    return ModelShape(vocab_size=data.vocabulary.size, **settings.model_dump())


def make_plan(
    data: TrainingData, settings: TrainingSettings, explicit: frozenset[str], notify: Notify
) -> tuple[Plan, RingBatches]:
    """How long to train and on which rows; batch and window shrink to a short text unless `explicit`.

    Raises:
        CorpusError: the text is too short for the batch and window that the user set.
    """
    ids = np.concatenate([segment.ids[1:] for segment in data.split.train])
    fitted = fit_batch(len(ids), settings, explicit)
    if fitted != settings:
        notify(
            Notice(
                f"a short text: reading {fitted.batch_size} row(s) in windows of {fitted.bptt} "
                f"instead of {settings.batch_size} in windows of {settings.bptt}"
            )
        )
    batches = RingBatches(ids, fitted.batch_size, fitted.bptt, fitted.seed)
    epochs = DEFAULT_EPOCHS if fitted.epochs is None else fitted.epochs
    steps = fitted.steps or max(1, math.ceil(epochs * batches.windows_per_epoch))
    if fitted.evaluate_every:
        return Plan(steps, fitted.evaluate_every, fitted), batches
    affordable = math.ceil(EVALUATION_SHARE * data.validation_characters / (fitted.batch_size * fitted.bptt))
    evenly = math.ceil(steps / EVALUATIONS)
    return Plan(steps, min(steps, max(evenly, affordable)), fitted), batches
