"""The process that `throughput.py` has measure: it takes one update, or one product, after another.

Each line of its standard input is the name of a measurement; the answer is its rate on a line of its own.
A line with 0 comes before all answers, when everything is loaded.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count

import numpy as np
import torch

from article_loop import ROWS, WINDOW, ArticleLoop, State
from charloom.bundle import ModelShape
from charloom.bundle.config import GATES
from charloom.settings import Cell, LearningPrecision, Optimizer, RunSettings
from charloom.text.splits import Segment
from charloom.training.batches import RingBatches
from charloom.training.device import computes_bfloat16
from charloom.training.learner import Learner
from charloom.training.ranks import Ranks
from charloom.training.recipes import load_recipe
from charloom.training.state import fresh_state

PEAKS = {"2048 × 2048 × 2048": (2048, 2048, 2048), "64 × 512 × 2048": (64, 512, 2048)}
ARTICLE_SYMBOLS, SYMBOLS = 38, 66  # tiny Shakespeare, cleaned by the article and as it is
CHARACTERS = 1_000_000


@dataclass(frozen=True)
class Case:
    """One network in training."""

    name: str
    article_loop: bool
    recipe: str
    cell: Cell
    vocab_size: int
    optimizer: Optimizer | None = None
    torch_layers: bool = False
    precision: LearningPrecision = "float32"

    def settings(self, hidden_size: int) -> RunSettings:
        """The recipe with this cell, size, optimizer and precision."""
        recipe = load_recipe(self.recipe)
        model = recipe.model.model_copy(update={"cell": self.cell, "hidden_size": hidden_size})
        changes: dict[str, str] = {"precision": self.precision}
        changes |= {"optimizer": self.optimizer} if self.optimizer else {}
        return recipe.model_copy(update={"model": model, "training": recipe.training.model_copy(update=changes)})

    def shape(self, hidden_size: int) -> ModelShape:
        """The network."""
        return ModelShape(vocab_size=self.vocab_size, **self.settings(hidden_size).model.model_dump())


CASES = [
    Case("the article's loop, LSTM 2 × {}", True, "article", "lstm", ARTICLE_SYMBOLS),
    Case("charloom, LSTM 2 × {}", False, "article", "lstm", ARTICLE_SYMBOLS),
    Case("charloom, LSTM 1 × {} (default)", False, "base", "lstm", SYMBOLS),
    Case("charloom, LSTM 1 × {}, AdamW", False, "base", "lstm", SYMBOLS, "adamw"),
    Case("… with PyTorch's LSTM", False, "base", "lstm", SYMBOLS, "adamw", torch_layers=True),
    Case("charloom, GRU 1 × {}, AdamW", False, "base", "gru", SYMBOLS, "adamw"),
    Case("… with PyTorch's GRU", False, "base", "gru", SYMBOLS, "adamw", torch_layers=True),
    Case("charloom, LSTM 1 × {}, bfloat16", False, "base", "lstm", SYMBOLS, precision="bfloat16"),
    Case("… with PyTorch's LSTM in bfloat16", False, "base", "lstm", SYMBOLS, torch_layers=True, precision="bfloat16"),
    Case("charloom, GRU 1 × {}, bfloat16", False, "base", "gru", SYMBOLS, precision="bfloat16"),
]
if not computes_bfloat16(torch.device("cpu")):  # emulated it would take minutes
    CASES = [case for case in CASES if case.precision == "float32"]


def operations_per_character(shape: ModelShape) -> int:
    """6 × the weights of all products: the recurrent layers' and the output's."""
    weights = shape.hidden_size * shape.vocab_size
    for layer in range(shape.num_layers):
        below = shape.input_size if layer == 0 else shape.hidden_size
        weights += GATES[shape.cell] * shape.hidden_size * (below + shape.hidden_size)
    return 6 * weights


Steps = Iterator[int]
"""Takes one update at each `next` and gives the characters it learned from."""


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
Clock = Callable[[], float]


def operations_per_second(rows: int, inner: int, columns: int, seconds: float, clock: Clock) -> float:
    """The rate of one matrix product, repeated for `seconds` of a clock."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    product = torch.mm(left, right)
    repeats = max(1, round(5e8 / (rows * inner * columns)))  # between two looks at the clock
    done, started = 0, clock()
    while done == 0 or clock() - started < seconds:
        for _ in range(repeats):
            torch.mm(left, right, out=product)
        done += repeats
    return 2 * rows * inner * columns * done / (clock() - started)


def article_steps(vocab_size: int, hidden_size: int) -> Steps:
    """The article's loop on random text, epoch after epoch."""
    rows = np.random.default_rng(1).integers(1, vocab_size, (ROWS, CHARACTERS // ROWS // WINDOW * WINDOW + 1))
    segments = [Segment(row.astype(np.uint16)) for row in rows]
    loop = ArticleLoop(segments, segments, vocab_size, hidden_size)
    for epoch in count():
        state: State | None = None
        for inputs, targets in loop.windows(epoch):
            _, state = loop.step(inputs, targets, state)
            yield inputs.numel()


@dataclass
class OurSteps:
    """charloom's own updates (`Learner`) on random text."""

    case: Case
    hidden_size: int

    def __iter__(self) -> Steps:
        """Take updates for ever."""
        settings = self.case.settings(self.hidden_size)
        training = settings.training
        ids = np.random.default_rng(1).integers(1, self.case.vocab_size, CHARACTERS).astype(np.uint16)
        batches = RingBatches(ids, training.batch_size, training.bptt, training.seed)
        state = fresh_state(self.case.shape(self.hidden_size), settings, torch.device("cpu"), Ranks())
        state.model.train()
        if self.case.torch_layers:
            state.model.layer_kernel = state.model.bfloat16_kernel = None
        learner = Learner(state, batches, training, settings.model.weight_drop, Ranks())
        for index in count():
            if not learner.update(training.learning_rate, lambda: False).is_finite:
                raise SystemExit(f"{self.case.name}: the loss became NaN")
            yield batches.characters(index % batches.windows_per_epoch)


def characters_per_second(steps: Steps, seconds: float, clock: Clock) -> float:
    """The rate of the updates that fit into `seconds` of a clock; the first finds cold caches and is not counted."""
    next(steps)
    characters, started = 0, clock()
    while characters == 0 or clock() - started < seconds:
        characters += next(steps)
    return characters / (clock() - started)


def work(threads: int, hidden_size: int, seconds: float, clock: Clock) -> None:
    """Say when ready, then answer each line of the standard input, the name of a measurement, with its rate."""
    torch.set_num_threads(threads)
    jobs: dict[str, Callable[[], float]] = {
        name: partial(operations_per_second, *sides, seconds, clock) for name, sides in PEAKS.items()
    }
    for case in CASES:
        steps = article_steps(case.vocab_size, hidden_size) if case.article_loop else iter(OurSteps(case, hidden_size))
        jobs[case.name] = partial(characters_per_second, steps, seconds, clock)
    print(0, flush=True)  # ready: loading disturbs no measurement any more
    for line in sys.stdin:
        print(jobs[json.loads(line)](), flush=True)


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), CLOCKS[sys.argv[4]])
