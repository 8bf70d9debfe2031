"""`charloom quickstart`: from nothing to text in about a minute."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Unpack

from pydantic import Field, ValidationError

from charloom.bundle import ModelConfig, UnfinishedRun, holds_model, open_model_directory, read_unfinished
from charloom.cli.arguments import Destination, Whole
from charloom.cli.interrupt import stop_on_signal
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.display import typed
from charloom.errors import CharloomError, TrainingError
from charloom.files import expand_home
from charloom.interrupts import INTERRUPTED
from charloom.options import LearningOptions
from charloom.settings import RunSettings, TrainingSettings, run_settings
from charloom.text.named import built_in

CORPUS = "python-docs"
_ITS_TEXT = re.compile(rf"{CORPUS} \(Python [^)]*\)")  # as a model records it
RECIPE = "tiny"
PROMPT = "The "
STEPS = 4000  # of 16 × 64 characters: about a minute of two cores
EVALUATIONS = 6


def quickstart(
    *,
    output: Annotated[Path, Destination] = Path("runs/quickstart"),
    steps: Annotated[int, Field(ge=1), Whole] = STEPS,
    options: OutputOptions = OutputOptions(),
) -> int:
    """Train on the documentation inside this Python for about a minute, and write with the result.

    Parameters
    ----------
    output
        The model directory; an earlier quickstart there is replaced.
    steps
        How long to learn; fewer for a quicker, worse model.
    """
    import charloom

    out = Output(options)
    replaces = _replaces(output)
    out.say(f"Training on {CORPUS}, the text inside your Python. Watch the loss fall and the samples improve.\n")
    with stop_on_signal(out) as should_stop, TrainingView(out) as view:
        result = charloom.train(
            built_in(CORPUS),
            output,
            recipe=RECIPE,
            overwrite=replaces,
            notify=view,
            should_stop=should_stop,
            **_lengths(steps),
        )
    written = charloom.load(result.model).generate(PROMPT, length=300, seed=1)
    if out.json:
        out.result(
            {
                "model": result.model,
                "bits_per_char": result.bits_per_char,
                "protocol": result.protocol,
                "validation_loss": result.validation_loss,
                "seconds": result.seconds,
                "prompt": PROMPT,
                "sample": written.text,
                "interrupted": result.interrupted,
            }
        )
    else:
        out.text(f"\n{PROMPT}{written.text}\n")
    if result.interrupted:
        again = typed("charloom", "quickstart", "-o", output)
        out.say(f"interrupted: this is the best so far. To start anew:\n    {again}\n", style="bold")
    out.say(
        f"{result.bits_per_char:.2f} bits per character on text it never saw ({result.protocol}), "
        f"after {result.seconds:.0f} s. Now try:\n{_next_commands(Path(result.model))}"
    )
    return INTERRUPTED if result.interrupted else 0


def _lengths(steps: int) -> dict[str, Any]:
    """The settings that a quickstart has beside the recipe's."""
    return {"steps": steps, "evaluate_every": math.ceil(steps / EVALUATIONS)}


def _replaces(folder: Path) -> bool:
    """Whether the folder holds an earlier quickstart, whole or not: only that is replaced without being asked.

    Raises:
        TrainingError: another model or run is there.
    """
    folder = expand_home(folder)
    try:
        run, config = read_unfinished(folder), open_model_directory(folder).config if holds_model(folder) else None
        ours = (run is None or _is_run_of_quickstart(run)) and (config is None or _is_model_of_quickstart(config))
    except (OSError, CharloomError):
        ours = False
    if not ours:
        raise TrainingError(f"{folder} already holds another model or run: choose another folder with --output")
    return run is not None or config is not None


def _is_run_of_quickstart(run: UnfinishedRun) -> bool:
    if not _is_of_quickstart(run.recipe, run.sources, run.settings.get("training")):
        return False
    return run.settings.get("model") == _settings().model.model_dump()


def _is_model_of_quickstart(config: ModelConfig) -> bool:
    if not _is_of_quickstart(config.training.get("recipe"), config.corpus.sources, config.training.get("settings")):
        return False
    return config.model.model_dump(exclude={"vocab_size"}).items() <= _settings().model.model_dump().items()


def _is_of_quickstart(recipe: object, sources: list[str], training: object) -> bool:
    """Whether a text and the settings of how to learn it are a quickstart's, however many steps it took."""
    if recipe != RECIPE or not sources or not all(map(_ITS_TEXT.fullmatch, sources)) or not isinstance(training, dict):
        return False
    try:
        recorded = TrainingSettings.model_validate(training)
    except ValidationError:
        return False
    return recorded.steps is not None and recorded == _settings(**_lengths(recorded.steps)).training


def _settings(**lengths: Unpack[LearningOptions]) -> RunSettings:
    from charloom.training.recipes import load_recipe

    return run_settings(load_recipe(RECIPE), lengths)


def _next_commands(output: Path) -> str:
    folder = typed(output)
    return "\n".join(
        f"    {command}"
        for command in (
            f"charloom generate {folder} --prompt 'A string is' --temperature 0.5",
            f"charloom generate {folder} --samples 3 --length 120",
            f"charloom evaluate {folder} {built_in(CORPUS)}",
            f"charloom inspect {folder}",
            f"charloom serve {folder}",
            "charloom train your-text.txt -o runs/yours",
        )
    )
