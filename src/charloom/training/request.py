"""What a run is asked to do: settings new or recorded, once it is known what its folder holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from charloom.errors import TrainingError
from charloom.settings import RunSettings
from charloom.text.vocabulary import Vocabulary, vocabulary_from_json
from charloom.training.init_from import Origin, settings_like
from charloom.training.ranks import Ranks
from charloom.training.result import TrainingResult
from charloom.training.resume import (
    check_folder,
    finished_result,
    remove_leftovers,
    resumed_settings,
    unfinished_run,
)


@dataclass(frozen=True)
class Request:
    """What a run is to do.

    Attributes:
        recipe: the recipe's name, if one was asked for.
        settings: all settings; for a run that is resumed, the recorded ones.
        explicit: the settings that the user gave by name.
        unfinished: the record of the run to resume, or None.
        vocabulary: the vocabulary to grow, or None.
    """

    recipe: str | None
    settings: RunSettings
    explicit: frozenset[str]
    unfinished: dict[str, Any] | None
    vocabulary: Vocabulary | None


def look_into(
    folder: Path, ranks: Ranks, *, overwrite: bool, resume: bool
) -> tuple[TrainingResult | None, dict[str, Any] | None]:
    """The finished result and the unfinished run to resume, as rank 0 finds them."""
    standing: dict[str, Any] = {"finished": None, "unfinished": None}
    if ranks.writes:
        check_folder(folder, overwrite=overwrite, resume=resume)
        if resume:
            result = finished_result(folder)
            if result is not None:
                remove_leftovers(folder)
            standing["finished"] = None if result is None else asdict(result)
            standing["unfinished"] = None if result is not None else unfinished_run(folder)
    standing = json.loads(ranks.share_bytes(json.dumps(standing).encode()))
    finished = standing["finished"]
    return None if finished is None else TrainingResult(**finished), standing["unfinished"]


def make_request(
    unfinished: dict[str, Any] | None,
    settings: RunSettings,
    recipe: str | None,
    options: Mapping[str, Any],
    origin: Origin | None,
    ranks: Ranks,
) -> Request:
    """What a run is to do: a new one, or the unfinished one that is resumed.

    Raises:
        UsageError: an option contradicts the model to start from, or would make it another run.
        TrainingError: the record is damaged, or it began with more or fewer processes.
    """
    if unfinished is None:
        return _new_request(recipe, settings, options, origin)
    return _resumed_request(unfinished, settings, recipe, options, ranks)


def _new_request(
    recipe: str | None, settings: RunSettings, options: Mapping[str, Any], origin: Origin | None
) -> Request:
    """What a run that begins is to do; an origin fixes some of the settings."""
    explicit = frozenset(options)
    if origin is not None:
        settings = settings_like(origin, settings, explicit)
    return Request(recipe, settings, explicit, None, None if origin is None else origin.vocabulary)


def _resumed_request(
    unfinished: dict[str, Any], given: RunSettings, recipe: str | None, options: Mapping[str, Any], ranks: Ranks
) -> Request:
    """What a run that is resumed is to do: what it was to do when it began."""
    settings = resumed_settings(unfinished, given, recipe, options)
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
    )
