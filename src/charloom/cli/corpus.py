"""`charloom corpus`: list the named corpora, look at a text as a model would see it."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from cyclopts import App, Group, Parameter
from pydantic import Field

from charloom.cli.arguments import CorpusArgument, corpus_specs
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.errors import UsageError
from charloom.settings import CorpusSettings
from charloom.text.corpus import build_vocabulary, load_corpus
from charloom.text.named import NAMED
from charloom.text.vocabulary import CharacterVocabulary, Vocabulary

corpus_app = App(name="corpus", help="Named corpora, and a look at any text before training.")
_EXAMPLE = 20  # characters of the encoded example


@corpus_app.command(name="list")
def list_corpora(*, options: OutputOptions = OutputOptions()) -> None:  # noqa: B008
    """The corpora that have a name."""
    out = Output(options)
    for corpus in NAMED.values():
        if out.json:
            out.result({"name": corpus.name, "description": corpus.description})
        else:
            out.text(f"{corpus.name:<18}{corpus.description}")


@corpus_app.command
def show(
    *corpus: CorpusArgument,
    text: Annotated[CorpusSettings, Parameter(name="*", group=Group("Text"))] = CorpusSettings(),  # noqa: B008
    first: Annotated[int, Field(ge=0, le=100_000)] = 250,
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Show a text as a model would see it: counts, vocabulary, first characters, an encoded example.

    Parameters
    ----------
    corpus
        Files, folders, globs, - (stdin), addresses or names.
    first
        How many of the first characters to show.
    """
    out = Output(options)
    specs = corpus_specs(corpus)
    if not specs:
        raise UsageError("name a corpus to show; charloom corpus list names some")
    with TrainingView(out) as view:
        loaded = load_corpus(specs, text, view)
    vocabulary = build_vocabulary(loaded, text)
    ids = vocabulary.encode(loaded.text)
    example = ids[: _EXAMPLE + 1]
    data = {
        "sources": list(loaded.sources),
        "cleaning": list(loaded.cleaning),
        "characters": len(loaded.text),
        "lines": loaded.text.count("\n") + (not loaded.text.endswith("\n")),
        "vocab_size": vocabulary.size,
        "vocabulary": _symbols(vocabulary),
        "unknown": 0 if vocabulary.unknown_id is None else int(np.count_nonzero(ids == vocabulary.unknown_id)),
        "sha256": loaded.sha256,
        "first": loaded.text[:first],
        "example": {
            "input": vocabulary.decode(example[:-1]),
            "input_ids": example[:-1].tolist(),
            "target": vocabulary.decode(example[1:]),
            "target_ids": example[1:].tolist(),
        },
    }
    if out.json:
        out.result(data)
    else:
        _show_for_people(out, data)


def _symbols(vocabulary: Vocabulary) -> str:
    return "".join(vocabulary.characters) if isinstance(vocabulary, CharacterVocabulary) else "the 256 bytes"


def _show_for_people(out: Output, data: dict[str, object]) -> None:
    example = data["example"]
    assert isinstance(example, dict)
    out.text(
        f"sources     {', '.join(map(str, _list(data['sources'])))}\n"
        f"cleaning    {', '.join(map(str, _list(data['cleaning']))) or 'none'}\n"
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
