"""Settings as keyword arguments, so that an editor completes them and a type checker sees a misspelling.

Each class has the names and types of fields in `settings.py`, where meanings, bounds and defaults are; all of them may
be left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypedDict

from charloom.settings import (
    Cell,
    CleaningName,
    LearningPrecision,
    Optimizer,
    TrackerName,
    ValidationSplit,
    VocabularyKind,
)

__all__ = ["LearningOptions", "ReadingOptions", "SamplingOptions", "Time"]

Time = str | float
"""A time such as "30s" or "5m", or seconds: see `Duration` in `settings.py`."""


class SamplingOptions(TypedDict, total=False):
    """Fields of `SamplingSettings`."""

    length: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int | None
    stop: str | list[str]
    regex: str | None


class ReadingOptions(TypedDict, total=False):
    """Fields of `ReadingSettings`."""

    clean: list[CleaningName]
    encoding: str
    vocabulary: VocabularyKind
    min_count: int


class LearningOptions(ReadingOptions, total=False):
    """Fields of `CorpusSettings`, `ModelSettings` and `TrainingSettings`."""

    validation_fraction: float
    validation_characters: int
    validation: str | Path | None
    items: bool | None
    known_items: bool
    validation_split: ValidationSplit
    cell: Cell
    num_layers: int
    hidden_size: int
    embedding_size: int
    dropout: float
    input_dropout: float
    weight_drop: float
    window_dropout: bool
    budget: Time | None
    epochs: float | None
    steps: int | None
    batch_size: int
    bptt: int
    grow_windows: bool
    optimizer: Optimizer
    learning_rate: float
    schedule: Literal["cosine", "constant"]
    warmup: float
    weight_decay: float
    grad_clip: float
    averaging: float
    state_reset: float
    seed: int
    device: str
    precision: LearningPrecision
    threads: int | None
    evaluate_every: int | None
    checkpoint_every: Time
    track: list[TrackerName]
