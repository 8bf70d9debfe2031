"""`training/`: read what an unfinished run has recorded, without the libraries that train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charloom import folders
from charloom.bundle.config import CONFIG, METRICS, TRAINING
from charloom.bundle.history import read_recent_history

_SMALL = 1 << 20  # bytes


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that can go on.

    Attributes:
        step: how far it has come, as far as the history and the checkpoints tell.
        steps: how far it is to go; None where that is not recorded.
        sources: the names of the texts it learns from.
        recipe: the recipe it was given; None for none.
        identity: what tells it from other runs, in its checkpoints too; None where that is not recorded.
        settings: all its settings, as they are recorded.
    """

    step: int
    steps: int | None
    sources: list[str]
    recipe: str | None = None
    identity: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def history_file(path: Path) -> Path:
    """Where the run in a model directory records its history.

    It is `metrics.jsonl`, but beside a finished model, whose history that is, the one in `training/`.
    """
    own = path / TRAINING / METRICS
    return own if own.is_file() or (path / CONFIG).exists() else path / METRICS


def read_unfinished(path: Path) -> UnfinishedRun | None:
    """The unfinished run in a model directory, if there is one; what is damaged in its record is left out.

    Raises:
        OSError: the folder cannot be read.
    """
    folder = path / TRAINING
    if not folder.is_dir():
        return None
    if any(folder.iterdir()) and not (folder / folders.RUN).exists() and not folders.holds_run(path):
        return None  # somebody's own
    names = [folders.CHECKPOINT.fullmatch(file.name) for file in folder.iterdir()]
    own = folder / METRICS
    history = read_recent_history(own if own.is_file() else path / METRICS)
    steps = [int(name[1]) for name in names if name] + [record["step"] for record in history]
    run = _read_run(folder / folders.RUN)
    planned, corpus = run.get("steps"), run.get("corpus")
    sources = corpus.get("sources") if isinstance(corpus, dict) else None
    return UnfinishedRun(
        step=max(steps, default=0),
        steps=planned if type(planned) is int and 0 < planned < 2**53 else None,
        sources=[name for name in sources if isinstance(name, str)] if isinstance(sources, list) else [],
        recipe=run["recipe"] if isinstance(run.get("recipe"), str) else None,
        identity=run["run"] if isinstance(run.get("run"), str) else None,
        settings=run["settings"] if isinstance(run.get("settings"), dict) else {},
    )


def _read_run(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _SMALL:
            return {}
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
