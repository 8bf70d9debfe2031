"""`charloom quickstart`: from nothing to new names and a page of prose, in little more than a minute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from pydantic import Field

from charloom.bundle import (
    ModelConfig,
    UnfinishedRun,
    holds_model,
    model_refusal,
    open_model_directory,
    read_unfinished,
)
from charloom.cli.arguments import CorpusArgument, Destination, Whole, corpus_specs
from charloom.cli.interrupt import stop_on_signal
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.display import typed
from charloom.errors import CharloomError, CorpusError, StorageError, TrainingError
from charloom.files import expand_home
from charloom.interrupts import INTERRUPTED
from charloom.settings import Duration, Settings
from charloom.text.named import NAMED, built_in
from charloom.text.sources import check_outside, check_specs

if TYPE_CHECKING:
    from charloom.runtime.model import Model
    from charloom.training.result import TrainingResult

_LIST, _PROSE, _OFFLINE = "names", "tiny-shakespeare", "python-docs"
_PROMPTS = {_PROSE: "ROMEO:\n", _OFFLINE: "The "}
_SEED = 2015  # of both models: only those are replaced without being asked
_SHARE_OF_NAMES = 0.25  # of the time
_NAMES = 12
_RECIPES = {_LIST: "names", _PROSE: "tiny"}  # where steps are counted


class PaceSettings(Settings):
    """How long a quickstart learns."""

    budget: Duration = Field(
        Duration("80s"), description="Time to learn in, as in 80s or 5m: a quarter for names, the rest for prose."
    )


def quickstart(
    *corpus: CorpusArgument,
    output: Annotated[Path, Destination] = Path("runs/quickstart"),
    pace: Annotated[PaceSettings, Parameter(name="*")] = PaceSettings(),
    steps: Annotated[int | None, Field(ge=1), Whole] = None,
    options: OutputOptions = OutputOptions(),
) -> int:
    """Learn a list of names in twenty seconds and prose in a minute, and write with the results.

    Parameters
    ----------
    corpus
        The prose: texts as charloom train reads them. tiny-shakespeare if none is given, or python-docs where that
        cannot be downloaded.
    output
        The model directory of the prose; that of the names has "-names" at its end. Earlier quickstarts are replaced.
    steps
        Count updates instead of time: so many for each of the two.
    """
    out = Output(options)
    names_folder = output.with_name(f"{output.name}-names")
    replaces = {folder: _replaces(folder) for folder in (output, names_folder)}
    given = corpus_specs(corpus)
    check_specs(given)
    for folder in (output, names_folder):
        check_outside(expand_home(folder), given)
    lengths: list[dict[str, Any]] = [
        {"budget": max(1.0, pace.budget * share)} if steps is None else {"steps": steps}
        for share in (_SHARE_OF_NAMES, 1 - _SHARE_OF_NAMES)
    ]
    with stop_on_signal(out) as should_stop:

        def learn(specs: list[str], folder: Path, name: str, length: dict[str, Any]) -> TrainingResult:
            recipe = None if steps is None else _RECIPES[name]
            return _learn(out, specs, folder, should_stop, overwrite=replaces[folder], recipe=recipe, **length)

        out.say("First 32,033 first names: watch the loss fall and the samples improve.\n")
        result = learn([built_in(_LIST)], names_folder, _LIST, lengths[0])
        names = _show_new_names(out, result)
        if not result.interrupted:
            specs = given or [_prose(out)]
            out.say(f"Now prose: {', '.join(specs)}.\n")
            result = learn(specs, output, _PROSE, lengths[1])
    prompt, text = ("", "") if result.model == str(names_folder) else _show_prose(out, result, specs)
    if out.json:
        out.result(_data(result, prompt, text) | {"names_model": str(names_folder), "names": names})
    if result.interrupted:
        again = typed("charloom", "quickstart", *corpus, "-o", output)
        out.say(f"interrupted: this is the best so far. To start anew:\n    {again}\n", style="bold")
        return INTERRUPTED
    if result.epochs < 1 and steps is None:
        _offer_more_time(out, result, typed("charloom", "quickstart", *corpus, "-o", output, "--budget", "10m"))
    out.say(
        f"{result.bits_per_char:.2f} bits per character on text it never saw ({result.protocol}), "
        f"after {result.seconds:.0f} s. Now try:\n{_next_commands(names_folder, output, specs)}"
    )
    return 0


def _offer_more_time(out: Output, result: TrainingResult, again: str) -> None:
    out.say(
        f"In this time it read only {result.epochs:.1%} of the text. With more time it writes better:\n    {again}\n",
        style="bold",
    )


def _learn(
    out: Output, specs: list[str], folder: Path, should_stop: Callable[[], bool], **options: Any
) -> TrainingResult:
    import charloom

    with TrainingView(out) as view:
        return charloom.train(specs, folder, notify=view, should_stop=should_stop, seed=_SEED, **options)


def _prose(out: Output) -> str:
    """Shakespeare, or the text inside this Python where he cannot be had."""
    try:
        with TrainingView(out) as view:
            NAMED[_PROSE].read(view)
    except (CorpusError, StorageError):
        out.say(f"{_PROSE} cannot be downloaded here; {_OFFLINE} needs no network.")
        return built_in(_OFFLINE)
    return built_in(_PROSE)


def _load(result: TrainingResult) -> Model:
    import charloom

    return charloom.load(result.model)


def _show_new_names(out: Output, result: TrainingResult) -> list[str]:
    """Names that are not in the list."""
    known = frozenset(NAMED[_LIST].read(lambda _: None).decode().splitlines())
    names = _load(result).items(_NAMES, exclude=known, seed=1, length=20)
    if not out.json:
        out.text("\n" + "\n".join(names) + "\n")
        out.say("These names are not in the list.\n")
    return names


def _show_prose(out: Output, result: TrainingResult, specs: list[str]) -> tuple[str, str]:
    model = _load(result)
    prompt = _PROMPTS.get(specs[0].rpartition(":")[2], "")
    if model.directory.config.corpus.items:
        prompt = ""
    text = model.generate(prompt, length=400, seed=1).text
    if not out.json:
        out.sentences(f"\n{prompt}{text}\n")
    return prompt, text


def _data(result: TrainingResult, prompt: str, text: str) -> dict[str, Any]:
    return {
        "model": result.model,
        "bits_per_char": result.bits_per_char,
        "protocol": result.protocol,
        "validation_loss": result.validation_loss,
        "seconds": result.seconds,
        "prompt": prompt,
        "sample": text,
        "interrupted": result.interrupted,
    }


def _replaces(folder: Path) -> bool:
    """Whether the folder holds an earlier quickstart, whole or not: only that is replaced without being asked.

    Raises:
        TrainingError: something else is there.
    """
    folder = expand_home(folder)
    try:
        run, config = read_unfinished(folder), open_model_directory(folder).config if holds_model(folder) else None
        ours = (run is None or _is_run_of_quickstart(run)) and (config is None or _is_model_of_quickstart(config))
    except (OSError, CharloomError):
        ours = False
    if not ours:
        raise TrainingError(f"{folder} already holds another model or run: choose another folder with --output")
    overwrite = run is not None or config is not None
    if refusal := model_refusal(folder, overwrite=overwrite, resume=False):
        raise TrainingError(refusal)
    return overwrite


def _is_run_of_quickstart(run: UnfinishedRun) -> bool:
    return _is_of_quickstart(run.recipe, run.settings.get("training"))


def _is_model_of_quickstart(config: ModelConfig) -> bool:
    return _is_of_quickstart(config.training.get("recipe"), config.training.get("settings"))


def _is_of_quickstart(recipe: object, training: object) -> bool:
    """Whether a run has the seed of a quickstart, and its recipe."""
    return isinstance(training, dict) and training.get("seed") == _SEED and recipe in (None, *_RECIPES.values())


def _next_commands(names: Path, prose: Path, specs: list[str]) -> str:
    return "\n".join(
        f"    {command}"
        for command in (
            f"charloom generate {typed(names)} --items 10 --prompt z",
            f"charloom generate {typed(prose)} --samples 3 --length 200",
            f"charloom evaluate {typed(prose)} {typed(*specs)}",
            f"charloom serve {typed(prose)}",
            f"charloom export {typed(prose)} --html quickstart.html",
            "charloom train your-text.txt -o runs/yours",
        )
    )
