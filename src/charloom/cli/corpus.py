"""`charloom corpus`: list the named corpora, look at a text as a model would see it, prepare a large one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import App, Group, Parameter
from pydantic import Field

from charloom.cli.arguments import CorpusArgument, Destination, Whole, corpus_specs
from charloom.cli.examples import prologue
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.display import typed, visible
from charloom.errors import UsageError
from charloom.files import expand_home
from charloom.settings import CorpusSettings, ReadingSettings
from charloom.text.corpus import Corpus, build_vocabulary, load_corpus
from charloom.text.named import NAMED
from charloom.text.prepared import PreparedCorpus, load_ids, prepared_among
from charloom.text.preparing import prepare_corpus
from charloom.text.vocabulary import CharacterVocabulary, Ids, Vocabulary

corpus_app = App(
    name="corpus",
    help="Named corpora, a look at any text before training, large texts prepared.",
    help_prologue=prologue("corpus"),
)
_EXAMPLE = 20  # characters of the encoded example


@corpus_app.command(name="list", help_prologue=prologue("corpus list"))
def list_corpora(*, options: OutputOptions = OutputOptions()) -> None:
    """The corpora that have a name."""
    out = Output(options)
    for corpus in NAMED.values():
        if out.json:
            out.result({"name": corpus.name, "description": corpus.description})
        else:
            out.sentences(f"{corpus.name:<18}{corpus.description}")


@corpus_app.command(help_prologue=prologue("corpus show"))
def show(
    *corpus: CorpusArgument,
    text: Annotated[CorpusSettings, Parameter(name="*", group=Group("Text"))] = CorpusSettings(),
    first: Annotated[int, Field(ge=0, le=100_000), Whole] = 250,
    options: OutputOptions = OutputOptions(),
) -> None:
    """Show a text as a model would see it: counts, vocabulary, first characters, an encoded example.

    Parameters
    ----------
    corpus
        Files, folders, globs, - (stdin), addresses or names; or a prepared corpus, which is verified.
    first
        How many of the first characters to show.
    """
    out = Output(options)
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name a corpus to show; charloom corpus list names some")
    prepared = prepared_among(specs)
    if prepared is not None:
        data = _of_prepared(prepared, text, first)
    else:
        with TrainingView(out) as view:
            data = _of_text(load_corpus(specs, text, view), text, first)
    if out.json:
        out.result(data)
    else:
        _show_for_people(out, data)


@corpus_app.command(help_prologue=prologue("corpus prepare"))
def prepare(
    *corpus: CorpusArgument,
    output: Annotated[Path, Destination],
    workers: Annotated[int | None, Field(ge=1, le=1024), Whole] = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    text: Annotated[ReadingSettings, Parameter(name="*", group=Group("Text"))] = ReadingSettings(),
    options: OutputOptions = OutputOptions(),
) -> None:
    """Encode a corpus of any size ahead, in bounded memory, so that training reads it from the disk.

    Then: charloom train FOLDER -o MODEL. On the way the folder needs room for the text twice.

    Parameters
    ----------
    corpus
        Files, folders, globs, - (stdin), addresses or names; .gz, .zst, .bz2 and .xz are unpacked.
    output
        The folder to write.
    workers
        Processes that share the files among them; a run that was killed continues with the files that are finished.
    overwrite
        Replace the prepared corpus that is there.
    """
    out = Output(options)
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name a corpus to prepare")
    started = time.perf_counter()
    with TrainingView(out) as view:
        record, read = prepare_corpus(
            specs, expand_home(output), text, overwrite=overwrite, workers=workers, notify=view
        )
    seconds = time.perf_counter() - started
    vocab_size = PreparedCorpus(expand_home(output)).vocabulary.size
    if out.json:
        kept = record.model_dump(include={"characters", "unknown", "sha256", "sources", "cleaning"})
        out.result({"path": str(output), **kept, "vocab_size": vocab_size, "bytes": read, "seconds": seconds})
        return
    out.sentences(
        f"{record.characters:,} characters, {vocab_size} symbols, {record.unknown:,} characters unknown "
        f"({read / 1e6:,.1f} MB in {seconds:.1f} s, {read / 1e6 / seconds:,.0f} MB/s)\nsha256 {record.sha256}"
    )
    out.say(f"now try:\n    {typed('charloom', 'train', output, '-o', 'runs/mine')}", style="bold")


def _of_text(corpus: Corpus, settings: CorpusSettings, first: int) -> dict[str, object]:
    vocabulary = build_vocabulary(corpus, settings)
    ids = vocabulary.encode(corpus.text)
    return {
        "sources": list(corpus.sources),
        "cleaning": list(corpus.cleaning),
        "characters": len(corpus.text),
        "lines": corpus.text.count("\n") + (not corpus.text.endswith("\n")),
        "vocab_size": vocabulary.size,
        "vocabulary": _symbols(vocabulary),
        "unknown": 0 if vocabulary.unknown_id is None else int(np.count_nonzero(ids == vocabulary.unknown_id)),
        "sha256": corpus.sha256,
        "first": corpus.text[:first],
        "example": _example(vocabulary, ids),
    }


def _of_prepared(prepared: PreparedCorpus, settings: CorpusSettings, first: int) -> dict[str, object]:
    """The same of a prepared corpus, every byte of it verified. With a bytes vocabulary `first` counts bytes."""
    prepared.adopt(settings)
    prepared.verify()
    record, vocabulary, ids = prepared.record, prepared.vocabulary, prepared.whole.ids[1:]
    return {
        **record.model_dump(include={"sources", "cleaning", "characters", "lines", "unknown", "sha256"}),
        "vocab_size": vocabulary.size,
        "vocabulary": _symbols(vocabulary),
        "first": vocabulary.decode(load_ids(ids[:first])),
        "example": _example(vocabulary, ids),
    }


def _example(vocabulary: Vocabulary, ids: Ids) -> dict[str, object]:
    example = load_ids(ids[: _EXAMPLE + 1])
    return {
        "input": vocabulary.decode(example[:-1]),
        "input_ids": example[:-1].tolist(),
        "target": vocabulary.decode(example[1:]),
        "target_ids": example[1:].tolist(),
    }


def _symbols(vocabulary: Vocabulary) -> str:
    return "".join(vocabulary.characters) if isinstance(vocabulary, CharacterVocabulary) else "the 256 bytes"


def _show_for_people(out: Output, data: dict[str, object]) -> None:
    example = data["example"]
    assert isinstance(example, dict)
    out.sentences(
        f"sources     {visible(', '.join(map(str, _list(data['sources']))))}\n"
        f"cleaning    {visible(', '.join(map(str, _list(data['cleaning'])))) or 'none'}\n"
        f"characters  {data['characters']:,}\n"
        f"lines       {data['lines']:,}\n"
        f"symbols     {data['vocab_size']} (the unknown character's id 0 included): {data['vocabulary']!r}\n"
        f"unknown     {data['unknown']:,}\n"
        f"sha256      {data['sha256']}\n\n"
        f"--- the beginning\n{data['first']}\n\n"
        f"--- the first {_EXAMPLE} characters as a model reads them: what goes in, and what it is to guess\n"
        f"input   {example['input']!r}\n        {example['input_ids']}\n"
        f"target  {example['target']!r}\n        {example['target_ids']}"
    )


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
