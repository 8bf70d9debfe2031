"""How well odd lines are found: public labelled sets, each ranked by charloom and by simpler ways.

Every set is lines to learn from and lines to search, some of these labelled odd. A way gives each searched line a
number; the figure is AUROC, the chance that an odd line has a higher number than an ordinary one (0.5 is guessing).

The files are not part of the project: `--help` names them. scikit-learn and Drain3 are left out where they are not
installed.

    python benchmarks/odd_lines.py FOLDER
    python benchmarks/odd_lines.py FOLDER --tries

The second measures what was tried for a log of which no good day is to be had: three logs that are learned
themselves, and for comparison a known-good half. Each way is measured with several seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np

import charloom
from charloom import Model, Score
from charloom.runtime.scores import rank
from charloom.settings import CleaningName
from ngrams import WittenBell

FILES = """files that FOLDER holds, where each is from:
  BGL_2k.log              github.com/logpai/loghub BGL/: a supercomputer's log, alerts labelled
  Hadoop_2k.log           the same, Hadoop/: (for --tries) what the program called an error is odd; the level is cut out
  Zookeeper_2k.log        the same, Zookeeper/
  payload_full.csv        github.com/Morzeux/HttpParamsDataset: parameters of HTTP requests, attacks labelled
  dga_domains_sample.csv  github.com/chrmor/DGA_domains_dataset: popular domains, and such as malware generates
  SMSSpamCollection       archive.ics.uci.edu/dataset/228: text messages, spam labelled
  tinyshakespeare.txt     github.com/karpathy/char-rnn data/tinyshakespeare/input.txt: lines of other kinds are planted
"""
PLANTED = [
    '{"user": 4121, "ok": true}', "SELECT name FROM users WHERE id = 7;", "for (int i = 0; i < n; i++) {",
    "Lorem ipsum dolor sit amet, consectetur", "https://example.com/a?b=c&d=1", "ERROR 503 upstream timed out",
    "def main(): return 0", "<div class=\"act\">SCENE I</div>", "Und es war Nacht über der Stadt, und niemand kam.",
    "ZXCVBN qwertz asdfgh", "12:41 -0.53 88.10 7", "To be continued on page 214",
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Lines to learn from, and lines to search with the labels of these."""

    name: str
    learned: Sequence[str]
    searched: Sequence[str]
    odd: Sequence[bool]
    items: bool = False  # the lines are short ones without an order


