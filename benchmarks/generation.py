"""How fast does a model answer? Ours beside the article's way and a tuned PyTorch step, in one run on one core.

python benchmarks/generation.py [--repeats 5] [--json]

One stream, 64 streams, the first character after a prompt of 1,000, and a whole process from its start to its first
character beside `python -c "import torch"`. LSTM 2 × 512, 65 symbols, random weights, all with top-5 sampling.
Everything is measured in turns, several times over, and the best turn of each counts, so that a neighbour who wakes up
in the middle spoils no comparison.

The limit: a stream cannot be faster than its int8 weights can be read once a character, which is measured as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import charloom
from article_generation import ArticleGenerator, TunedGenerator
from article_loop import ArticleNetwork
from charloom.runtime.generation import TextStream
from charloom.runtime.model import Model
from charloom.settings import SamplingSettings
from onnx_stepper import OnnxPath

SYMBOLS = [chr(code) for code in range(ord("0"), ord("0") + 64)] + ["\n"]
STREAMS = 64
IMPORT_TORCH = 'python -c "import torch"'
PROMPT = 1000
SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_k": 5, "seed": 1}

Record = dict[str, Any]


def make_model(folder: Path, hidden_size: int) -> Path:
    """A model directory with hardly trained weights: what they are does not change how fast they run."""
    text = folder / "text.txt"
    text.write_text("".join(np.random.default_rng(0).choice(SYMBOLS, 12_000)), "utf-8")
    charloom.train(
        text,
        folder / "model",
        steps=1,
        num_layers=2,
        hidden_size=hidden_size,
        embedding_size=64,
        threads=1,
        device="cpu",
    )
    return folder / "model"


class Contest:
    """The ways to write, each a function that gives its rate in characters a second, or its seconds."""

    def __init__(self, folder: Path, hidden_size: int, characters: int) -> None:
        """Prepare every way."""
        self._folder = folder
        self._characters = characters
        self._int8 = charloom.load(folder, precision="int8")
        self._float32 = charloom.load(folder, precision="float32")
        self._onnx = charloom.load(folder, precision="int8")
        self._onnx._session = OnnxPath((folder / "model.int8.onnx").read_bytes(), self._int8.config.model)
        self._network = ArticleNetwork(self._int8.vocabulary.size, hidden_size)
        self._prompt = "".join(np.random.default_rng(1).choice(SYMBOLS, PROMPT))

    def rates(self) -> dict[str, Callable[[], float]]:
        """Characters a second, by name."""
        article, tuned = ArticleGenerator(self._network), TunedGenerator(self._network)
        return {
            "article": lambda: self._stepped(article.step, self._characters // 4),
            "tuned": lambda: self._stepped(tuned.step, self._characters),
            "float32": lambda: self._one_stream(self._float32),
            "int8": lambda: self._one_stream(self._int8),
            "int8_batch": lambda: self._batch(self._int8),
            "int8_engine": self._engine,
            "onnx": lambda: self._one_stream(self._onnx),
            "onnx_batch": lambda: self._batch(self._onnx),
            "limit": self._limit,
        }

    def seconds(self) -> dict[str, Callable[[], float]]:
        """Seconds until the first character, by name."""
        article = ArticleGenerator(self._network)
        generate = ["-m", "charloom", "generate", str(self._folder), "--prompt", "0", "--length", "1"]
        return {
            "article_prompt": lambda: PROMPT / self._stepped(article.step, PROMPT // 4),
            "int8_prompt": lambda: self._first_character(self._int8),
            "float32_prompt": lambda: self._first_character(self._float32),
            "onnx_prompt": lambda: self._first_character(self._onnx),
            "torch_process": lambda: _process(["-c", "import torch"]),
            "charloom_process": lambda: _process(generate),
        }

    @staticmethod
    def _stepped(step: Callable[[int], int], count: int) -> float:
        token, started = 1, time.perf_counter()
        for _ in range(count):
            token = step(token)
        return count / (time.perf_counter() - started)

    def _one_stream(self, model: Model) -> float:
        started = time.perf_counter()
        model.generate("0", length=self._characters, **SAMPLING)
        return self._characters / (time.perf_counter() - started)

    def _batch(self, model: Model) -> float:
        started = time.perf_counter()
        model.generate_samples("0", STREAMS, length=self._characters // 4, **SAMPLING)
        return STREAMS * (self._characters // 4) / (time.perf_counter() - started)

    def _engine(self) -> float:
        with self._int8.engine() as engine:
            started = time.perf_counter()
            texts = [engine.submit("0", length=self._characters // 4, **SAMPLING) for _ in range(STREAMS)]
            written = sum(text.result().characters for text in texts)
            return written / (time.perf_counter() - started)

    def _first_character(self, model: Model) -> float:
        settings = SamplingSettings(length=1, **SAMPLING)
        started = time.perf_counter()
        next(TextStream(model._session, model.vocabulary, self._prompt, self._prompt, settings))
        return time.perf_counter() - started

    def _limit(self) -> float:
        """How often a second numpy can read as many bytes as a step has int8 weights."""
        shape = self._int8.config.model
        size = shape.hidden_size
        weights = 4 * size * size * (2 * shape.num_layers - 1) + size * shape.vocab_size
        content = np.zeros(weights // 8, dtype=np.int64)
        count = max(1, self._characters // 4)
        started = time.perf_counter()
        for _ in range(count):
            content.max()
        return count / (time.perf_counter() - started)


def _process(arguments: Sequence[str]) -> float:
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    command, quiet = [sys.executable, *arguments], subprocess.DEVNULL
    started = time.perf_counter()
    subprocess.run(command, env=compiled, check=True, stdout=quiet, stderr=quiet)
    return time.perf_counter() - started


def measure(hidden_size: int, characters: int, repeats: int, say: Callable[[str], None]) -> Record:
    """The best of every way over all turns: rates in characters a second, and seconds."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(make_model(Path(folder), hidden_size), hidden_size, characters)
        rates, seconds = contest.rates(), contest.seconds()
        best_rates: dict[str, float] = dict.fromkeys(rates, 0.0)
        best_seconds: dict[str, float] = dict.fromkeys(seconds, float("inf"))
        for turn in range(repeats):
            for name, way in rates.items():
                best_rates[name] = max(best_rates[name], way())
            for name, way in seconds.items():
                best_seconds[name] = min(best_seconds[name], way())
            say(f"turn {turn + 1} of {repeats} done")
    return {"hidden_size": hidden_size, "rates": best_rates, "seconds": best_seconds}


