"""How well odd lines are found: public labelled sets, each ranked by charloom and by simpler ways.

Every set is lines to learn from and lines to search, some of these labelled odd. A way gives each searched line a
number; the figure is AUROC, the chance that an odd line has a higher number than an ordinary one (0.5 is guessing).

The files are not part of the project: `--help` names them. scikit-learn and Drain3 are left out where they are not
installed.

    python benchmarks/odd_lines.py FOLDER
    python benchmarks/odd_lines.py FOLDER --tries

The second measures what was tried for a log of which no good day is to be had: two logs that are learned
themselves, and for comparison a known-good half.
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
from collections.abc import Callable, Iterator, Sequence
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


def hadoop(folder: Path) -> Case:
    """The log itself learned; odd is what the program called ERROR or FATAL, that word being cut out of the lines."""
    level = re.compile(r"\b(INFO|WARN|ERROR|FATAL) ")
    lines = (folder / "Hadoop_2k.log").read_text("utf-8").splitlines()
    levels = [found[1] if (found := level.search(line)) else "" for line in lines]
    bare = [level.sub("", line, count=1) for line in lines]
    return Case("Hadoop, the log itself learned", bare, bare, [one in ("ERROR", "FATAL") for one in levels])


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


def model_of(case: Case, steps: int, models: Path, hidden_size: int = 128, *, clean: bool = False) -> Model:
    """A model of the lines to learn from, in a folder by the set's name; one that is there already is used."""
    folder = models / "-".join(case.name.replace(",", "").split())
    if not folder.exists():
        text = models / "text.txt"
        text.write_text("\n".join(case.learned) + "\n", encoding="utf-8")
        steps_of_cleaning: list[CleaningName] = ["mask-numbers"] if clean else []
        charloom.train(
            text, folder, steps=steps, hidden_size=hidden_size, num_layers=1, threads=1, items=case.items,
            clean=steps_of_cleaning,
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
        halves: each half of the lines is scored by a model of the other.
        beyond: what counts is what a line costs beyond a model of 8 units.
    """

    clean: bool = False
    mask: str = ""
    once: bool = False
    halves: bool = False
    beyond: bool = False


WITH_DIGIT = r"(?<!\S)\S*\d\S*"
TRIES = {
    "the lines as they are": Try(),
    "--mask for digits": Try(mask=r"\d"),
    "--mask for words with a digit": Try(mask=WITH_DIGIT),
    "--clean mask-numbers": Try(clean=True),
    "each half by a model of the other": Try(halves=True),
    "each half by a model of the other, --mask for words with a digit": Try(halves=True, mask=WITH_DIGIT),
    "each half by a model of the other, --clean mask-numbers": Try(halves=True, clean=True),
    "lines that differ in digits alone learned once": Try(once=True),
    "lines that differ in digits alone learned once, --clean mask-numbers": Try(once=True, clean=True),
    "--against a model of 8 units": Try(beyond=True),
    "--against a model of 8 units, --clean mask-numbers": Try(beyond=True, clean=True),
}


def scores_of_try(tried: Try, case: Case, steps: int, models: Path) -> list[Score]:
    """The searched lines' scores."""
    ways = [word for word in ("clean", "once") if getattr(tried, word)]

    def score(learned: Sequence[str], searched: Sequence[str], *part: str) -> list[Score]:
        if tried.once:
            learned = list({re.sub(r"\d", "0", line): line for line in learned}.values())
        own = replace(case, name=" ".join([case.name, *ways, *part]), learned=learned)
        other = replace(own, name=f"{own.name} tiny")
        against = model_of(other, steps, models, hidden_size=8, clean=tried.clean) if tried.beyond else None
        model = model_of(own, steps, models, clean=tried.clean)
        return list(model.score_lines(searched, mask=tried.mask or (), against=against))

    if not tried.halves:
        return score(case.learned, case.searched)
    first, second = case.searched[0::2], case.searched[1::2]
    halves = score(second, first, "second"), score(first, second, "first")
    return [one for pair in zip(*halves, strict=True) for one in pair]


def measure_tries(folder: Path, steps: int, models: Path) -> dict[str, dict[str, float]]:
    """AUROC of every try by every ranking, where the log itself is learned and where a known-good half is."""
    good, _, itself = bgl(folder)
    cases = {"BGL itself": itself, "Hadoop itself": hadoop(folder), "BGL, known-good half": good}
    table: dict[str, dict[str, float]] = {}
    for name, tried in TRIES.items():
        table[name] = {}
        for said, case in cases.items():
            if case is itself or not (tried.halves or tried.once):
                scores = scores_of_try(tried, case, steps, models)
                for by in ("worst", "mean"):
                    table[name][f"{said}, {by}"] = auroc([rank(one, by) or 0.0 for one in scores], case.odd)
        print(name, table[name], file=sys.stderr, flush=True)
    return table


def show(table: dict[str, dict[str, float]]) -> None:
    """A table in Markdown, a row a set."""
    ways = list(dict.fromkeys(way for row in table.values() for way in row))
    print(f"| | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
    for name, row in table.items():
        cells = [f"{row[way]:.3f}" if way in row else "-" for way in ways]
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
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    arguments = parser.parse_args(argv)
    table: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        models = arguments.models or Path(temporary)
        models.mkdir(parents=True, exist_ok=True)
        if arguments.tries:
            table = measure_tries(arguments.folder, arguments.steps, models)
        names = [] if arguments.tries else arguments.sets
        for case in (case for name in names for case in CASES[name](arguments.folder)):
            table[case.name] = measure(case, arguments.steps, models)
            print(case.name, table[case.name], file=sys.stderr, flush=True)
    print(json.dumps(table)) if arguments.json else show(table)


if __name__ == "__main__":
    main()
