"""`charloom novelty`."""

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
from charloom.runtime.novelty import CopiedShare, Novelty, NoveltySettings
from charloom.settings import Precision, SplitName


def novelty(
    model: Path,
    *corpus: CorpusArgument,
    file: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    settings: Annotated[NoveltySettings, Parameter(name="*")] = NoveltySettings(),
    split: SplitName = "train",
    precision: Precision = "auto",
    threads: Threads = 1,
    options: OutputOptions = OutputOptions(),
) -> None:
    """Measure how much of what a model writes occurs word for word in a text.

    Short copies occur in any honest text: where the training split is searched, the same figures are given for the
    validation split, which the model was not trained on.

    Parameters
    ----------
    model
        The model directory.
    corpus
        The text to search; cleaned as the training text was.
    file
        Examine this text instead of letting the model write; - is stdin.
    split
        What to search: train and validation are cut as in training; all is the whole text.
    precision
        Which graph to run; auto takes the one that writes.
    threads
        Processor threads.
    """
    out = Output(options)
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name the corpus to search")
    if file is not None and settings.model_fields_set:
        name = next(iter(settings.model_fields_set)).replace("_", "-")
        raise UsageError(f"--file examines a text that is there, --{name} is for one to be written: leave one out")
    loaded = load(model, threads=threads, precision=precision)
    chosen = settings.model_dump(exclude_none=True)
    with TrainingView(out) as view:
        found = loaded.novelty(specs, file=file, split=split, notify=view, **chosen)
    if out.json:
        out.result(asdict(found))
    else:
        out.sentences(_description(found))


def _description(found: Novelty) -> str:
    origin = "given" if found.seed is None else f"written with seed {found.seed}"
    rows = [
        f"{found.characters:,} characters {origin}, searched for in {found.corpus_characters:,} "
        f"({split_words(found.split)})\n",
        "share of the characters that are in copies of at least",
        _row("", [f"{length} characters" for length in found.copied_fraction], "longest"),
        _share("the text" if found.seed is None else "the model", found),
    ]
    if found.unseen is not None:
        rows.append(_share("real text, unseen", found.unseen))
    if found.items is not None:
        items = found.items
        rows.append(
            f"\n{items.written:,} items, {items.different:,} different ones; {items.listed:,} "
            f"({items.listed / items.written:.1%}) are among those searched"
        )
    for copy in found.copies:
        characters = "1 character" if copy.length == 1 else f"{copy.length:,} characters"
        rows.append(f"\n--- {characters}, from character {copy.offset:,}, line {copy.line:,}\n{copy.text}")
    return "\n".join(rows)


def _share(name: str, share: CopiedShare) -> str:
    return _row(name, [f"{fraction:.2%}" for fraction in share.copied_fraction.values()], f"{share.longest:,}")


def _row(name: str, shares: list[str], longest: str) -> str:
    return f"{name:<18}" + "".join(f"{share:>16}" for share in shares) + f"{longest:>10}"
