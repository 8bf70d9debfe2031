"""Settings of a training as SageMaker carries them: a hundred texts of JSON at most, each of 2,500 characters.

Written here, and read in the job by `container/hyperparameters.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from charloom.errors import MissingExtraError, UsageError
from charloom.settings import LENGTHS, SECTIONS, RunSettings, run_settings

MOST, LONGEST = 100, 2500

_NOT_IN_A_JOB = {
    "track": "the job's own log has the losses as graphs in CloudWatch",
    "validation": "it travels as a channel of its own",
}


def hyperparameters(options: Mapping[str, Any], recipe: str | None = None) -> dict[str, str]:
    """What was chosen for a training, as hyperparameters: names with hyphens, values as JSON.

    Args:
        options: settings as `charloom.train` takes them; None stands for one that was not chosen.
        recipe: one that comes with charloom, or the path of a YAML file, whose settings are sent one by one.

    Raises:
        UsageError: a setting cannot work, has no place in a job, or is too long for SageMaker.
        MissingExtraError: a recipe's file cannot be read without the 'train' extra.
    """
    chosen = {name: value for name, value in options.items() if value is not None}
    for name, why in _NOT_IN_A_JOB.items():
        if chosen.get(name):
            raise UsageError(f"{name} cannot be set for a job on SageMaker: {why}")
    base = RunSettings()
    sent: dict[str, Any] = {}
    if recipe is not None and recipe in _shipped():
        sent["recipe"] = recipe
    elif recipe is not None:
        base = _own_recipe(recipe)
        sections = {name: getattr(base, name).model_dump(exclude_unset=True) for name in SECTIONS}
        sent |= {name: value for section in sections.values() for name, value in section.items()}
        if any(name in chosen for name in LENGTHS):
            sent = {name: value for name, value in sent.items() if name not in LENGTHS}
    run_settings(base, chosen)  # refuses what cannot work, before anything is paid for
    sent |= chosen
    return encoded({name: _joined(value) for name, value in sent.items() if value is not None and value != []})


def encoded(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as JSON, under names with hyphens (those that begin with `sagemaker_` keep their own).

    Raises:
        UsageError: there are more than SageMaker takes, or one is too long.
    """
    found = {_name(name): json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    refuse_too_many(found)
    for name, text in found.items():
        if len(text) > LONGEST:
            raise UsageError(f"--{name} has {len(text):,} characters: SageMaker takes {LONGEST:,} at most")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UsageError(f"--{name} holds half a character (a lone surrogate), which cannot be sent")
    return found


def refuse_too_many(found: Mapping[str, str]) -> None:
    """See that SageMaker takes so many.

    Raises:
        UsageError: it does not.
    """
    if len(found) > MOST:
        raise UsageError(f"{len(found)} hyperparameters: SageMaker takes {MOST} at most; use a recipe")


def _name(name: str) -> str:
    return name if name.startswith("sagemaker_") else name.replace("_", "-")


def _joined(value: Any) -> Any:
    """Lists as the command line takes them: SageMaker's toolkit would spell them as Python does."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else value


def _shipped() -> list[str]:
    files = (resources.files("charloom") / "recipes").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def _own_recipe(recipe: str) -> RunSettings:
    if Path(recipe).suffix not in (".yaml", ".yml"):
        raise UsageError(f"no such recipe: {recipe}; choose {', '.join(_shipped())}, or a .yaml file of your own")
    try:
        from charloom.training.recipes import load_recipe
    except ModuleNotFoundError as error:
        raise MissingExtraError("a recipe of your own", "train") from error
    return load_recipe(recipe)
