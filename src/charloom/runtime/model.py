"""`charloom.load`: a trained model as one object that generates, streams and evaluates."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from charloom.bundle import ModelConfig, ModelDirectory, open_model_directory
from charloom.bundle.config import STEP_GRAPH
from charloom.errors import CorpusError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.runtime.evaluation import Evaluation, evaluate_segments
from charloom.runtime.generation import Generation, TextStream, generate_batch
from charloom.runtime.novelty import Novelty, NoveltySettings, Searched, novelty
from charloom.runtime.recitation import Recitation, ReciteSettings, recite
from charloom.runtime.session import OnnxSession
from charloom.settings import CorpusSettings, Precision, Protocol, SamplingSettings, SplitName, validated
from charloom.text.cleaning import clean_prompt
from charloom.text.corpus import load_corpus
from charloom.text.prepared import prepared_among
from charloom.text.splits import Segment, split_ids, with_opening
from charloom.text.vocabulary import Vocabulary

MAX_SAMPLES = 4096


def load(path: str | Path, *, threads: int = 1, precision: Precision = "auto") -> Model:
    """Open a model directory and make its network ready.

    Args:
        path: the folder that training wrote.
        threads: processor threads for one run; one is best for a single stream of a small model.
        precision: which graph to run. auto: int8 for writing where the model has it and it was measured to lose
            less than half a percent, float32 for evaluating.

    Raises:
        UsageError: int8 was asked for and the model has no such graph.
        ModelDirectoryError: there is no whole, sound model in the folder.
    """
    if threads < 1:
        raise UsageError(f"threads = {threads}: input should be greater than or equal to 1")
    if precision not in ("auto", "float32", "int8"):
        raise UsageError(f"precision = {precision!r}: choose auto, float32 or int8")
    return Model(open_model_directory(path), threads, precision)


class Model:
    """A trained model.

    Attributes:
        path: its folder.
        config: what it is and what it was trained on.
        vocabulary: what its ids mean.
        precision: of the graph that writes: `float32` or `int8`.
    """

    def __init__(self, directory: ModelDirectory, threads: int = 1, precision: Precision = "auto") -> None:
        """Use `charloom.load` instead."""
        self.path: Path = directory.path
        self.config: ModelConfig = directory.config
        self.vocabulary: Vocabulary = directory.vocabulary
        self._sampling = directory.sampling
        self.precision: Precision = _best_precision(directory) if precision == "auto" else precision
        self._directory = directory
        self._threads = threads
        self._session = _session(directory, self.precision, threads)
        self._asked = precision

    @cached_property
    def _evaluating_session(self) -> OnnxSession:
        """Float32 unless int8 was asked for, so that figures of models can be compared."""
        if self._asked == "int8" or self.precision == "float32":
            return self._session
        return _session(self._directory, "float32", self._threads)

    def generate(self, prompt: str = "", **options: Any) -> Generation:
        """Continue a prompt.

        Args:
            prompt: what to continue; empty starts as if a line had just ended.
            **options: `length`, `temperature`, `top_k`, `top_p`, `min_p`, `seed`, `stop`; what is not
                given comes from the model's `generation_config.json`.

        Raises:
            UsageError: an unknown option, or a value out of its range.
        """
        return self.stream(prompt, **options).finish()

    def stream(self, prompt: str = "", **options: Any) -> TextStream:
        """Continue a prompt piece by piece: `for piece in model.stream("ROMEO:"): print(piece, end="")`."""
        settings = self._settings(options)
        return TextStream(self._session, self.vocabulary, prompt, self._clean(prompt), settings)

    def generate_samples(self, prompt: str = "", samples: int = 1, **options: Any) -> list[Generation]:
        """Several continuations of one prompt, made in one batch; sample i has seed + i."""
        if not 1 <= samples <= MAX_SAMPLES:
            raise UsageError(f"samples = {samples}: give a number from 1 to {MAX_SAMPLES}")
        settings = self._settings(options)
        cleaned = self._clean(prompt)
        return generate_batch(self._session, self.vocabulary, prompt, cleaned, settings, samples)

    def evaluate(
        self,
        corpus: str | Path | list[str],
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
            notify: is told when the corpus is not the one the model was trained on.

        Raises:
            CorpusError: the corpus cannot be read, or was prepared for another vocabulary.
            UsageError: the model was validated on a file of its own, so the corpus has no such split.
        """
        if protocol not in ("stateful", "windows-256", "cold-60"):
            raise UsageError(f"protocol = {protocol!r}: choose stateful, windows-256 or cold-60")
        whole, sha256 = self._read(corpus, split, notify)
        segments = self._segments(whole, sha256, split, notify)
        return evaluate_segments(self._evaluating_session, self.vocabulary, segments, protocol)

    def recite(
        self, corpus: str | Path | list[str], *, split: SplitName = "train", notify: Notify = ignore, **options: Any
    ) -> Recitation:
        """Measure how much of a corpus the model knows by heart: random passages are begun, it goes on greedily.

        Args:
            corpus: as for `evaluate`.
            split: the part that the passages are from; `train` is all of it where a file of its own was validated on.
            notify: is told when the corpus is not the one the model was trained on.
            **options: `prompt_length` (57), `length` (128), `samples` (100), `seed` (1).

        Raises:
            CorpusError: the corpus cannot be read, or is shorter than a passage.
            UsageError: an unknown option, a value out of its range, or more samples than there are passages.
        """
        settings = validated(ReciteSettings, options)
        _, segments, _ = self._parts(corpus, split, notify)
        return recite(self._session, self.vocabulary, segments, settings, split)

    def novelty(
        self,
        corpus: str | Path | list[str],
        *,
        file: str | Path | None = None,
        split: SplitName = "train",
        notify: Notify = ignore,
        **options: Any,
    ) -> Novelty:
        """Measure how much of what the model writes stands word for word in a corpus.

        Args:
            corpus: as for `evaluate`.
            file: examine this text, cleaned as the corpus is, instead of writing one.
            split: the part of the corpus that is searched; unless it is `train` there is no unseen text to
                compare with.
            notify: is told when the corpus is not the one the model was trained on.
            **options: `characters` (10,000), `seed` (1), and `temperature`, `top_k`, `top_p`, `min_p` instead of
                the model's own.

        Raises:
            CorpusError: the corpus or the file cannot be read.
            UsageError: an unknown option, or a value out of its range.
        """
        settings = validated(NoveltySettings, options)
        whole, segments, unseen = self._parts(corpus, split, notify)
        searched = Searched(segments, unseen, split, whole)
        if file is not None:
            given = load_corpus([str(file)], self._corpus_settings(), notify).text
            return novelty(self.vocabulary, [given], searched)
        written = self.generate_samples("", settings.rows, **settings.sampling)
        return novelty(self.vocabulary, [one.text for one in written], searched, settings.seed)

    def _settings(self, options: dict[str, Any]) -> SamplingSettings:
        return validated(SamplingSettings, {**self._sampling.model_dump(), **options})

    def _clean(self, prompt: str) -> str:
        return clean_prompt(prompt, self.config.corpus.cleaning)

    def _corpus_settings(self) -> CorpusSettings:
        record = self.config.corpus
        return CorpusSettings(clean=list(record.cleaning), encoding=record.encoding, vocabulary=record.vocabulary)

    def _encoded(self, specs: list[str], notify: Notify) -> tuple[Segment, str]:
        """A corpus as this model reads it, and the fingerprint of its text."""
        prepared = prepared_among(specs)
        if prepared is None:
            corpus = load_corpus(specs, self._corpus_settings(), notify)
            return with_opening(self.vocabulary.encode(corpus.text), self.vocabulary.opening_id), corpus.sha256
        same_cleaning = prepared.record.cleaning == self.config.corpus.cleaning
        if not same_cleaning or prepared.vocabulary.to_json() != self.vocabulary.to_json():
            raise CorpusError(
                f"{prepared.path} was prepared with another {'vocabulary' if same_cleaning else 'cleaning'} than the "
                f"model's: evaluate on the text itself"
            )
        prepared.verify()
        return prepared.whole, prepared.record.sha256

    def _read(self, corpus: str | Path | list[str], split: SplitName, notify: Notify) -> tuple[Segment, str]:
        if split not in ("train", "validation", "all"):
            raise UsageError(f"split = {split!r}: choose train, validation or all")
        return self._encoded([str(corpus)] if isinstance(corpus, str | Path) else list(corpus), notify)

    def _parts(
        self, corpus: str | Path | list[str], split: SplitName, notify: Notify
    ) -> tuple[Segment, list[Segment], list[Segment]]:
        """A corpus, the part of it that was asked for, and, beside the training part, what was kept back."""
        whole, sha256 = self._read(corpus, split, notify)
        if split != "train":
            return whole, self._segments(whole, sha256, split, notify), []
        if self.config.corpus.validation is not None:
            if sha256 != self.config.corpus.sha256:
                notify(Notice("this is not the text that the model was trained on"))
            return whole, [whole], []
        train = self._segments(whole, sha256, "train", notify)
        return whole, train, self._segments(whole, sha256, "validation", ignore)

    def _segments(self, whole: Segment, sha256: str, split: SplitName, notify: Notify) -> list[Segment]:
        record = self.config.corpus
        if split == "all":
            return [whole]
        if record.validation is not None:
            raise UsageError(
                f"this model was validated on a file of its own ({record.validation}): "
                f"evaluate that file, or the corpus, with --split all"
            )
        if sha256 != record.sha256:
            notify(Notice("this is not the text that the model was trained on: it is cut in the same way"))
        cut = split_ids(whole, record.validation_split, record.validation_fraction, record.validation_characters)
        return list(cut.train if split == "train" else cut.validation)


def _best_precision(directory: ModelDirectory) -> Precision:
    measured = directory.config.precision
    faithful = measured is not None and measured.int8_is_faithful
    return "int8" if faithful and directory.has_int8_graph else "float32"


def _session(directory: ModelDirectory, precision: Precision, threads: int) -> OnnxSession:
    if precision == "int8":
        return OnnxSession(directory.read_int8_graph(), directory.config.model, threads, STEP_GRAPH)
    return OnnxSession(directory.read_graph(), directory.config.model, threads)
