"""`charloom quickstart`: from nothing to text in about a minute."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from charloom.bundle import holds_model, open_model_directory
from charloom.cli.interrupt import stop_on_signal
from charloom.cli.output import Output, OutputOptions
from charloom.cli.progress import TrainingView
from charloom.errors import CharloomError
from charloom.interrupts import INTERRUPTED

CORPUS = "python-docs"
RECIPE = "tiny"
PROMPT = "The "
STEPS = 4000  # of 16 × 64 characters: about a minute of two cores
EVALUATIONS = 6


def quickstart(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("runs/quickstart"),
    steps: Annotated[int, Field(ge=1)] = STEPS,
    options: OutputOptions = OutputOptions(),  # noqa: B008
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
    out.say(f"Training on {CORPUS}, the text inside your Python. Watch the loss fall and the samples improve.\n")
    with stop_on_signal(out) as should_stop, TrainingView(out) as view:
        result = charloom.train(
            CORPUS,
            output,
            recipe=RECIPE,
            overwrite=_is_a_quickstart(output),
            notify=view,
            should_stop=should_stop,
            steps=steps,
            evaluate_every=math.ceil(steps / EVALUATIONS),
        )
    written = charloom.load(output).generate(PROMPT, length=300, seed=1)
    if out.json:
        out.result(
            {
                "model": str(output),
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
    out.say(
        f"{result.bits_per_char:.2f} bits per character on text it never saw ({result.protocol}), "
        f"after {result.seconds:.0f} s. Now try:\n{_next_commands(output)}"
    )
    return INTERRUPTED if result.interrupted else 0


def _is_a_quickstart(folder: Path) -> bool:
    """Only what a quickstart made is replaced without being asked."""
    if not holds_model(folder):
        return False
    try:
        config = open_model_directory(folder).config
    except CharloomError:
        return False
    recipe_matches = config.training.get("recipe") == RECIPE
    return recipe_matches and all(source.startswith(CORPUS) for source in config.corpus.sources)


def _next_commands(output: Path) -> str:
    folder = shlex.quote(str(output))
    return "\n".join(
        f"    {command}"
        for command in (
            f"charloom generate {folder} --prompt 'A string is' --temperature 0.5",
            f"charloom generate {folder} --samples 3 --length 120",
            f"charloom evaluate {folder} {CORPUS}",
            f"charloom inspect {folder}",
            "charloom train your-text.txt -o runs/yours",
        )
    )
