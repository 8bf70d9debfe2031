"""`charloom evaluate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from charloom.cli.arguments import CorpusArgument, Threads, corpus_specs, split_words
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.errors import UsageError
from charloom.runtime.model import load
from charloom.settings import Precision, Protocol, SplitName


def evaluate(
    model: Path,
    *corpus: CorpusArgument,
    split: SplitName = "validation",
    protocol: Protocol = "stateful",
    precision: Precision = "float32",
    threads: Threads = 1,
    options: OutputOptions = OutputOptions(),
) -> None:
    """Measure how well a model predicts a corpus.

    Parameters
    ----------
    model
        The model directory.
    corpus
        What to measure on; cleaned as the training text was.
    split
        validation and train are cut as in training; all is the whole text.
    protocol
        stateful: read once, state carried. windows-256, cold-60: windows that each start from nothing.
        Never compare figures of different protocols.
    precision
        Which graph to run.
    threads
        Processor threads.
    """
    out = Output(options)
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name a corpus to evaluate on")
    with TrainingView(out) as view:
        found = load(model, threads=threads, precision=precision).evaluate(
            specs, split=split, protocol=protocol, notify=view
        )
    if out.json:
        more = {} if found.items is None else {"bits_per_item": found.bits_per_item}
        out.result({**asdict(found), **more, "split": split})
        return
    per_byte = "" if found.bits_per_byte is None else f", {found.bits_per_byte:.4f} bits per byte"
    unknown = f"; {found.unknown:,} of them unknown to the model" if found.unknown else ""
    items = "" if found.items is None else f"; {found.items:,} items of {found.bits_per_item:.2f} bits each"
    out.sentences(
        f"{found.loss:.4f} nats, {found.bits_per_char:.4f} bits per character{per_byte}, "
        f"perplexity {found.perplexity:.3f}\n"
        f"({found.protocol} on {split_words(split)}: {found.characters:,} characters{unknown}{items})"
    )
