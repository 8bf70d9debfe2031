"""`charloom recite`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from charloom.cli.arguments import CorpusArgument, Threads, corpus_specs, split_words
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.errors import UsageError
from charloom.runtime.model import load
from charloom.runtime.recitation import Passage, Recitation, ReciteSettings
from charloom.settings import Precision, SplitName


def recite(
    model: Path,
    *corpus: CorpusArgument,
    settings: Annotated[ReciteSettings, Parameter(name="*")] = ReciteSettings(),
    split: SplitName = "train",
    precision: Precision = "auto",
    threads: Threads = 1,
    options: OutputOptions = OutputOptions(),
) -> None:
    """Measure how much of a text a model has memorized.

    It is given the beginnings of random passages, goes on with the likeliest character every time (temperature 0),
    and is compared with the text character by character.

    Parameters
    ----------
    model
        The model directory.
    corpus
        The text; cleaned as the training text was.
    split
        Where the passages are from: train and validation are cut as in training; all is the whole text.
    precision
        Which graph to run; auto takes the one that writes.
    threads
        Processor threads.
    """
    out = Output(options)
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name the corpus to recite")
    loaded = load(model, threads=threads, precision=precision)
    with TrainingView(out) as view:
        found = loaded.recite(specs, split=split, notify=view, **settings.model_dump())
    if out.json:
        out.result(asdict(found))
    else:
        out.sentences(_description(found))


def _description(found: Recitation) -> str:
    parts = [
        f"{found.exact} of {found.samples} passages recited without a fault: {found.length:,} characters after "
        f"{found.prompt_length:,}\n"
        f"({split_words(found.split)}, seed {found.seed}; on average the first {found.mean_matched:.1f} "
        f"characters are right)"
    ]
    if found.recited is not None:
        parts.append(f"--- recited, from character {found.recited.offset:,}\n{_show_passage(found.recited)}")
    if found.failed is not None:
        wrong = found.failed
        parts.append(
            f"--- failed after {wrong.matched:,}, from character {wrong.offset:,}\n{_show_passage(wrong)}\n"
            f"--- the text says\n{wrong.prompt} | {wrong.expected}"
        )
    return "\n\n".join(parts)


def _show_passage(passage: Passage) -> str:
    return f"{passage.prompt} | {passage.written}"
