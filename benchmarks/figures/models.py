"""The small models that the figures are made from, each trained once and kept in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import charloom
from charloom.bundle import ModelDirectory, open_model_directory
from charloom.events import ignore
from charloom.runtime.corpora import ModelCorpora
from charloom.text.vocabulary import Ids

_SMALL: dict[str, Any] = {
    "hidden_size": 128,
    "embedding_size": 32,
    "dropout": 0.0,
    "batch_size": 16,
    "bptt": 100,
    "learning_rate": 0.006,
    "evaluate_every": 300,
    "seed": 1,
    "threads": 1,
    "device": "cpu",
}

# Of one length in characters and in updates: the rows make up for the shorter windows.
WINDOWS = {8: 128, 32: 32, 128: 8}  # bptt → batch size

CELLS = ("rnn", "lstm", "gru")
PICTURED = "shakespeare"
"""The model that the pictures of the playground show; its folder's name is on them."""

TRAINED: Mapping[str, dict[str, Any]] = {
    **{cell: {**_SMALL, "cell": cell, "epochs": 3} for cell in CELLS},
    "docs": {**_SMALL, "epochs": 5},
    PICTURED: {**_SMALL, "hidden_size": 256, "embedding_size": 64, "batch_size": 32, "dropout": 0.1, "epochs": 5},
    **{
        f"bptt-{bptt}": {
            **_SMALL,
            "bptt": bptt,
            "batch_size": rows,
            "epochs": 1,
            "evaluate_every": 100,
            "state_reset": 0.0,
        }
        for bptt, rows in WINDOWS.items()
    },
}
"""The options of each model; `docs` reads the documentation inside Python, the others the corpus."""


@dataclass(frozen=True)
class Models:
    """Models by name, trained when they are first asked for.

    Attributes:
        folder: where they are kept; what is there already is taken as it is.
        corpus: what they are trained on.
        changes: laid over the options of each, as in tests.
    """

    folder: Path
    corpus: str
    changes: Mapping[str, Any]

    def path(self, name: str) -> Path:
        """The model directory of a name in TRAINED."""
        path = self.folder / name
        options = {**TRAINED[name], **self.changes}
        charloom.train(self.corpus_of(name), path, resume=True, **options)
        return path

    def corpus_of(self, name: str) -> str:
        """The text that a model reads."""
        return "python-docs" if name == "docs" else self.corpus

    def directory(self, name: str) -> ModelDirectory:
        """The model directory, opened."""
        return open_model_directory(self.path(name))

    def held_out(self, name: str) -> Ids:
        """The text that a model was not trained on."""
        directory = self.directory(name)
        corpora = ModelCorpora(directory.config, directory.vocabulary)
        (segment,) = corpora.segments(self.corpus_of(name), "validation", ignore)
        return segment.ids
