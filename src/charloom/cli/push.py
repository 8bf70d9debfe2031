"""`charloom push`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from charloom.bundle import ModelConfig, open_model_directory
from charloom.bundle.config import KNOWN_ITEMS
from charloom.bundle.push import parse_target
from charloom.bundle.push import push as push_model
from charloom.cli.consent import ask_agreement
from charloom.cli.output import Output, OutputOptions
from charloom.display import typed

_MOST_SOURCES = 3


def push(
    model: Path,
    to: str,
    *,
    public: Annotated[bool, Parameter(negative=())] = False,
    yes: Annotated[bool, Parameter(negative=())] = False,
    options: OutputOptions = OutputOptions(),
) -> int:
    """Put a model on the Hugging Face Hub; every command then takes its address instead of a folder.

    Only the model's own files are sent, in one commit. What is new there is private: only you, or your organization,
    can see it. Log in first with hf auth login, or set HF_TOKEN. Needs the hub extra.

    Parameters
    ----------
    model
        The model directory.
    to
        Where to: hf://user/name, or hf://user/name@branch. A charloom model that is there is replaced, and stays in the
        history.
    public
        Let everybody read the model. What that makes known is said, and asked about.
    yes
        Agree to that beforehand.
    """
    out, address = Output(options), parse_target(to)
    if public:
        config = open_model_directory(model).config
        if not ask_agreement(out, "make it public?", yes=yes, about=f"{address} {_what_becomes_public(config)}"):
            out.say("nothing was sent")
            return 1
    pushed = push_model(model, to, public=public)
    if out.json:
        out.result(asdict(pushed))
        return 0
    visibility = "private" if pushed.private else "public"
    out.text(f"{pushed.address}: {visibility}, {len(pushed.files)} files, {pushed.bytes:,} bytes\n{pushed.url}")
    out.say(f"now try:\n    {typed('charloom', 'generate', pushed.address)}", style="bold")
    return 0


def _what_becomes_public(config: ModelConfig) -> str:
    """What everybody can learn from the model, in a sentence or two."""
    corpus, memory = config.corpus, config.memory
    more = "" if len(corpus.sources) <= _MOST_SOURCES else " and others"
    names = ", ".join(corpus.sources[:_MOST_SOURCES]) + more
    recited = (
        "It may repeat that text word for word"
        if memory is None
        else f"It has memorized {memory.recited.exact} of {memory.recited.samples} passages that were tried, "
        f"{memory.recited.length} characters each"
    )
    guessed = (
        " Its hashes of the items tell who guesses one that it is on the list." if KNOWN_ITEMS in config.files else ""
    )
    return f"will be public, with a model of {corpus.characters:,} characters of {names}.{guessed} {recited}"
