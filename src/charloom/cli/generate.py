"""`charloom generate`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter
from pydantic import Field

from charloom.cli.arguments import Threads, Whole
from charloom.cli.output import Output, OutputOptions
from charloom.cli.texts import read_text
from charloom.errors import UsageError
from charloom.runtime.generation import Generation, TextStream
from charloom.runtime.model import MAX_SAMPLES, load
from charloom.settings import Precision, SamplingSettings

MAX_ITEMS = 1_000_000
MOST_EXCLUDED = 1 << 30  # bytes
_SAMPLING = Group("Sampling (defaults are the model's generation_config.json)", sort_key=10)


def generate(
    model: Path,
    *,
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    prompt_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    samples: Annotated[int, Field(ge=1, le=MAX_SAMPLES), Whole] = 1,
    items: Annotated[int | None, Field(ge=1, le=MAX_ITEMS), Whole] = None,
    new: Annotated[bool, Parameter(negative=())] = False,
    exclude: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    sampling: Annotated[SamplingSettings, Parameter(name="*", group=_SAMPLING)] = SamplingSettings(),
    surprise: Annotated[bool, Parameter(negative=())] = False,
    stream: bool | None = None,
    threads: Threads = 1,
    precision: Precision = "auto",
    adapt: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    options: OutputOptions = OutputOptions(),
) -> None:
    """Continue a prompt with a trained model.

    Parameters
    ----------
    model
        The model directory.
    prompt
        What to continue; without one the text starts from nothing.
    prompt_file
        A UTF-8 file with the prompt; - is stdin.
    samples
        How many continuations to write, in one batch; sample i has seed + i.
    items
        Instead, so many different items, such as names, one a line; an item ends at a line end.
    new
        With --items, leave out what is on the list that the model learned.
    exclude
        A UTF-8 file with an item a line; those are left out; - is stdin.
    surprise
        Colour each character by how little the model expected it, on a terminal; --json gives the bits.
    stream
        Show characters as they come (the default on a terminal).
    threads
        Processor threads.
    precision
        Which graph to run; auto takes int8, the faster, where it is about as good as float32.
    adapt
        A text to adjust the model's weights to, for this run only (needs the train extra); - is stdin.
    """
    out = Output(options)
    _check_together(samples, items, stream=bool(stream), surprise=surprise)
    _check_left_out(items, exclude, new=new)
    known = _excluded(exclude, (prompt_file, adapt))
    if adapt is not None:
        from charloom.cli.adapting import adapt_to_file, check_adapting

        check_adapting(adapt, prompt_file, precision)
    start = _prompt(prompt, prompt_file)
    loaded, more = load(model, threads=threads, precision=precision), dict[str, Any]()
    if adapt is not None:
        loaded, more["adapted"] = adapt_to_file(out, loaded, adapt)
    if items is not None:
        _warn_of_unknown(out, tuple(loaded.vocabulary.unknown_characters(start)))
        _show_items(out, loaded.items(items, start, new=new, exclude=known, settings=sampling), items, more)
    elif samples > 1:
        if sampling.temperature == 0 and "temperature" in sampling.model_fields_set:
            out.warn("at temperature 0 the likeliest character is always taken: all samples are the same")
        _show_samples(out, loaded.generate_samples(start, samples, sampling), more, surprise=surprise)
    else:
        wanted = sys.stdout.isatty() and not surprise if stream is None else stream
        _show_one(out, loaded.stream(start, sampling), start, more, stream=wanted, surprise=surprise)


def _check_together(samples: int, items: int | None, *, stream: bool, surprise: bool) -> None:
    """Refuse what is written in different ways."""
    if samples > 1 and stream:
        raise UsageError("--stream shows one text: leave it out, or leave --samples out")
    if surprise and (items is not None or stream):
        raise UsageError("--surprise colours whole texts: leave --items and --stream out")
    if items is not None and (samples > 1 or stream):
        raise UsageError("--items writes one item a line: leave --samples and --stream out")


def _check_left_out(items: int | None, exclude: Path | None, *, new: bool) -> None:
    """Only items can be left out."""
    if items is None and (new or exclude is not None):
        raise UsageError(f"{'--new' if new else '--exclude'} leaves items out: say how many to write, as in --items 10")


def _excluded(file: Path | None, others: tuple[Path | None, ...]) -> frozenset[str]:
    """The items to leave out, read before the model; `others` are further files that may be stdin."""
    if file is None:
        return frozenset()
    if str(file) == "-" and file in others:
        raise UsageError("only one of --exclude, --prompt-file and --adapt can be stdin")
    text = read_text(file, "the list", MOST_EXCLUDED).replace("\r\n", "\n").replace("\r", "\n")
    return frozenset(text.split("\n"))


def _prompt(prompt: str | None, file: Path | None) -> str:
    if prompt is not None and file is not None:
        raise UsageError("give --prompt or --prompt-file, not both")
    return (prompt or "") if file is None else read_text(file, "the prompt")


def _show_one(out: Output, text: TextStream, start: str, more: dict[str, Any], *, stream: bool, surprise: bool) -> None:
    _warn_of_unknown(out, text.unknown)
    if stream and not out.json:
        out.prose(chain([start], text))
        _summarize(out, [text.finish()])
    else:
        _show_texts(out, [text.finish()], more, surprise=surprise)


def _show_samples(out: Output, generations: list[Generation], more: dict[str, Any], *, surprise: bool) -> None:
    _warn_of_unknown(out, generations[0].unknown)
    _show_texts(out, generations, more, surprise=surprise)


def _show_texts(out: Output, generations: list[Generation], more: dict[str, Any], *, surprise: bool) -> None:
    """Whole texts: as JSON, coloured, or as they are; several have their seeds above them on a terminal alone."""
    colours = surprise and not out.json and out.has_colours
    for number, generation in enumerate(generations):
        if out.json:
            costs = {"per_char": generation.per_char} if surprise else {}
            out.result({**asdict(generation), **costs, **more})
            continue
        if len(generations) > 1 and sys.stdout.isatty():
            out.text(("" if number == 0 else "\n") + f"--- seed {generation.seed}")
        if colours:
            _show_coloured(out, generation)
        else:
            out.prose([generation.full_text])
    if colours:
        _show_legend(out)
    _summarize(out, generations)


def _show_coloured(out: Output, generation: Generation) -> None:
    from charloom.cli.coloured import coloured

    out.coloured(coloured(generation.prompt, generation.per_char or ()))


def _show_legend(out: Output) -> None:
    from charloom.cli.coloured import legend

    out.console.print(legend())


def _show_items(out: Output, found: list[str], wanted: int, more: dict[str, Any]) -> None:
    if out.json:
        out.result({"items": found, **more})
    else:
        for item in found:
            out.text(item)
    if len(found) < wanted:
        out.warn(f"{len(found):,} of {wanted:,}: the model has written no other item for a long time")


def _warn_of_unknown(out: Output, unknown: tuple[str, ...]) -> None:
    if unknown:
        shown = ", ".join(repr(character) for character in unknown[:10]) + (", …" if len(unknown) > 10 else "")
        out.warn(f"the model does not know {shown}: read as the unknown character")


def _summarize(out: Output, generations: list[Generation]) -> None:
    characters = sum(generation.characters for generation in generations)
    seconds = generations[0].seconds
    out.say(
        f"({characters:,} characters in {seconds:.2f} s, {characters / max(seconds, 1e-9):,.0f} a second, "
        f"seed {generations[0].seed})",
        style="dim",
    )
