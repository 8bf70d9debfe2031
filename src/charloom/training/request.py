"""What a run is asked to do, once it is known what its folder holds: a finished model, an unfinished run or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from charloom.bundle import holds_model, model_refusal, open_model_directory
from charloom.bundle.config import TRAINING
from charloom.errors import TrainingError, UsageError
from charloom.files import storage_errors
from charloom.folders import RUN, holds_run
from charloom.settings import SECTIONS, RunSettings
from charloom.text.vocabulary import Vocabulary, vocabulary_from_json
from charloom.training.checkpoint import Checkpoints
from charloom.training.init_from import Origin, settings_like
from charloom.training.old_text import OldTextSource
from charloom.training.ranks import Ranks
from charloom.training.result import TrainingResult
from charloom.wrong_values import option_name

# What may differ when a run is resumed, because the result does not depend on it (threads and device: but for the
# rounding of sums), or because the user says how much longer it may take.
_FREE = frozenset({"threads", "device", "precision", "checkpoint_every", "budget", "track"})


@dataclass(frozen=True)
class Request:
    """What a run is to do.

    Attributes:
        recipe: the recipe's name, if one was asked for.
        settings: all settings; for a run that is resumed, the recorded ones.
        explicit: the settings that the user gave by name, and the temperature of a recipe that says one.
        unfinished: the record of the run to resume, or None.
        vocabulary: the vocabulary to grow, or None.
        old_text: where the text of the model to start from is, or None.
    """

    recipe: str | None
    settings: RunSettings
    explicit: frozenset[str]
    unfinished: dict[str, Any] | None
    vocabulary: Vocabulary | None
    old_text: OldTextSource | None


def check_folder(folder: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse a folder that is taken."""
    if resume and overwrite:
        raise UsageError("give --resume or --overwrite, not both")
    with storage_errors(folder):
        is_file = os.path.lexists(folder) and not folder.is_dir()
    refusal = model_refusal(folder, overwrite=overwrite, resume=resume)
    if refusal is not None:
        raise UsageError(refusal) if is_file else TrainingError(refusal)


def look_into(
    folder: Path, ranks: Ranks, *, overwrite: bool, resume: bool
) -> tuple[TrainingResult | None, dict[str, Any] | None]:
    """The finished result and the unfinished run to resume, as rank 0 finds them."""
    standing: dict[str, Any] = {"finished": None, "unfinished": None}
    if ranks.writes:
        check_folder(folder, overwrite=overwrite, resume=resume)
        if resume:
            result, checkpoints = _finished_result(folder), Checkpoints(folder / TRAINING)
            if result is None:
                standing["unfinished"] = checkpoints.read_run()
            else:
                standing["finished"] = asdict(result)
                if holds_run(folder):  # it was killed while it removed its checkpoints
                    checkpoints.remove_all(but_best=True)
    standing = json.loads(ranks.share_bytes(json.dumps(standing).encode()))
    finished = standing["finished"]
    return None if finished is None else TrainingResult(**finished), standing["unfinished"]


def _finished_result(folder: Path) -> TrainingResult | None:
    """What the finished run in the folder came to; None where there is none or it was interrupted."""
    # A run that ends removes its record first: what else it left is of a run that is finished.
    if not holds_model(folder) or (holds_run(folder) and (folder / TRAINING / RUN).exists()):
        return None
    result = open_model_directory(folder).config.training.get("result") or {}
    try:
        return TrainingResult(model=str(folder), **result)
    except TypeError:
        raise TrainingError(f"{folder} was not written by charloom train: nothing to resume") from None


def make_request(
    unfinished: dict[str, Any] | None,
    settings: RunSettings,
    recipe: str | None,
    options: Mapping[str, Any],
    origin: Origin | None,
    old_text: OldTextSource | None,
    ranks: Ranks,
) -> Request:
    """What a run is to do: a new one, or the unfinished one that is resumed."""
    if unfinished is None:
        return _new_request(recipe, settings, options, origin, old_text)
    return _resumed_request(unfinished, settings, recipe, options, old_text, ranks)


def _new_request(
    recipe: str | None,
    settings: RunSettings,
    options: Mapping[str, Any],
    origin: Origin | None,
    old_text: OldTextSource | None,
) -> Request:
    """What a run that begins is to do; an origin fixes some of the settings."""
    explicit = frozenset(options) | ({"temperature"} & settings.sampling.model_fields_set)
    if origin is not None:
        settings = settings_like(origin, settings, explicit, recipe)
    return Request(recipe, settings, explicit, None, None if origin is None else origin.vocabulary, old_text)


def _resumed_request(
    unfinished: dict[str, Any],
    given: RunSettings,
    recipe: str | None,
    options: Mapping[str, Any],
    old_text: OldTextSource | None,
    ranks: Ranks,
) -> Request:
    """What a run that is resumed is to do: what it was to do when it began."""
    settings = _resumed_settings(unfinished, given, recipe, options)
    began_with = unfinished.get("world_size", 1)
    if began_with != ranks.world_size:
        raise TrainingError(
            f"the run to resume began with {began_with} process(es) and this is {ranks.world_size}: "
            f"start as many, or start anew with --overwrite"
        )
    vocabulary = unfinished.get("vocabulary")
    return Request(
        unfinished.get("recipe"),
        settings,
        frozenset(unfinished.get("explicit", ())),
        unfinished,
        None if vocabulary is None else vocabulary_from_json(vocabulary),
        old_text,
    )


def _resumed_settings(
    run: dict[str, Any], given: RunSettings, recipe: str | None, options: Mapping[str, Any]
) -> RunSettings:
    """The settings of the run to resume; refuses an option that would make it another run."""
    try:
        # Older runs knew one optimizer and no lists of items.
        training = {"optimizer": "adamw", **run["settings"]["training"]}
        corpus = {"items": False, **run["settings"]["corpus"]}
        recorded = RunSettings.model_validate({**run["settings"], "training": training, "corpus": corpus})
    except (KeyError, TypeError, ValidationError):
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
            option = f"--no-{option_name(name)[2:]}" if new is False else option_name(name)
            if isinstance(new, bool):
                raise UsageError(f"the run to resume began without {option}: leave it out, or start anew")
            raise UsageError(f"the run to resume has {option} {old}, not {new}: leave {option} out, or start anew")
    return recorded.model_copy(update={"training": recorded.training.model_copy(update=free)})
