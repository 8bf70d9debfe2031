"""The model card: what the model is, how good it is, and what it writes, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from charloom.bundle import CorpusRecord, MemoryRecord, ModelShape
from charloom.bundle.config import CopiedRecord, LikenessRecord, ListedRecord, PrecisionRecord
from charloom.runtime.evaluation import Evaluation
from charloom.training.data import unlike_end
from charloom.training.result import TrainingResult
from charloom.training.temperature import TemperatureChoice
from charloom.version import __version__

_ITEMS = "A list of items, one a line: each different one was learned by itself, in random order.\n"


@dataclass(frozen=True)
class Findings:
    """What is measured of a finished model besides its losses; None where it was not.

    Attributes:
        precision: what int8 costs.
        memory: what it repeats of its training text.
        listed: how many of the items it writes are on the list that it learned.
        likeness: whether the held-out end is like the rest of the text.
        temperature: at which it writes, and why.
    """

    precision: PrecisionRecord | None = None
    memory: MemoryRecord | None = None
    listed: ListedRecord | None = None
    likeness: LikenessRecord | None = None
    temperature: TemperatureChoice | None = None


def model_card(
    shape: ModelShape,
    corpus: CorpusRecord,
    evaluations: Sequence[Evaluation],
    result: TrainingResult,
    findings: Findings = Findings(),
    origin: str | None = None,
) -> bytes:
    """The card: Markdown, in UTF-8.

    Args:
        shape: the network.
        corpus: what it was trained on.
        evaluations: its losses on text that was held out, one for each protocol.
        result: what the run came to.
        findings: what else was measured.
        origin: the name of the model that it started from; None where it started from nothing.
    """
    seen = "It has seen nothing else." if origin is None else _origin_lines(origin, result)
    embedding = f"embedding {shape.embedding_size}" if shape.embedding_size else "one-hot input"
    text = f"""# A character-level language model

{shape.cell.upper()}, {shape.num_layers} × {shape.hidden_size}, {embedding}, {shape.parameters:,} parameters,
trained by charloom {__version__}.

## What it was trained on

{", ".join(corpus.sources)}: {corpus.characters:,} characters, {shape.vocab_size} symbols ({corpus.vocabulary}).
{_ITEMS if corpus.items else ""}Cleaning: {", ".join(corpus.cleaning) or "none"}.
SHA-256 of the cleaned text: `{corpus.sha256}`.

{seen} It knows spelling and rhythm, not facts, and it may repeat its text word for word.

## How well it predicts

Measured on {_held_out(corpus)}. Figures of different protocols cannot be compared.
{_unlike_line(findings.likeness)}
{_losses_table(evaluations)}
{"" if findings.precision is None else _precision_lines(findings.precision)}
Training: {result.epochs:.2f} epochs, {result.steps:,} steps, {result.seconds:,.0f} s
({result.characters_per_second:,.0f} characters a second). The weights are those after step {result.best_step:,},
the best seen.

![Loss while training](loss.svg)

## What it writes

From nothing, with the default sampling:

~~~text
{result.sample}
~~~
{_findings_on_writing(findings)}
## Use it

~~~sh
charloom generate PATH-OF-THIS-FOLDER {"--items 10" if corpus.items else '--prompt "..."'}
~~~
"""
    return text.encode("utf-8", "replace")


def _findings_on_writing(findings: Findings) -> str:
    temperature, memory, listed = findings.temperature, findings.memory, findings.listed
    return (
        ("" if temperature is None else _temperature_lines(temperature))
        + ("" if memory is None else _memory_section(memory))
        + ("" if listed is None else _listed_section(listed))
    )


def _origin_lines(origin: str, result: TrainingResult) -> str:
    """What it started from, and what it lost of that."""
    old = result.old_text
    started = f"It started from the weights of the model {origin}"
    if old is None:
        return f"{started}, and knows what it kept of that model's text."
    learned = "learned it again beside the new text" if old["kept"] else "has not seen it again"
    return (
        f"{started}, which had learned {old['name']}, and {learned}.\nOn {old['characters']:,} characters held out of "
        f"that text, by `{old['protocol']}`, the old model had {old['before']:.4f} nats\nand this one has "
        f"{old['after']:.4f}."
    )


def _held_out(corpus: CorpusRecord) -> str:
    """The text that was measured on, in words."""
    if corpus.validation:
        return f"a text of its own, {corpus.validation}"
    bounded = (corpus.validation_characters or math.inf) < corpus.validation_fraction * corpus.characters
    at_most = f", at most {corpus.validation_characters:,} characters" if bounded else ""
    share = f"the last {corpus.validation_fraction:.0%} ({corpus.validation_split})"
    if corpus.validation_split == "blocks":
        share = f"{corpus.validation_fraction:.0%} in blocks scattered over the text"
    if corpus.items:
        share = f"{corpus.validation_fraction:.0%} of the items, taken at random"
    return f"{share}{at_most}, which it was not trained on"


def _unlike_line(likeness: LikenessRecord | None) -> str:
    if likeness is None or not likeness.unlike:
        return ""
    words = unlike_end(likeness.held_out, likeness.learned)
    return f"\n**{words[0].upper()}{words[1:]}.**\n"


def _losses_table(evaluations: Sequence[Evaluation]) -> str:
    rows = [
        f"| {one.protocol} | {one.loss:.4f} | {one.bits_per_char:.4f} | {one.perplexity:.3f} | {one.characters:,} |"
        for one in evaluations
    ]
    return "\n".join(
        ["| Protocol | Nats | Bits a character | Perplexity | Characters |", "|---|---|---|---|---|", *rows]
    )


def _precision_lines(precision: PrecisionRecord) -> str:
    writes = "int8" if precision.int8_is_faithful else "float32"
    return f"""
On {precision.characters:,} characters of it, by `windows-256`, int8 has {precision.int8:.4f} nats and float32
{precision.float32:.4f}: it writes and scores with {writes}. The losses above are of float32.
"""


def _temperature_lines(temperature: TemperatureChoice) -> str:
    return f"""
It writes at temperature {temperature.reason}.
Another is set with `--temperature`, or for good in `generation_config.json`.
"""


def _memory_section(memory: MemoryRecord) -> str:
    recited = memory.recited
    rows = [_copied_row("this model", memory.written)]
    if memory.unseen is not None:
        rows.append(_copied_row("real text that it was not trained on", memory.unseen))
    table = "\n".join(rows)
    return f"""
## What it has memorized

Given {recited.prompt_length} characters of its training text, it went on for {recited.length} without a fault
in **{recited.exact} of {recited.samples}** passages; on average the first {recited.mean_matched:.1f} characters
were right.

How much of a text occurs word for word in the first {memory.searched:,} characters it was trained on, in copies of at
least 20, 50 and 100 characters:

| Text | Characters | 20 | 50 | 100 | Longest copy |
|---|---|---|---|---|---|
{table}

(`charloom recite` and `charloom novelty` measure it again, on more.)
"""


def _listed_section(listed: ListedRecord) -> str:
    return f"""
## What is on the list

Of {listed.written:,} items that it wrote, {listed.listed:,} ({listed.listed / listed.written:.1%}) are on the list that
it learned; `--new` leaves them out.
"""


def _copied_row(name: str, copied: CopiedRecord) -> str:
    shares = " | ".join(f"{fraction:.1%}" for fraction in copied.copied_fraction.values())
    return f"| {name} | {copied.characters:,} | {shares} | {copied.longest:,} |"
