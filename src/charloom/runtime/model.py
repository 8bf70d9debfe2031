"""`charloom.load`: a trained model as one object that generates, streams, scores and evaluates.

Writing a text is fast to start: what else a model can do is imported where it is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from charloom.bundle import ModelConfig, ModelDirectory, open_model_directory
from charloom.bundle.config import WEIGHTS
from charloom.errors import UsageError
from charloom.kernel.network import open_network
from charloom.kernel.weights import Weights
from charloom.options import SamplingOptions
from charloom.runtime.generation import Generation, TextStream, generate_batch, settings_over, write_items
from charloom.runtime.model_measures import ModelMeasures
from charloom.runtime.model_scores import ModelScores
from charloom.runtime.prompts import prompt_ids
from charloom.runtime.session import open_session
from charloom.settings import Precision, SamplingSettings
from charloom.text.cleaning import clean_prompt
from charloom.text.items import newline_id
from charloom.text.vocabulary import Ids, Vocabulary

if TYPE_CHECKING:
    from charloom.runtime.activations import Activations
    from charloom.runtime.engine import Engine
    from charloom.runtime.likeliest import Completion, Until
    from charloom.text.known_items import KnownItems

MAX_SAMPLES = 4096


def load(path: str | Path, *, threads: int = 1, precision: Precision = "auto") -> Model:
    """Open a model directory and make its network ready.

    Args:
        path: the folder that training wrote.
        threads: processor threads for one run; one is best for a single stream of a small model.
        precision: of the network's products. auto: int8 for writing where it was measured to lose less than half a
            percent, float32 for evaluating.

    Raises:
        UsageError: a value is out of its range.
        ModelDirectoryError: the folder holds no whole, sound model.
    """
    _at_least_one("threads", threads)
    if precision not in ("auto", "float32", "int8"):
        raise UsageError(f"precision = {precision!r}: choose auto, float32 or int8")
    return Model(open_model_directory(path), threads, precision)


class Model(ModelScores, ModelMeasures):
    """A trained model.

    Attributes:
        path: its folder.
        config: what it is and what it was trained on.
        vocabulary: what its ids mean.
        precision: of the network that writes: `float32` or `int8`.
        directory: its files.
        threads: processor threads for one run.
    """

    def __init__(self, directory: ModelDirectory, threads: int = 1, precision: Precision = "auto") -> None:
        """Use `charloom.load` instead."""
        self.path: Path = directory.path
        self.config: ModelConfig = directory.config
        self.vocabulary: Vocabulary = directory.vocabulary
        self._sampling = directory.sampling
        self.precision: Literal["float32", "int8"] = _best_precision(directory) if precision == "auto" else precision
        self.directory = directory
        self.threads = threads
        self._session = open_session(directory, self.precision, threads)
        self._asked = precision
        self._own_weights: Weights | None = None

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[object, ...]]:
        """Another process is sent where the model is, and opens it once; an adapted model is sent with its weights."""
        from charloom.runtime.pickled import open_adapted, open_again

        same = (self.directory.place, self.threads, self._asked, self.config.files[WEIGHTS])
        return (open_again, same) if self._own_weights is None else (open_adapted, (*same, self._own_weights))

    def __repr__(self) -> str:
        shape, bits = self.config.model, [one.bits_per_char for one in self.config.losses.values()]
        layers = f"{shape.cell.upper()} {shape.num_layers} × {shape.hidden_size}"
        measured = f", {min(bits):.2f} bits per character" if bits else ""
        return f"<charloom.Model {str(self.path)!r}: {layers}, {shape.vocab_size} symbols{measured}>"

    @property
    def checksum(self) -> str:
        """The SHA-256 of its weights: of their file, or of an adapted model's own."""
        if self._own_weights is None:
            return self.config.files[WEIGHTS]
        own = hashlib.sha256()
        for name, weights in sorted(self._own_weights.items()):
            own.update(name.encode() + weights.tobytes())
        return own.hexdigest()

    def with_weights(self, weights: Weights) -> Model:
        """The same model with other float32 weights, as `charloom.adapt` makes them; its folder is not touched.

        Args:
            weights: by PyTorch's names, as in `model.safetensors`.

        Raises:
            ModelDirectoryError: not the weights of a network of this model's shape.
        """
        other = object.__new__(Model)
        other.__dict__ = {name: value for name, value in vars(self).items() if name != "_evaluating_session"}
        other.precision = "float32"
        other._own_weights = weights
        other._session = open_network(self.config.model, weights, "float32", threads=self.threads)
        return other

    def generate(
        self, prompt: str = "", settings: SamplingSettings | None = None, **options: Unpack[SamplingOptions]
    ) -> Generation:
        """Continue a prompt.

        Args:
            prompt: what to continue; empty starts as if a line had just ended.
            settings: how the text is drawn; `options` go over it.
            **options: `length`, `temperature`, `top_k`, `top_p`, `min_p`, `seed`, `stop` (a text or a list), `regex`;
                what is not given comes from the model's `generation_config.json`.

        Raises:
            UsageError: an unknown option, a value out of its range, or a pattern that cannot be met.
        """
        return self.stream(prompt, settings, **options).finish()

    def stream(
        self, prompt: str = "", settings: SamplingSettings | None = None, **options: Unpack[SamplingOptions]
    ) -> TextStream:
        """Continue a prompt piece by piece: `for piece in model.stream("ROMEO:"): print(piece, end="")`.

        Raises:
            UsageError: as `generate`.
        """
        chosen = self._complete(settings, options)
        return TextStream(self._session, self.vocabulary, prompt, self._clean(prompt), chosen)

    def generate_samples(
        self,
        prompt: str = "",
        samples: int = 1,
        settings: SamplingSettings | None = None,
        **options: Unpack[SamplingOptions],
    ) -> list[Generation]:
        """Several continuations of one prompt, made in one batch; sample i has seed + i.

        Raises:
            UsageError: as `generate`, or more than 4,096 samples.
        """
        if not isinstance(samples, int) or not 1 <= samples <= MAX_SAMPLES:
            raise UsageError(f"samples = {samples}: give a number from 1 to {MAX_SAMPLES}")
        chosen = self._complete(settings, options)
        return generate_batch(self._session, self.vocabulary, prompt, self._clean(prompt), chosen, samples)

    def items(
        self,
        count: int,
        prompt: str = "",
        *,
        new: bool = False,
        exclude: Container[str] = (),
        settings: SamplingSettings | None = None,
        **options: Unpack[SamplingOptions],
    ) -> list[str]:
        """Write different items, such as names, in the order in which they are drawn.

        An item ends at a line end, at a stop text or with its pattern; what reaches `length` before that, or has a line
        end in it, is none.

        Args:
            count: how many.
            prompt: what each begins with.
            new: leave out what is on the list that the model learned, of which it keeps hashes.
            exclude: items to leave out, such as those of another list; compared as the model reads them, so that a
                model of lower-case names leaves out `anna` for `Anna`.
            settings: how they are drawn; `options` go over it.
            **options: as for `generate`.

        Returns:
            As many; fewer where many texts in a row brought no new one.

        Raises:
            UsageError: as `generate`, or the count is below 1, or the prompt has a line end, or what to exclude is one
                text, or the model is to leave out what it learned and keeps no list of it.
            CorpusError: the model knows no line end.
        """
        _at_least_one("items", count)
        cleaned = self._clean(prompt)
        if "\n" in prompt or "\r" in prompt:
            raise UsageError("an item is one line: give a prompt without a line end")
        if isinstance(exclude, str | bytes) or not isinstance(exclude, Container):
            raise UsageError("exclude holds several items: give a set or a list of them")
        chosen = self._complete(settings, options)
        if chosen.regex is None:
            newline_id(self.vocabulary)
            chosen = chosen.model_copy(update={"stop": sorted({*chosen.stop, "\n"})})
        known = self._learned_items if new else ()
        if isinstance(exclude, Iterable):
            exclude = frozenset(map(self._clean, exclude))

        def is_left_out(item: str) -> bool:
            as_read = self._clean(item)
            return as_read in exclude or item in exclude or as_read in known

        return write_items(self._session, self.vocabulary, prompt, cleaned, chosen, count, is_left_out)

    @cached_property
    def _learned_items(self) -> KnownItems:
        known = self.directory.read_known_items()
        if known is None:
            raise UsageError(
                "this model keeps no list of what it learned: give the list, as in charloom generate MODEL --items 10 "
                "--exclude FILE"
            )
        return known

    def next(self, prompt: str = "", k: int = 5) -> list[tuple[str, float]]:
        """The `k` likeliest characters after a prompt with their probabilities: `model.next("The ki", 3)`.

        Probabilities are the model's own, at temperature 1 and without filters.

        Raises:
            UsageError: k is below 1.
        """
        from charloom.runtime.likeliest import next_characters

        return next_characters(self._session, self.vocabulary, self._prompt_ids(prompt), _at_least_one("k", k))

    def complete(self, prompt: str = "", k: int = 5, *, until: Until = "word", length: int = 60) -> list[Completion]:
        """The `k` likeliest continuations of a prompt up to the end of a word or line, the likeliest first.

        An exact search, with the model's own probabilities, at temperature 1 and without filters. Ends of lines are
        for lists of short items; in prose there are too many lines to search, see `Completion.exact`.

        Args:
            prompt: what to continue; empty starts as if a line had just ended.
            k: how many, at most 1,000; fewer where there are not as many.
            until: `word`: behind the first word, which spaces and signs may precede; `line`: before a newline.
            length: continuations have at most so many characters (bytes with a bytes vocabulary).

        Raises:
            UsageError: a value is out of its range.
        """
        from charloom.runtime.likeliest import MOST_COMPLETIONS, complete

        if until not in ("word", "line"):
            raise UsageError(f"until = {until!r}: choose word or line")
        if _at_least_one("k", k) > MOST_COMPLETIONS:
            raise UsageError(f"k = {k}: give {MOST_COMPLETIONS:,} or less")
        ids, length = self._prompt_ids(prompt), _at_least_one("length", length)
        return complete(self._session, self.vocabulary, ids, k, until=until, length=length)

    def _prompt_ids(self, prompt: str) -> Ids:
        return prompt_ids(self.vocabulary, self._clean(prompt))

    def engine(
        self, *, max_rows: int = 64, max_queue: int = 256, prompt_chunk: int = 128, cache_bytes: int = 64 << 20
    ) -> Engine:
        """Start an engine, which writes many texts at once for as long as it is open; see `Engine`."""
        from charloom.runtime.engine import Engine

        return Engine(
            self._session,
            self.vocabulary,
            lambda prompt, options: (self._clean(prompt), self._complete(None, options)),
            max_rows=max_rows,
            max_queue=max_queue,
            prompt_chunk=prompt_chunk,
            cache_bytes=cache_bytes,
        )

    def encode(self, text: str) -> list[int]:
        """The ids of a text as the model reads it: cleaned as its training text was."""
        ids: list[int] = self.vocabulary.encode(self._clean(text)).tolist()
        return ids

    @property
    def sampling(self) -> SamplingSettings:
        """The default sampling settings, those of its `generation_config.json`."""
        return self._sampling

    def activations(self, text: str, *, layer: int | None = None, units: Sequence[int] | None = None) -> Activations:
        """The hidden states of some units after each character of a text.

        Args:
            text: at most 5,000 characters, read from the start of a line and cleaned as a prompt is.
            layer: from 0; the last one if not given.
            units: which of the layer; the eight that vary most if not given.

        Raises:
            UsageError: the text is too long, or there is no such layer or unit.
        """
        from charloom.runtime.activations import activations

        ids = self.vocabulary.encode(self._clean(text))
        return activations(self._session, self.vocabulary, ids, layer=layer, units=units)

    def _complete(self, settings: SamplingSettings | None, options: Mapping[str, Any]) -> SamplingSettings:
        return settings_over(self._sampling, settings, options)

    def _clean(self, prompt: str) -> str:
        if not isinstance(prompt, str):
            raise UsageError(f"{prompt!r:.60} is no text: give a string")
        return clean_prompt(prompt, self.config.corpus.cleaning)


def _at_least_one(name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} = {value!r}: give 1 or more")
    return value


def _best_precision(directory: ModelDirectory) -> Literal["float32", "int8"]:
    measured = directory.config.precision
    return "int8" if measured is not None and measured.int8_is_faithful else "float32"
