"""A job's hyperparameters: the settings of `charloom train`, checked by name before anything is done.

Read here; `charloom.sagemaker.jobs.request` writes them.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from charloom.errors import UsageError
from charloom.settings import SECTIONS
from charloom.wrong_values import shorten

BESIDES = ("corpus", "init_from", "recipe")
"""What a job takes besides settings; a channel says the first two better."""

_OURS = {name: field.annotation for kind in SECTIONS.values() for name, field in kind.model_fields.items()}
_SERVICE = ("sagemaker_", "_")  # SageMaker's own: sagemaker_program, _tuning_objective_metric
_SHOWN = 60  # characters of a name


def read_hyperparameters(environ: Mapping[str, str], arguments: Sequence[str]) -> dict[str, Any]:
    """What the job is to do: by SM_HPS, which is exact, or by the command line where there is none.

    Returns:
        Values by the names that Python gives them, as in `hidden_size`.
    """
    text = environ.get("SM_HPS")
    return check_hyperparameters(_of_command_line(arguments) if text is None else _of_json(text))


def check_hyperparameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters that are ours, each known and given once."""
    values: dict[str, Any] = {}
    for written, value in given.items():
        name = written.replace("-", "_")
        if name.startswith(_SERVICE) or value is None:
            continue
        if name not in _OURS and name not in BESIDES:
            raise UsageError(_unknown_message(name))
        if name in values:
            raise UsageError(f"the hyperparameter {_with_dashes(name)} is given twice")
        values[name] = _as_text(value) if name in BESIDES or _takes_text(_OURS[name]) else value
    return values


def _unknown_message(name: str) -> str:
    known = sorted(_with_dashes(known) for known in (*_OURS, *BESIDES))
    near = difflib.get_close_matches(_with_dashes(name), known, 1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no hyperparameter {_with_dashes(name)[:_SHOWN]!r}{meant}; those that exist: {', '.join(known)}"


def _with_dashes(name: str) -> str:
    return name.replace("_", "-")


def _takes_text(annotation: Any) -> bool:
    return annotation is str or any(_takes_text(part) for part in get_args(annotation))


def _as_text(value: Any) -> Any:
    """A number where a text belongs: SageMaker's toolkit reads `90` as one, whatever was meant."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _of_json(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise UsageError(f"SM_HPS = {shorten(text)}: it must be a JSON object of hyperparameters")
    return data


def _of_command_line(arguments: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        name, given, value = rest.pop(0).partition("=")
        if not name.startswith("--") or len(name) < 3:
            raise UsageError(f"{shorten(name)} is not a hyperparameter: write --name value")
        if given:
            values[name[2:]] = value
        else:
            values[name[2:]] = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
    return values
