"""`charloom train`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from charloom.bundle import open_model_directory
from charloom.cli.arguments import CorpusArgument, Destination, NameOrFile, corpus_specs
from charloom.cli.classes import train_classes
from charloom.cli.interrupt import stop_on_signal
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.display import typed
from charloom.interrupts import INTERRUPTED
from charloom.report import duration
from charloom.settings import CorpusSettings, ModelSettings, TrainingSettings
from charloom.text.named import built_in
from charloom.text.vocabulary import CharacterVocabulary

if TYPE_CHECKING:
    from charloom.training.result import OldTextResult, TrainingResult

_DEFAULTS = "defaults: recipe base; other recipes and budgets choose their own"
CorpusOptions = Annotated[CorpusSettings, Parameter(name="*", group=Group("Text", sort_key=10))]
NetworkOptions = Annotated[ModelSettings, Parameter(name="*", group=Group(f"Network ({_DEFAULTS})", sort_key=20))]
LearningRunOptions = Annotated[
    TrainingSettings, Parameter(name="*", group=Group(f"Learning ({_DEFAULTS})", sort_key=30))
]


def train(
    *corpus: CorpusArgument,
    output: Annotated[Path, Destination],
    recipe: NameOrFile | None = None,
    init_from: Path | None = None,
    keep_old: Path | None = None,
    classes: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    resume: Annotated[bool, Parameter(negative=())] = False,
    text: CorpusOptions = CorpusSettings(),
    network: NetworkOptions = ModelSettings(),
    learning: LearningRunOptions = TrainingSettings(),
    options: OutputOptions = OutputOptions(),
) -> int:
    """Train a model on a text and write its model directory.

    Without --budget, --epochs or --steps it takes five minutes, less for a short text. Ctrl-C saves the best so far;
    --resume continues from there.

    Parameters
    ----------
    corpus
        Files, folders, globs, - (stdin), https:// or s3:// addresses, or names (charloom corpus list).
        python-docs if none is given. Or one folder that charloom corpus prepare wrote.
    output
        The model directory to write.
    recipe
        A named set of settings: tiny, small, base, large, names, memorize, article; or a YAML file. Options go over it.
    init_from
        A model to start from: its network and vocabulary are kept, the new text's characters added.
    keep_old
        With --init-from: the old model's text, of which as much is learned as of the new one.
    classes
        Instead of a text: a folder with a file, or a folder, a class. A model is trained for each, with equal settings
        and from a common beginning; --budget is for all of them together. charloom classify reads what is written.
    overwrite
        Replace the model or unfinished run that is in the folder.
    resume
        Continue the unfinished run that is in the folder.
    """
    import charloom

    out = Output(options)
    silent = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0"  # of torchrun's processes one speaks
    if silent:
        out = Output(options.model_copy(update={"quiet": True}))
    recipe = None if recipe is None else str(recipe)
    chosen: dict[str, Any] = {}
    for group in (text, network, learning):
        chosen |= group.model_dump(exclude_unset=True)
    if classes is not None:
        given = {"other texts": bool(corpus), "--init-from": init_from is not None, "--keep-old": keep_old is not None}
        return train_classes(out, classes, output, given, recipe=recipe, overwrite=overwrite, resume=resume, **chosen)
    specs = corpus_specs(corpus) or [built_in("python-docs")]
    with stop_on_signal(out) as should_stop, TrainingView(out) as view:
        result = charloom.train(
            specs,
            output,
            recipe=recipe,
            init_from=init_from,
            keep_old=keep_old,
            overwrite=overwrite,
            resume=resume,
            notify=view,
            should_stop=should_stop,
            **chosen,
        )
    if silent:
        return INTERRUPTED if result.interrupted else 0
    return _report(out, result, specs, output)


def _report(out: Output, result: TrainingResult, specs: list[str], output: Path) -> int:
    """The result, the exact next command, and the exit status."""
    if out.json:
        out.result(asdict(result))
    else:
        out.sentences(
            f"{result.validation_loss:.4f} nats = {result.bits_per_char:.3f} bits per character ({result.protocol})\n"
            f"after {result.epochs:.2f} epochs in {duration(result.seconds)}, "
            f"{result.characters_per_second:,.0f} characters a second"
        )
        if result.old_text is not None:
            out.sentences(_cost_on_old_text(result.old_text))
    if result.interrupted:
        again = typed("charloom", "train", *specs, "-o", output, "--resume")
        kept = (
            "" if result.model == str(output) else f"; {output} keeps the model that it had until the run is finished"
        )
        out.say(f"interrupted; the best so far is in {result.model}{kept}. To continue:\n    {again}", style="bold")
        return INTERRUPTED
    out.say(f"now try:\n    {typed('charloom', 'generate', output)}{_options_to_try(output)}", style="bold")
    return 0


def _cost_on_old_text(old: OldTextResult) -> str:
    hint = "" if old["kept"] else "; --keep-old FILE learns both"
    return f"on the old text, {old['name']}: {old['before']:.4f} nats before, {old['after']:.4f} now{hint}"


def _options_to_try(output: Path) -> str:
    """What to ask of the model, as options to type: items, or a prompt that it can read, or nothing."""
    directory = open_model_directory(output)
    if directory.config.corpus.items:
        return " --items 10"
    vocabulary = directory.vocabulary
    known = vocabulary.characters if isinstance(vocabulary, CharacterVocabulary) else "The the "
    return next((f" --prompt {text!r}" for text in ("The ", "the ") if set(text) <= set(known)), "")