def bgl(folder: Path) -> Iterator[Case]:
    """The log with its labels stripped: a known-good half learned, the log itself, and lines cut short."""
    rows = [line.split(" ", 1) for line in (folder / "BGL_2k.log").read_text("utf-8").splitlines()]
    lines, odd = [text for _, text in rows], [label != "-" for label, _ in rows]
    good = [line for line, is_odd in zip(lines, odd, strict=True) if not is_odd]
    draw = random.Random(1)
    draw.shuffle(good)
    learned, rest = good[: len(good) // 2], good[len(good) // 2 :]
    faults = [line for line, is_odd in zip(lines, odd, strict=True) if is_odd]
    yield Case("BGL, a known-good half learned", learned, rest + faults, [False] * len(rest) + [True] * len(faults))
    cut = [place % 3 == 0 for place in range(len(rest))]
    damaged = [
        line[: draw.randint(len(line) // 3, len(line) - 2)] if is_cut else line
        for line, is_cut in zip(rest, cut, strict=True)
    ]
    yield Case("BGL, a third of the lines cut short", learned, damaged, cut)
    yield Case("BGL, the log itself learned", lines, lines, odd)


def by_level(folder: Path, name: str) -> Case:
    """A log itself learned; odd is what the program called ERROR or FATAL, that word being cut out of the lines."""
    level = re.compile(r"\b(INFO|WARN|ERROR|FATAL) ")
    lines = (folder / f"{name}_2k.log").read_text("utf-8").splitlines()
    levels = [found[1] if (found := level.search(line)) else "" for line in lines]
    bare = [level.sub("", line, count=1) for line in lines]
    return Case(f"{name}, the log itself learned", bare, bare, [one in ("ERROR", "FATAL") for one in levels])


def http(folder: Path) -> Iterator[Case]:
    """Half of the ordinary parameters learned; a thousand of the other half and 200 attacks searched."""
    with (folder / "payload_full.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    yield _half("HTTP parameters, attacks", rows, "payload", lambda row: row["label"] != "norm", 6_000, 1_000, 200)


def domains(folder: Path) -> Iterator[Case]:
    """Half of the popular domains learned."""
    with (folder / "dga_domains_sample.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, ["label", "kind", "domain"]))
    yield _half("domains, generated ones", rows, "domain", lambda row: row["label"] == "dga", 4_000, 1_000, 200)


def messages(folder: Path) -> Iterator[Case]:
    """Most of the ordinary messages learned."""
    rows = [line.split("\t", 1) for line in (folder / "SMSSpamCollection").read_text("utf-8").splitlines()[1:]]
    named = [{"label": label, "text": text} for label, text in rows]
    yield _half("text messages, spam", named, "text", lambda row: row["label"] == "spam", 3_500, 1_000, 200)


def _half(
    name: str, rows: list[dict[str, str]], field: str, is_odd: Callable[[dict[str, str]], bool], *sizes: int
) -> Case:
    draw = random.Random(1)
    good = [row[field] for row in rows if not is_odd(row)]
    bad = [row[field] for row in rows if is_odd(row)]
    draw.shuffle(good)
    draw.shuffle(bad)
    learn, ordinary, odd = sizes
    searched = good[learn : learn + ordinary] + bad[:odd]
    labels = [False] * (len(searched) - len(bad[:odd])) + [True] * len(bad[:odd])
    return Case(name, good[:learn], searched, labels, items=True)


def prose(folder: Path) -> Iterator[Case]:
    """The first part learned, lines of other kinds planted among those of the second."""
    lines = [line for line in (folder / "tinyshakespeare.txt").read_text("utf-8").splitlines() if line]
    searched = lines[20_000:21_500] + PLANTED
    yield Case("Shakespeare, planted lines", lines[:20_000], searched, [False] * 1_500 + [True] * len(PLANTED))


CASES = {"bgl": bgl, "http": http, "domains": domains, "messages": messages, "prose": prose}


def auroc(figures: Sequence[float], odd: Sequence[bool]) -> float:
    """The chance that an odd line's figure is above an ordinary one's; equal ones count half."""
    values, labels = np.asarray(figures, dtype=float), np.asarray(odd, dtype=bool)
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = int(labels.sum())
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (len(labels) - positive)))


def model_of(
    case: Case, steps: int, models: Path, hidden_size: int = 128, *, clean: bool = False, seed: int = 1
) -> Model:
    """A model of the lines to learn from, in a folder by the set's name; one that is there already is used."""
    folder = models / "-".join(case.name.replace(",", "").split())
    if not folder.exists():
        text = models / "text.txt"
        text.write_text("\n".join(case.learned) + "\n", encoding="utf-8")
        steps_of_cleaning: list[CleaningName] = ["mask-numbers"] if clean else []
        charloom.train(
            text, folder, steps=steps, hidden_size=hidden_size, num_layers=1, threads=1, items=case.items,
            clean=steps_of_cleaning, seed=seed,
        )  # fmt: skip
    return charloom.load(folder)


def by_charloom(case: Case, steps: int, models: Path) -> dict[str, list[float]]:
    """Each line's bits by every ranking, and by the mean as it is without the line's end."""
    model = model_of(case, steps, models)
    scores = list(model.score_lines(case.searched))
    bare = [one.bits_per_char or 0.0 for one in model.score_texts(case.searched)]
    found = {f"charloom, {by}": [rank(one, by) or 0.0 for one in scores] for by in ("worst", "mean", "total")}
    return {**found, "charloom, mean without line end": bare}


def by_ngrams(case: Case, order: int = 5) -> dict[str, list[float]]:
    """A character 5-gram, line ends included: nats a character and of the costliest."""
    grams = WittenBell((f"{line}\n" for line in case.learned), order)
    costs = [grams.nats(f"{line}\n") for line in case.searched]
    return {"5-gram, worst": [max(one) for one in costs], "5-gram, mean": [sum(one) / len(one) for one in costs]}


def by_forest(case: Case) -> dict[str, list[float]]:
    """TF-IDF of groups of two to four characters, and an isolation forest."""
    try:
        ensemble = import_module("sklearn.ensemble")
        features = import_module("sklearn.feature_extraction.text")
    except ImportError:
        return {}
    vectors = features.TfidfVectorizer(analyzer="char", ngram_range=(2, 4), max_features=3_000)
    forest = ensemble.IsolationForest(n_estimators=100, random_state=1).fit(vectors.fit_transform(case.learned))
    return {"TF-IDF, isolation forest": [-value for value in forest.score_samples(vectors.transform(case.searched))]}


def by_drain(case: Case) -> dict[str, list[float]]:
    """Drain's templates of the learned lines: how rare a searched line's template is; one of none is the oddest."""
    try:
        drain = import_module("drain3")
    except ImportError:
        return {}
    miner = drain.TemplateMiner()
    for line in case.learned:
        miner.add_log_message(line)
    matches = [miner.match(line) for line in case.searched]
    return {"Drain3": [math.inf if match is None else -float(match.size) for match in matches]}


def measure(case: Case, steps: int, models: Path) -> dict[str, float]:
    """AUROC of every way."""
    found = {**by_charloom(case, steps, models), **by_ngrams(case), **by_forest(case), **by_drain(case)}
    return {way: auroc(figures, case.odd) for way, figures in found.items()}


@dataclass(frozen=True)
class Try:
    """One way to rank lines.

    Attributes:
        clean: `mask-numbers`, in learning and in searching.
        mask: what it matches is not charged.
        once: of lines that differ in digits alone one is learned.
        items: the lines are learned as a list of items: each once, in any order.
        halves: of each two lines that follow each other one is scored by a model of the other.
        parts: each fifth of the log is scored by a model of the others.
        beyond: what counts is what a line costs beyond a model of 8 units.
    """

    clean: bool = False
    mask: str = ""
    once: bool = False
    items: bool = False
    halves: bool = False
    parts: bool = False
    beyond: bool = False


TRIES = {
    "the lines as they are": Try(),
    "`--mask` for digits": Try(mask=r"\d"),
    "`--mask` for words with a digit": Try(mask=r"(?<!\S)\S*\d\S*"),
    "`--clean mask-numbers`": Try(clean=True),
    "the same, and lines that differ in digits alone learned once": Try(once=True, clean=True),
    "the same, and `--items`": Try(items=True, clean=True),
    "the same, and `--against` a model of 8 units": Try(beyond=True, clean=True),
    "the same, and every other line by a model of the others": Try(halves=True, clean=True),
    "`charloom cross-score`": Try(parts=True, clean=True),
}


def scores_of_try(tried: Try, case: Case, steps: int, models: Path, seed: int) -> list[Score]:
    """The searched lines' scores."""
    ways = [word for word in ("clean", "once", "items") if getattr(tried, word)]

    def score(learned: Sequence[str], searched: Sequence[str], *part: str) -> list[Score]:
        if tried.once:
            learned = list({re.sub(r"\d", "0", line): line for line in learned}.values())
        own = replace(case, name=" ".join([case.name, *ways, *part]), learned=learned, items=tried.items)
        other = replace(own, name=f"{own.name} tiny")
        against = model_of(other, steps, models, 8, clean=tried.clean, seed=seed) if tried.beyond else None
        model = model_of(own, steps, models, clean=tried.clean, seed=seed)
        return list(model.score_lines(searched, mask=tried.mask or (), against=against))

    if tried.parts:
        text = models / "text.txt"
        text.write_text("\n".join(case.searched) + "\n", encoding="utf-8")
        return charloom.cross_score(text, steps=steps, hidden_size=128, num_layers=1, threads=1, seed=seed)
    if not tried.halves:
        return score(case.learned, case.searched)
    first, second = case.searched[0::2], case.searched[1::2]
    halves = score(second, first, "second"), score(first, second, "first")
    return [one for pair in zip(*halves, strict=True) for one in pair]


def measure_tries(folder: Path, steps: int, models: Path, seeds: int) -> Iterator[tuple[str, str, float]]:
    """AUROC of every try by every ranking and seed, where a log itself is learned and where a known-good half is."""
    good, _, itself = bgl(folder)
    by_levels = {f"{name} itself": by_level(folder, name) for name in ("Zookeeper", "Hadoop")}
    cases = {"BGL itself": itself, **by_levels, "BGL, known-good half": good}
    for name, tried in TRIES.items():
        for said, case in cases.items():
            if case is good and (tried.halves or tried.parts):
                continue
            for seed in range(1, seeds + 1):
                (place := models / str(seed)).mkdir(exist_ok=True)
                scores = scores_of_try(tried, case, steps, place, seed)
                for by in ("worst", "mean"):
                    yield name, f"{said}, {by}", auroc([rank(one, by) or 0.0 for one in scores], case.odd)


def span(figures: Sequence[float]) -> str:
    """A figure; of several the lowest and the highest."""
    return " to ".join(f"{figure:.3f}" for figure in sorted({min(figures), max(figures)}))


def show(table: Mapping[str, Mapping[str, list[float]]]) -> None:
    """A table in Markdown, a row a set."""
    ways = list(dict.fromkeys(way for row in table.values() for way in row))
    print(f"| | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
    for name, row in table.items():
        cells = [span(row[way]) if way in row else "-" for way in ways]
        print(f"| {name} | {' | '.join(cells)} |")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], epilog=FILES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the files are")
    parser.add_argument("--sets", nargs="+", choices=sorted(CASES), default=list(CASES), help="only these")
    parser.add_argument("--steps", type=int, default=600, help="updates of each model")
    parser.add_argument("--models", type=Path, help="keep the models here, and use those that are here already")
    parser.add_argument("--tries", action="store_true", help="what was tried for the log itself, in place of the sets")
    parser.add_argument("--seeds", type=int, default=3, help="models of each of --tries")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args(argv)
    table: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        models = arguments.models or Path(temporary)
        models.mkdir(parents=True, exist_ok=True)
        for name, way, figure in measured(arguments, models):
            table[name][way].append(figure)
            print(f"{name}, {way}: {figure:.3f}", file=sys.stderr, flush=True)
    print(json.dumps(table)) if arguments.json else show(table)


def measured(arguments: argparse.Namespace, models: Path) -> Iterator[tuple[str, str, float]]:
    """Each figure, with its row and column, as it is measured."""
    if arguments.tries:
        yield from measure_tries(arguments.folder, arguments.steps, models, arguments.seeds)
        return
    for name in arguments.sets:
        for case in CASES[name](arguments.folder):
            for way, figure in measure(case, arguments.steps, models).items():
                yield case.name, way, figure


if __name__ == "__main__":
    main()
