"""`charloom cross-score`."""

from __future__ import annotations

import time
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import Field

from charloom.cli.arguments import CorpusArgument, NameOrFile, Whole, corpus_specs
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.cli.score import MAX_TOP, Tally, most_surprising, score_view, show_scores, summarize
from charloom.cli.train import CorpusOptions, LearningRunOptions, NetworkOptions
from charloom.errors import UsageError
from charloom.interrupts import end_as_interrupt
from charloom.report import duration
from charloom.runtime.scores import Ranking
from charloom.settings import CorpusSettings, ModelSettings, TrainingSettings


def cross_score(
    *corpus: CorpusArgument,
    parts: Annotated[int, Whole] = 5,
    top: Annotated[int, Field(ge=1, le=MAX_TOP), Whole] = 20,
    by: Ranking = "worst",
    mask: tuple[str, ...] = (),
    recipe: NameOrFile | None = None,
    csv: Annotated[bool, Parameter(negative=())] = False,
    text: CorpusOptions = CorpusSettings(),
    network: NetworkOptions = ModelSettings(),
    learning: LearningRunOptions = TrainingSettings(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Find odd lines in a log of which no good day is to be had: each is scored by a model of the other parts.

    The models are not kept. What is odd for a short time only, in one part, is found; what is odd all the time is not.
    Where there is a good day, learn that: charloom train, then charloom score.

    Parameters
    ----------
    corpus
        The log: files, folders, globs, addresses, names; - is stdin.
    parts
        How many parts of as many lines the log is cut into, and models trained; --budget is for all of them together.
    top
        Only this many lines, the most surprising first.
    by
        What --top ranks by: worst, the costliest character; mean, the bits per character; total, the bits of all of it.
    mask
        A regular expression, such as '[0-9]+': what it matches is read and not charged. May be repeated.
    recipe
        A named set of settings (charloom train --help), or a YAML file. Options go over it.
    csv
        Write a table in CSV.
    """
    import charloom

    out = Output(options)
    if csv and out.json:
        raise UsageError("give --csv or --json, not both")
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name a file to score, or - for standard input")
    chosen: dict[str, Any] = {}
    for group in (text, network, learning):
        chosen |= group.model_dump(exclude_unset=True)
    started = time.perf_counter()
    recipe = None if recipe is None else str(recipe)
    with end_as_interrupt(), TrainingView(out, samples=False) as view:
        found = charloom.cross_score(specs, parts=parts, recipe=recipe, mask=mask, notify=view, **chosen)
    tally = Tally(iter(found))
    scores = most_surprising(tally, top, by)
    show_scores(score_view(out, csv=csv, per_char=False, lines=True, beyond=False), scores)
    summarize(out, tally, "line", f"{parts} models in {duration(time.perf_counter() - started)}")
