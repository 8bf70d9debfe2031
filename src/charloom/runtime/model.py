"""`charloom.load`: a trained model as one object that generates, streams, scores and evaluates."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.bundle import ModelConfig, ModelDirectory, open_model_directory
from charloom.bundle.config import STEP_GRAPH
from charloom.errors import CorpusError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.runtime.evaluation import Evaluation, evaluate_segments
from charloom.runtime.generation import Generation, TextStream, generate_batch
from charloom.runtime.scored_files import NamedFiles, in_memory
from charloom.runtime.scoring import Score, Scorer
from charloom.runtime.session import OnnxSession
from charloom.settings import CorpusSettings, Precision, Protocol, SamplingSettings, SplitName, validated
from charloom.text.cleaning import clean_prompt
from charloom.text.corpus import load_corpus
from charloom.text.prepared import prepared_among
from charloom.text.splits import Segment, split_ids, with_opening
from charloom.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charloom.runtime.batching import Engine

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
        directory: its files.
        threads: processor threads for one run.
    """

    def __init__(self, directory: ModelDirectory, threads: int = 1, precision: Precision = "auto") -> None:
        """Use `charloom.load` instead."""
        self.path: Path = directory.path
        self.config: ModelConfig = directory.config
        self.vocabulary: Vocabulary = directory.vocabulary
        self._sampling = directory.sampling
        self.precision: Precision = _best_precision(directory) if precision == "auto" else precision
        self.directory = directory
        self.threads = threads
        self._session = _session(directory, self.precision, threads)
        self._asked = precision

    @cached_property
    def _evaluating_session(self) -> OnnxSession:
        """Float32 unless int8 was asked for, so that figures of models can be compared."""
        if self._asked == "int8" or self.precision == "float32":
            return self._session
        return _session(self.directory, "float32", self.threads)

    def with_graph(self, graph: bytes) -> Model:
        """The same model with other float32 weights, as `charloom.adapt` makes them; its folder is not touched.

        Raises:
            ModelDirectoryError: not a graph of this model's shape.
        """
        other = copy.copy(self)
        other.__dict__.pop("_evaluating_session", None)
        other.precision = "float32"
        other._session = OnnxSession(graph, self.config.model, self.threads)
        return other

    def generate(self, prompt: str = "", **options: Any) -> Generation:
        """Continue a prompt.

        Args:
            prompt: what to continue; empty starts as if a line had just ended.
            **options: `length`, `temperature`, `top_k`, `top_p`, `min_p`, `seed`, `stop`, `regex`; what is
                not given comes from the model's `generation_config.json`.

        Raises:
            UsageError: an unknown option, a value out of its range, or a pattern that cannot be met.
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

    def engine(
        self, *, max_rows: int = 64, max_queue: int = 256, prompt_chunk: int = 128, cache_bytes: int = 64 << 20
    ) -> Engine:
        """Start an engine, which writes many texts at once for as long as it is open; see `Engine`."""
        from charloom.runtime.batching import Engine  # brings asyncio, which a single text does without

        return Engine(
            self._session,
            self.vocabulary,
            lambda prompt, options: (self._clean(prompt), self._settings(dict(options))),
            max_rows=max_rows,
            max_queue=max_queue,
            prompt_chunk=prompt_chunk,
            cache_bytes=cache_bytes,
        )

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
        if split not in ("train", "validation", "all"):
            raise UsageError(f"split = {split!r}: choose train, validation or all")
        specs = [str(corpus)] if isinstance(corpus, str | Path) else list(corpus)
        whole, sha256 = self._encoded(specs, notify)
        segments = self._segments(whole, sha256, split, notify)
        return evaluate_segments(self._evaluating_session, self.vocabulary, segments, protocol)

    def score(self, text: str, *, per_char: bool = False) -> Score:
        """Measure how surprising a text is, read as if a line had just ended; see `score_texts`."""
        return next(self.score_texts([text], per_char=per_char))

    def score_texts(self, texts: Iterable[str], *, per_char: bool = False) -> Iterator[Score]:
        """Measure many texts, each from the state after a line end, in their order, lazily and in bounded memory.

        Args:
            texts: lines, say; they are taken thousands at a time and read side by side.
            per_char: also say what every character costs, of texts of at most 262,144 characters.

        Raises:
            CorpusError: a text is too long for `per_char`.
        """
        return self._scorer(per_char).in_turn(map(in_memory, texts))

    def score_files(
        self,
        files: str | Path | list[str],
        *,
        lines: bool = False,
        per_char: bool = False,
        encoding: str | None = None,
        notify: Notify = ignore,
    ) -> Iterator[Score]:
        """Measure files of any size, or each of their lines, in their order, lazily and in bounded memory.

        Args:
            files: file, folder, glob, address or name, `-` for standard input, or several of these.
            lines: score each line by itself, without the newline that ends it.
            per_char: also say what every character costs, of texts of at most 262,144 characters.
            encoding: of the files; if not given, that of the text the model was trained on.
            notify: is told what is passed over and fetched.

        Raises:
            CorpusError: a file is not there or cannot be read, or a text is too long for `per_char`.
            UsageError: nothing is named, or the encoding has no such name.
        """
        specs = [str(files)] if isinstance(files, str | Path) else list(files)
        keep_bytes = self.vocabulary.kind == "bytes"
        named = NamedFiles(specs, encoding or self.config.corpus.encoding, notify, keep_bytes=keep_bytes)
        scorer = self._scorer(per_char)
        return scorer.in_turn(named.lines()) if lines else scorer.side_by_side(named.whole())

    def _scorer(self, per_char: bool) -> Scorer:
        return Scorer(self._session, self.vocabulary, self.config.corpus.cleaning, per_char=per_char)

    def _settings(self, options: dict[str, Any]) -> SamplingSettings:
        usual = self._sampling.model_dump()
        if options.get("regex") is not None:
            del usual["stop"]  # what ends the text is the pattern
        return validated(SamplingSettings, {**usual, **options})

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
