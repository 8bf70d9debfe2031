"""The model directory: the hinge between training, which writes it, and everything after, which reads it.

`config.json` is written last: where it is, a whole model is. See docs/reference/model-directory.md.
"""

from charloom.bundle.config import FORMAT_VERSION, CorpusRecord, Loss, MemoryRecord, ModelConfig, ModelShape
from charloom.bundle.history import (
    EvaluationRecord,
    best_evaluation,
    evaluations,
    read_history,
    read_recent_history,
)
from charloom.bundle.hub import HubAddress
from charloom.bundle.reading import FileCheck, ModelDirectory, holds_model, open_model_directory
from charloom.bundle.unfinished import UnfinishedRun, history_file, read_unfinished
from charloom.bundle.writing import edited_files, model_refusal, move_model, write_model_directory

__all__ = [
    "FORMAT_VERSION",
    "CorpusRecord",
    "EvaluationRecord",
    "FileCheck",
    "HubAddress",
    "Loss",
    "MemoryRecord",
    "ModelConfig",
    "ModelDirectory",
    "ModelShape",
    "UnfinishedRun",
    "best_evaluation",
    "edited_files",
    "evaluations",
    "history_file",
    "holds_model",
    "model_refusal",
    "move_model",
    "open_model_directory",
    "read_history",
    "read_recent_history",
    "read_unfinished",
    "write_model_directory",
]
