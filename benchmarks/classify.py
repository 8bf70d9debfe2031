"""How often is a line given its class, beside a 3-gram of characters on the same lines?

python benchmarks/classify.py FOLDER OUTPUT [--test FOLDER] [--steps N | --epochs N | --budget TIME] [--json]

FOLDER has a file of lines a class. A tenth of each, of its distinct lines in random order, is held out and never seen
in training; with --test the lines of another such folder instead. Of two classes the AUROC of the second's probability
is measured too: how often a line of the second is given a higher one than a line of the first.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import charloom
from charloom.runtime.classifier import posterior
from charloom.text.classes import find_classes

Lines = dict[str, list[str]]
Nats = Callable[[str], dict[str, float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, classify, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--budget")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    train, test = read(given.folder), {}
    if given.test is not None:
        test = read(given.test)
    else:
        train, test = hold_out(train)
    options = {name: getattr(given, name) for name in ("steps", "epochs", "budget") if getattr(given, name) is not None}
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in train.items():
            Path(folder, f"{name}.txt").write_text("\n".join(lines) + "\n", "utf-8")
        charloom.train_classes(
            folder, given.output, overwrite=True, items=True, threads=1,
            hidden_size=given.hidden_size, dropout=given.dropout, **options,
        )  # fmt: skip
    seconds = time.process_time() - started
    classifier = charloom.Classifier(given.output)
    ours = {line: one.nats for line, one in zip(flat(test), classifier.classify_texts(flat(test)), strict=True)}
    grams = {name: trigram(lines, len(set("".join(flat(train)))) + 1) for name, lines in train.items()}
    sizes = {name: len(lines) / sum(map(len, train.values())) for name, lines in train.items()}
    found = {
        "classes": {name: [len(train[name]), len(test[name])] for name in train},
        "cpu_seconds": round(seconds, 1),
        "charloom": figures(test, sizes, ours.__getitem__),
        "3-gram": figures(test, sizes, lambda line: {name: gram(line) for name, gram in grams.items()}),
    }
    print(json.dumps(found) if given.json else table(found))


def read(folder: Path) -> Lines:
    """The distinct lines of each class."""
    return {
        name: [line for line in dict.fromkeys(path.read_text("utf-8").split("\n")) if line.strip()]
        for name, path in find_classes(folder).items()
    }


def hold_out(classes: Lines) -> tuple[Lines, Lines]:
    """Nine tenths and one tenth of each class, in random order."""
    draw = random.Random(1)
    mixed = {name: draw.sample(lines, len(lines)) for name, lines in classes.items()}
    cuts = {name: max(1, len(lines) // 10) for name, lines in mixed.items()}
    return (
        {name: lines[cuts[name] :] for name, lines in mixed.items()},
        {name: lines[: cuts[name]] for name, lines in mixed.items()},
    )


def flat(classes: Lines) -> list[str]:
    """All lines."""
    return [line for lines in classes.values() for line in lines]


def trigram(lines: Sequence[str], symbols: int, added: float = 0.1) -> Callable[[str], float]:
    """−ln p of a line and its end, by the two characters before each, with a little added to every count."""
    after, before = Counter[str](), Counter[str]()
    for line in lines:
        padded = f"\n\n{line}\n"
        for end in range(3, len(padded) + 1):
            after[padded[end - 3 : end]] += 1
            before[padded[end - 3 : end - 1]] += 1

    def nats(line: str) -> float:
        padded = f"\n\n{line}\n"
        contexts = (padded[end - 3 : end] for end in range(3, len(padded) + 1))
        return -math.fsum(
            math.log((after[three] + added) / (before[three[:2]] + added * symbols)) for three in contexts
        )

    return nats


def figures(test: Lines, sizes: dict[str, float], nats: Nats) -> dict[str, Any]:
    """Accuracy with the classes' sizes as priors, and the mean recall at a uniform prior; AUROC of two classes."""
    uniform = dict.fromkeys(test, 1 / len(test))
    known = {name: [nats(line) for line in lines] for name, lines in test.items()}
    best = {
        kind: {name: [max(p, key=p.__getitem__) for p in (posterior(prior, each) for each in found)]
               for name, found in known.items()}
        for kind, prior in (("sizes", sizes), ("uniform", uniform))
    }  # fmt: skip
    right = {kind: {name: given.count(name) for name, given in found.items()} for kind, found in best.items()}
    total = sum(map(len, test.values()))
    measured: dict[str, Any] = {
        "accuracy": sum(right["sizes"].values()) / total,
        "accuracy_uniform": sum(right["uniform"].values()) / total,
        "mean_recall": sum(right["uniform"][name] / len(test[name]) for name in test) / len(test),
    }
    if len(test) == 2:
        first, second = test
        low, high = (sorted(one[first] - one[second] for one in known[name]) for name in (first, second))
        places = (bisect_left(low, value) + bisect_right(low, value) for value in high)
        measured["auroc"] = sum(places) / 2 / len(low) / len(high)
    return measured


def table(found: dict[str, Any]) -> str:
    """Rows of Markdown."""
    names = list(found["charloom"])
    rows = [f"|  | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for side in ("charloom", "3-gram"):
        rows.append(f"| {side} | {' | '.join(f'{found[side][name]:.3f}' for name in names)} |")
    counts = ", ".join(f"{name} {train:,} + {test:,}" for name, (train, test) in found["classes"].items())
    return "\n".join([*rows, "", f"lines learned + tested: {counts}; {found['cpu_seconds']} s of one core"])


if __name__ == "__main__":
    main()
