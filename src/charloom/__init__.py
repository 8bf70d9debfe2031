"""charloom: train a character-level language model on your own text, and run it anywhere.

>>> import charloom
>>> result = charloom.train("my-text.txt", "runs/mine", epochs=10)
>>> model = charloom.load("runs/mine")
>>> print(model.generate("Once upon", length=200).text)

Importing this costs little: each name is loaded when it is first used, and only `train` and `adapt` need torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from charloom.errors import CharloomError, MissingExtraError, UsageError
from charloom.version import __version__

if TYPE_CHECKING:
    from charloom.runtime.continuation import Continuation
    from charloom.runtime.engine import Engine
    from charloom.runtime.evaluation import Evaluation
    from charloom.runtime.generation import Generation, TextStream
    from charloom.runtime.model import Model, load
    from charloom.runtime.novelty import Novelty
    from charloom.runtime.recitation import Recitation
    from charloom.runtime.scores import Score
    from charloom.training.adaptation import Adaptation, adapt
    from charloom.training.result import TrainingResult
    from charloom.training.run import train

_HOMES = {
    "Adaptation": "charloom.training.adaptation",
    "Continuation": "charloom.runtime.continuation",
    "Engine": "charloom.runtime.engine",
    "Evaluation": "charloom.runtime.evaluation",
    "Generation": "charloom.runtime.generation",
    "Model": "charloom.runtime.model",
    "Novelty": "charloom.runtime.novelty",
    "Recitation": "charloom.runtime.recitation",
    "Score": "charloom.runtime.scores",
    "TextStream": "charloom.runtime.generation",
    "TrainingResult": "charloom.training.result",
    "adapt": "charloom.training.adaptation",
    "load": "charloom.runtime.model",
    "train": "charloom.training.run",
}

__all__ = [
    "Adaptation",
    "CharloomError",
    "Continuation",
    "Engine",
    "Evaluation",
    "Generation",
    "Model",
    "Novelty",
    "Recitation",
    "Score",
    "TextStream",
    "TrainingResult",
    "UsageError",
    "__version__",
    "adapt",
    "load",
    "train",
]

_NEED_TORCH = {"train": "training", "adapt": "--adapt", "Adaptation": "--adapt"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'charloom' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if name in _NEED_TORCH and error.name in ("torch", "yaml", "matplotlib"):
            raise MissingExtraError(_NEED_TORCH[name], "train") from error
        raise
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
