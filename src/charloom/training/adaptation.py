"""A model's weights adjusted to a person's own text for one run: dynamic evaluation kept (Krause et al., 2018).

The text is read in short windows, and after each the weights take a step towards what was read. How many times it
is read is decided by its own text alone: on the last quarter of the first half, which the steps before did not see.

    first half            second half
    ├─ 3/4 ──┬─ 1/4 ─┤                      how often to read: learned on the 3/4, measured on the 1/4
    ├─ learned ──────┼─ measured ─────┤     the two figures that are reported
    ├─ learned ───────────────────────┤     the weights that write

Reading it not at all is among the choices, so a text like the one that the model was trained on is left alone.
Legend: T time, B rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from charloom.errors import TrainingError, UsageError
from charloom.kernel.network import open_network
from charloom.kernel.weights import Weights as Arrays
from charloom.runtime.evaluation import evaluate_segments
from charloom.runtime.model import Model
from charloom.settings import VocabularyKind
from charloom.text.cleaning import clean_prompt
from charloom.text.splits import Segment, with_opening
from charloom.text.vocabulary import Ids, Vocabulary
from charloom.training.agreement import compare
from charloom.training.init_from import read_weights
from charloom.training.model import CharacterModel
from charloom.training.state import Weights
from charloom.training.torch_session import TorchSession

LEAST = 400  # symbols: fewer say too little about what to learn from them
MOST = 1_000_000  # symbols: more are trained on, not adapted to
_WINDOW = 20  # T, characters between two steps
_ROWS = 8  # B at most
_ROW_LENGTH = 250  # characters a row has at least, where there are two or more
_LEARNING_RATE = 1.5e-3
_WARMUP = 10  # steps: Adam's first ones know little of the gradients' size
_PASSES = 8
_READ_IN_ALL = 200_000  # symbols read in all passes together, where that is more than one
_CHECKED = 256  # symbols on which the network is compared with PyTorch
_SEED = 1  # of the dropout masks


@dataclass(frozen=True)
class Adaptation:
    """What adapting did.

    Attributes:
        characters: of the text, cleaned as a prompt is.
        unknown: how many of them the model has no id for; they are learned as the unknown character.
        bits_per_char_before: on the second half of the text, with the weights as they were.
        bits_per_char_after: on the second half, with the weights adapted to the first half.
        passes: how often the text was read; 0 where that did not help, and the weights are as they were.
        seconds: that it all took.
    """

    characters: int
    unknown: int
    bits_per_char_before: float
    bits_per_char_after: float
    passes: int
    seconds: float


def adapt(model: Model, text: str, *, name: str = "the text") -> tuple[Model, Adaptation]:
    """Adjust a model to a text. The model itself and its folder stay as they are.

    Args:
        model: what `charloom.load` opened.
        text: what to adapt to; cleaned as a prompt is.
        name: what to call the text in errors.

    Returns:
        A model that writes and evaluates with adapted float32 weights, and what adapting did.

    Raises:
        UsageError: the text is too short or too long.
        ModelDirectoryError: the model's weights cannot be read.
        TrainingError: a loss became NaN or infinite, or the adapted network does not agree with PyTorch.
    """
    started = time.perf_counter()
    cleaned = clean_prompt(text, model.config.corpus.cleaning)
    whole = with_opening(model.vocabulary.encode(cleaned), model.vocabulary.opening_id)
    _check_length(whole.predicted, model.vocabulary.kind, name)
    unknown_id = model.vocabulary.unknown_id
    unknown = 0 if unknown_id is None else int((whole.ids[1:] == unknown_id).sum())
    with _torch_threads(model.threads), torch.random.fork_rng(devices=[]):
        learner = _Adapter(CharacterModel(model.config.model), read_weights(model.directory), model.vocabulary)
        before, after, passes = _try(learner, whole)
        adapted = model if passes == 0 else model.with_weights(_adapted_weights(learner, whole, passes))
    return adapted, Adaptation(len(cleaned), unknown, before, after, passes, time.perf_counter() - started)


def _try(learner: _Adapter, whole: Segment) -> tuple[float, float, int]:
    """Bits per character before and after, and how often to read the text; 0 where after is no better."""
    middle = whole.predicted // 2
    first, second = _part(whole, 0, middle), _part(whole, middle, whole.predicted)
    quarter = middle - middle // 4
    passes = learner.best_passes(_part(first, 0, quarter), _part(first, quarter, middle), _most_passes(whole))
    learner.start_anew()
    before = learner.bits_per_char(second)
    for _ in range(passes):
        learner.read(first)
    after = learner.bits_per_char(second) if passes else before
    if not math.isfinite(after):
        raise TrainingError("adapting came to a loss that is NaN or infinite: the model cannot be adapted to this text")
    return before, after, passes if after < before else 0


def _adapted_weights(learner: _Adapter, whole: Segment, passes: int) -> Arrays:
    """The weights after reading the whole text."""
    learner.start_anew()
    for _ in range(passes):
        learner.read(whole)
    weights = {name: tensor.numpy().copy() for name, tensor in learner.model.state_dict().items()}
    network = open_network(learner.model.shape, weights, "float32")
    compare(network, TorchSession(learner.model), whole.ids[:_CHECKED, None])
    return weights


class _Adapter:
    """A torch model that reads texts and learns from them, and can go back to where it began."""

    def __init__(self, model: CharacterModel, weights: Weights, vocabulary: Vocabulary) -> None:
        self.model = model
        self._original = weights
        self._vocabulary = vocabulary
        self.start_anew()

    def start_anew(self) -> None:
        """The original weights, and no memory of any gradient."""
        torch.manual_seed(_SEED)
        self.model.load_state_dict(self._original)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.99))
        self._steps = 0

    def bits_per_char(self, part: Segment) -> float:
        """Measured in one go from an empty state, float32."""
        return evaluate_segments(TorchSession(self.model), self._vocabulary, [part], "stateful").bits_per_char

    def best_passes(self, learned: Segment, measured: Segment, most: int) -> int:
        """How many passes over one part make the other likeliest; 0 where none does."""
        best, best_bits = 0, self.bits_per_char(measured)
        for passes in range(1, most + 1):
            self.read(learned)
            bits = self.bits_per_char(measured)
            if bits < best_bits:
                best, best_bits = passes, bits
            elif passes - best >= 2:
                break
        return best

    def read(self, part: Segment) -> None:
        """One pass: the part in rows side by side, the state carried, a step after each window."""
        ids = _rows(part.ids)
        state = self.model.initial_state(ids.shape[1])
        self.model.train()
        for start in range(0, len(ids) - 1, _WINDOW):
            window = ids[start : start + _WINDOW + 1]  # (T + 1, B)
            logits, state = self.model(window[:-1], tuple(kind.detach() for kind in state))
            loss = F.cross_entropy(logits.flatten(0, 1), window[1:].flatten())
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self._steps += 1
            for group in self._optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * min(1.0, self._steps / _WARMUP)
            self._optimizer.step()
        self.model.eval()


def _part(segment: Segment, start: int, end: int) -> Segment:
    """Characters `start` to `end` of a segment, with the one before them."""
    return Segment(segment.ids[start : end + 1])


def _rows(ids: Ids) -> torch.Tensor:
    """A text's ids (N + 1,) as rows side by side, (T + 1, B); what does not fill the rows is left out."""
    count = min(_ROWS, max(1, (len(ids) - 1) // _ROW_LENGTH))
    length = (len(ids) - 1) // count
    rows = [ids[row * length : (row + 1) * length + 1] for row in range(count)]
    return torch.from_numpy(np.stack(rows, axis=1).astype(np.int64))


def _most_passes(whole: Segment) -> int:
    return max(1, min(_PASSES, _READ_IN_ALL // whole.predicted))


def _check_length(symbols: int, kind: VocabularyKind | str, name: str) -> None:
    if symbols < LEAST:
        raise UsageError(f"{name} is too short to adapt to: {symbols:,} {kind} after cleaning, at least {LEAST:,}")
    if symbols > MOST:
        raise UsageError(
            f"{name} is too long to adapt to: {symbols:,} {kind}, at most {MOST:,}; "
            f"train on it instead, with charloom train ... --init-from"
        )


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Use as many threads as the model does, and as many as before afterwards: the setting is the whole process's."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
