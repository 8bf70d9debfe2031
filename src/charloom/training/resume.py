"""What the output folder already holds: a finished model, an unfinished run, or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from charloom.bundle import holds_model, model_refusal, open_model_directory
from charloom.bundle.config import TRAINING
from charloom.errors import TrainingError, UsageError
from charloom.files import storage_errors
from charloom.folders import RUN, holds_run
from charloom.settings import SECTIONS, RunSettings
from charloom.training.checkpoint import Checkpoints
from charloom.training.result import TrainingResult

# What may differ when a run is resumed, because the result does not depend on it (threads and device: but for the
# rounding of sums), or because the user says how much longer it may take.
_FREE = frozenset({"threads", "device", "checkpoint_every", "budget", "track"})


def check_folder(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a folder that is taken.

    Raises:
        UsageError: both `overwrite` and `resume`; or it is a file.
        TrainingError: it holds a model or an unfinished run, and neither was asked for; or anything that is not
            charloom's; or a prepared corpus.
        StorageError: it cannot be looked into.
    """
    if resume and overwrite:
        raise UsageError("give --resume or --overwrite, not both")
    with storage_errors(folder):
        is_file = os.path.lexists(folder) and not folder.is_dir()
    refusal = model_refusal(folder, overwrite=overwrite, resume=resume)
    if refusal is not None:
        raise UsageError(refusal) if is_file else TrainingError(refusal)


def finished_result(folder: Path) -> TrainingResult | None:
    """What the finished run in the folder came to; None where there is none or it was interrupted.

    Raises:
        ModelDirectoryError: the model that is there is not whole.
        TrainingError: it was not made by training.
    """
    # A run that ends removes its record first: what else it left is of a run that is finished.
    if not holds_model(folder) or (holds_run(folder) and (folder / TRAINING / RUN).exists()):
        return None
    result = open_model_directory(folder).config.training.get("result") or {}
    try:
        return TrainingResult(model=str(folder), **result)
    except TypeError:
        raise TrainingError(f"{folder} was not written by charloom train: nothing to resume") from None


def remove_leftovers(folder: Path) -> None:
    """Remove what the finished run in the folder left when it was killed while it removed its checkpoints.

    Raises:
        StorageError: something cannot be removed.
    """
    if holds_run(folder):
        Checkpoints(folder / TRAINING).remove_all(but_best=True)


def unfinished_run(folder: Path) -> dict[str, Any] | None:
    """The record of the unfinished run in the folder, if there is one.

    Raises:
        TrainingError: it is damaged.
    """
    return Checkpoints(folder / TRAINING).read_run()


def resumed_settings(
    run: dict[str, Any], given: RunSettings, recipe: str | None, options: Mapping[str, Any]
) -> RunSettings:
    """The settings of the run to resume.

    Raises:
        UsageError: an option was given that would make it another run.
        TrainingError: the record of the run is damaged.
    """
    try:
        recorded = RunSettings.model_validate(run["settings"])
    except (KeyError, ValidationError):
        raise TrainingError("training/run.json is damaged: start again with --overwrite") from None
    if recipe is not None and recipe != run.get("recipe"):
        raise UsageError(f"the run to resume has recipe {run.get('recipe') or 'none'}, not {recipe}")
    free: dict[str, Any] = {}
    for name in options:
        section = next(key for key, kind in SECTIONS.items() if name in kind.model_fields)
        new, old = getattr(getattr(given, section), name), getattr(getattr(recorded, section), name)
        if name in _FREE:
            free[name] = new
        elif new != old:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"the run to resume has {option} {old}, not {new}: leave {option} out, or start anew")
    return recorded.model_copy(update={"training": recorded.training.model_copy(update=free)})
