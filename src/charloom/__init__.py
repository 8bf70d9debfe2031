"""charloom: train a character-level language model on your own text, and run it anywhere.

>>> import charloom
>>> result = charloom.train("my-text.txt", "runs/mine", epochs=10)
>>> model = charloom.load("runs/mine")
>>> print(model.generate("Once upon", length=200).text)

Importing this costs little: each name is loaded when it is first used, and only `train`, `adapt` and
`predicted_loss` need torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from charloom.errors import (
    BusyError,
    CharloomError,
    CloudError,
    CorpusError,
    HubError,
    MissingExtraError,
    ModelDirectoryError,
    StorageError,
    TrainingError,
    UsageError,
)
from charloom.version import __version__

if TYPE_CHECKING:
    from charloom.bundle.push import Pushed, push
    from charloom.runtime.activations import Activations
    from charloom.runtime.classifier import Classification, Classifier
    from charloom.runtime.continuation import Continuation
    from charloom.runtime.detector import Detector
    from charloom.runtime.engine import Engine, EngineStatus
    from charloom.runtime.evaluation import Evaluation
    from charloom.runtime.generation import Generation, TextStream
    from charloom.runtime.likeliest import Completion
    from charloom.runtime.logprobs import Chunk, Token
    from charloom.runtime.model import Model, load
    from charloom.runtime.novelty import Novelty
    from charloom.runtime.recitation import Recitation
    from charloom.runtime.scores import Score
    from charloom.settings import SamplingSettings
    from charloom.text.corpus import Corpus, read_corpus
    from charloom.training.adaptation import Adaptation, adapt
    from charloom.training.budget import predicted_loss
    from charloom.training.classes import ClassesResult, train_classes
    from charloom.training.cross_scoring import cross_score
    from charloom.training.result import TrainingResult
    from charloom.training.run import train

_HOMES = {
    "Activations": "charloom.runtime.activations",
    "Adaptation": "charloom.training.adaptation",
    "Chunk": "charloom.runtime.logprobs",
    "ClassesResult": "charloom.training.classes",
    "Classification": "charloom.runtime.classifier",
    "Classifier": "charloom.runtime.classifier",
    "Completion": "charloom.runtime.likeliest",
    "Continuation": "charloom.runtime.continuation",
    "Corpus": "charloom.text.corpus",
    "Detector": "charloom.runtime.detector",
    "Engine": "charloom.runtime.engine",
    "EngineStatus": "charloom.runtime.engine",
    "Evaluation": "charloom.runtime.evaluation",
    "Generation": "charloom.runtime.generation",
    "Model": "charloom.runtime.model",
    "Novelty": "charloom.runtime.novelty",
    "Pushed": "charloom.bundle.push",
    "Recitation": "charloom.runtime.recitation",
    "Score": "charloom.runtime.scores",
    "SamplingSettings": "charloom.settings",
    "TextStream": "charloom.runtime.generation",
    "Token": "charloom.runtime.logprobs",
    "TrainingResult": "charloom.training.result",
    "adapt": "charloom.training.adaptation",
    "cross_score": "charloom.training.cross_scoring",
    "load": "charloom.runtime.model",
    "predicted_loss": "charloom.training.budget",
    "push": "charloom.bundle.push",
    "read_corpus": "charloom.text.corpus",
    "train": "charloom.training.run",
    "train_classes": "charloom.training.classes",
}

__all__ = [
    "Activations",
    "Adaptation",
    "BusyError",
    "CharloomError",
    "Chunk",
    "ClassesResult",
    "Classification",
    "Classifier",
    "CloudError",
    "Completion",
    "Continuation",
    "Corpus",
    "CorpusError",
    "Detector",
    "Engine",
    "EngineStatus",
    "Evaluation",
    "Generation",
    "HubError",
    "MissingExtraError",
    "Model",
    "ModelDirectoryError",
    "Novelty",
    "Pushed",
    "Recitation",
    "SamplingSettings",
    "Score",
    "StorageError",
    "TextStream",
    "Token",
    "TrainingError",
    "TrainingResult",
    "UsageError",
    "__version__",
    "adapt",
    "cross_score",
    "load",
    "predicted_loss",
    "push",
    "read_corpus",
    "train",
    "train_classes",
]

_NEED_TORCH = {
    "train": "training",
    "train_classes": "training",
    "cross_score": "training",
    "adapt": "--adapt",
    "Adaptation": "--adapt",
    "predicted_loss": "predicting a loss",
}


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
