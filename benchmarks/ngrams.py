"""What does a short training learn of a text, beside n-grams of characters on the same text?

python benchmarks/ngrams.py FILE OUTPUT [--highest 5] [--json] [--epochs N | --steps N | --budget TIME]
                            [--hidden-size N] [--dropout P]

The end of FILE is held out, as `charloom train` does; charloom's figure is its loss there, in nats a character
(`stateful`). The n-grams count the rest of the text: Witten-Bell, of every order up to the highest.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import charloom


class WittenBell:
    """An n-gram of characters: each order is mixed with the shorter ones by how many kinds of letters followed.

    Attributes:
        order: how many characters are counted together, that which is guessed included.
    """

    def __init__(self, texts: Iterable[str], order: int, letters: int | None = None) -> None:
        """Count.

        Args:
            texts: what is counted, each as if empty lines were before it.
            order: as the attribute.
            letters: how many kinds there are in all; None: those that occur and one more.
        """
        self.order = order
        self._counts: list[defaultdict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(order)]
        for each in texts:
            text = "\n" * (order - 1) + each
            for place in range(order - 1, len(text)):
                for length in range(order):
                    self._counts[length][text[place - length : place]][text[place]] += 1
        self._letters = letters or len(self._counts[0][""]) + 1

    def nats(self, text: str, before: str = "") -> list[float]:
        """−ln p of each character of a text that follows another."""
        whole, start = "\n" * (self.order - 1) + before + text, self.order - 1 + len(before)
        return [
            -math.log(self._probability(whole[place - self.order + 1 : place], whole[place]))
            for place in range(start, len(whole))
        ]

    def _probability(self, before: str, letter: str) -> float:
        found = 1 / self._letters
        for length in range(self.order):
            after = self._counts[length].get(before[len(before) - length :])
            if after:
                total, kinds = after.total(), len(after)
                found = (after[letter] + kinds * found) / (total + kinds)
        return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--highest", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = {"epochs": float, "steps": int, "budget": str, "hidden_size": int, "dropout": float}
    for name, kind in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    given = parser.parse_args(arguments)
    chosen: Any = {name: getattr(given, name) for name in options if getattr(given, name) is not None}
    started = time.process_time()
    charloom.train(given.file, given.output, overwrite=True, items=False, threads=1, **chosen)
    seconds = time.process_time() - started
    loss = charloom.load(given.output).config.losses["stateful"]
    text = charloom.read_corpus(given.file).text
    learned, held_out = text[: -loss.characters], text[-loss.characters :]
    letters = len(set(text)) + 1
    counted = {
        f"{order}-gram": sum(WittenBell([learned], order, letters).nats(held_out, learned[-order:])) / len(held_out)
        for order in range(1, given.highest + 1)
    }
    found = {
        "text": given.file.name,
        "learned": len(learned),
        "held_out": len(held_out),
        "symbols": letters,
        "cpu_seconds": round(seconds, 1),
        "charloom": loss.loss,
        **counted,
    }
    print(json.dumps(found) if given.json else table(found))


def table(found: dict[str, Any]) -> str:
    """A row of Markdown under the names of its columns."""
    cells = [f"{value:.3f}" if isinstance(value, float) else f"{value:,}" for value in list(found.values())[1:]]
    names = " | ".join(found).replace("_", " ")
    return f"| {names} |\n|{'---|' * len(found)}\n| {found['text']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
