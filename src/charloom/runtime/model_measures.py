"""What is measured of a model with a corpus: its loss, what it has memorized, what it copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from charloom.bundle import ModelConfig, ModelDirectory
from charloom.errors import UsageError
from charloom.events import Notify, ignore, unfailing
from charloom.runtime.generation import generate_batch, items_of_length, settings_over
from charloom.runtime.session import Session, no_number, open_session
from charloom.settings import Precision, Protocol, SamplingSettings, SplitName, validate
from charloom.text.items import item_segments
from charloom.text.splits import Segment
from charloom.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charloom.runtime.corpora import CorpusNames, ModelCorpora
    from charloom.runtime.evaluation import Evaluation
    from charloom.runtime.novelty import Novelty, NoveltyOptions
    from charloom.runtime.recitation import Recitation, ReciteOptions


class ModelMeasures:
    """The part of a model that is measured with corpora."""

    config: ModelConfig
    vocabulary: Vocabulary
    directory: ModelDirectory
    threads: int
    precision: Literal["float32", "int8"]
    _sampling: SamplingSettings
    _session: Session
    _asked: Precision

    @cached_property
    def _corpora(self) -> ModelCorpora:
        from charloom.runtime.corpora import ModelCorpora

        return ModelCorpora(self.config, self.vocabulary)

    @cached_property
    def _evaluating_session(self) -> Session:
        """Float32 unless int8 was asked for, so that figures of models can be compared."""
        if self._asked == "int8" or self.precision == "float32":
            return self._session
        return open_session(self.directory, "float32", self.threads)

    def evaluate(
        self,
        corpus: CorpusNames,
        *,
        split: SplitName = "validation",
        protocol: Protocol = "stateful",
        notify: Notify = ignore,
    ) -> Evaluation:
        """Measure how well the model predicts a corpus.

        Args:
            corpus: file, folder, glob, address or name, or several, cleaned as the training text was;
                or a prepared corpus with the model's vocabulary.
            split: `validation` and `train` are cut as in training; `all` is the whole text.
            protocol: `stateful`, `windows-256` or `cold-60`; see docs/explanation/evaluation.md.
            notify: receives a notice when the corpus is not the one the model was trained on.

        Raises:
            CorpusError: the corpus cannot be read, or was prepared for another vocabulary.
            UsageError: the model was validated on a file of its own, so the corpus has no such split.
        """
        from charloom.runtime.evaluation import evaluate_segments

        if protocol not in ("stateful", "windows-256", "cold-60"):
            raise UsageError(f"protocol = {protocol!r}: choose stateful, windows-256 or cold-60")
        segments = self._corpora.segments(corpus, split, unfailing(notify))
        evaluation = evaluate_segments(self._evaluating_session, self.vocabulary, segments, protocol)
        if not math.isfinite(evaluation.loss):
            raise no_number()
        return replace(evaluation, items=len(segments)) if self.config.corpus.items else evaluation

    def recite(
        self,
        corpus: CorpusNames,
        *,
        split: SplitName = "train",
        notify: Notify = ignore,
        **options: Unpack[ReciteOptions],
    ) -> Recitation:
        """Measure how much of a corpus the model has memorized: it continues the starts of random passages greedily.

        Args:
            corpus: as for `evaluate`.
            split: the part that the passages are from; `train` is all of it where a file of its own was validated on.
            notify: receives a notice when the corpus is not the one the model was trained on.
            **options: `prompt_length` (57), `length` (128), `samples` (100), `seed` (1).

        Raises:
            CorpusError: the corpus cannot be read, or is shorter than a passage.
            UsageError: an unknown option, a value out of its range, more samples than there are passages, or a model of
                a list of items.
        """
        from charloom.runtime.recitation import ReciteSettings, recite

        settings = validate(ReciteSettings, options)
        if self.config.corpus.items:
            raise UsageError(
                "this model learned items one by one, in no order, so that there are no passages to recite: "
                "charloom generate MODEL --items 1000 --new writes what is not on the list"
            )
        parts = self._corpora.parts(corpus, split, unfailing(notify))
        return recite(self._session, self.vocabulary, parts.segments, settings, split)

    def novelty(
        self,
        corpus: CorpusNames,
        *,
        file: str | Path | None = None,
        split: SplitName = "train",
        notify: Notify = ignore,
        **options: Unpack[NoveltyOptions],
    ) -> Novelty:
        """Measure how much of what the model writes occurs word for word in a corpus.

        Args:
            corpus: as for `evaluate`.
            file: examine this text, cleaned as the corpus is, instead of writing one.
            split: the part of the corpus that is searched; unless it is `train` there is no unseen text to
                compare with.
            notify: receives a notice when the corpus is not the one the model was trained on.
            **options: `characters` (10,000), `seed` (1), and `temperature`, `top_k`, `top_p`, `min_p` instead of
                the model's own.

        Raises:
            CorpusError: the corpus or the file cannot be read.
            UsageError: an unknown option, or a value out of its range.
        """
        from charloom.runtime.novelty import NoveltySettings, Searched, count_listed, novelty

        settings = validate(NoveltySettings, options)
        parts = self._corpora.parts(corpus, split, unfailing(notify))
        reordered = self.config.corpus.items and parts.segments[0] is not parts.whole
        unseen = _items_alone(parts.unseen) if self.config.corpus.items else parts.unseen
        searched = Searched(parts.segments, unseen, split, parts.whole, reordered=reordered)
        given = None if file is None else self._corpora.text(file, unfailing(notify))
        seed = settings.seed if given is None else None
        if self.config.corpus.items:
            itemwise = {**settings.sampling, "stop": ["\n"], "length": self._sampling.length}
            drawing = settings_over(self._sampling, None, itemwise)
            items = (
                items_of_length(self._session, self.vocabulary, drawing, settings.characters)
                if given is None
                else [line for line in given.split("\n") if line]
            )
            found = novelty(self.vocabulary, items, searched, seed)
            return replace(found, items=count_listed(self.vocabulary, items, searched))
        if given is None:
            drawing = settings_over(self._sampling, None, settings.sampling)
            written = generate_batch(self._session, self.vocabulary, "", "", drawing, settings.rows)
        texts = [one.text for one in written] if given is None else [given]
        return novelty(self.vocabulary, texts, searched, seed)


def _items_alone(lists: Sequence[Segment]) -> list[Segment]:
    """Each item of some lists by itself, without its line end, as a model writes it."""
    return [Segment(each.ids[:-1]) for part in lists for each in item_segments(part)]