def show(report: Record) -> None:
    """Print the tables."""
    rates, seconds = report["rates"], report["seconds"]
    print(f"LSTM 2 × {report['hidden_size']}, 65 symbols, one core\n")
    print(f"{'':<44}{'characters/s':>14}{'× article':>11}{'of limit':>10}")
    for name, title in (
        ("article", "the article's loop (nn.LSTM, batch of one)"),
        ("tuned", "a tuned PyTorch step"),
        ("float32", "charloom, float32, one stream"),
        ("int8", "charloom, int8, one stream"),
        ("int8_batch", "charloom, int8, 64 samples of one prompt"),
        ("int8_engine", "charloom, int8, 64 requests to an engine"),
        ("onnx", "ONNX Runtime and numpy, int8, one stream"),
        ("onnx_batch", "ONNX Runtime and numpy, int8, 64 samples"),
        ("limit", "limit: the int8 weights read once each"),
    ):
        times = f"{rates[name] / rates['article']:.1f}"
        print(f"{title:<44}{rates[name]:>14,.0f}{times:>11}{rates[name] / rates['limit']:>10.2f}")
    print(f"\n{'first character after a prompt of 1,000':<44}{'ms':>14}{'× sooner':>11}")
    for name, title in (
        ("article_prompt", "the article's loop"),
        ("float32_prompt", "charloom, float32"),
        ("int8_prompt", "charloom, int8"),
        ("onnx_prompt", "ONNX Runtime, int8"),
    ):
        times = f"{seconds['article_prompt'] / seconds[name]:.1f}"
        print(f"{title:<44}{1000 * seconds[name]:>14.1f}{times:>11}")
    print(f"\n{'a whole process':<44}{'ms':>14}")
    print(f"{IMPORT_TORCH:<44}{1000 * seconds['torch_process']:>14.0f}")
    print(f"{'charloom generate, one character':<44}{1000 * seconds['charloom_process']:>14.0f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--characters", type=int, default=2000, help="of one measurement of a fast way in a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of everything")
    parser.add_argument("--hidden-size", type=int, default=512, help="another size, to try this out")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    arguments = parser.parse_args(argv)
    report = measure(
        arguments.hidden_size,
        arguments.characters,
        arguments.repeats,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    if arguments.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()
