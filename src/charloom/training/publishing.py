"""From the best weights to a committed model directory."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save

from charloom.bundle import ModelConfig, ModelShape, read_history, write_model_directory
from charloom.bundle.config import METRICS, FileName
from charloom.files import storage_errors
from charloom.folders import sweep
from charloom.runtime.evaluation import Evaluation, evaluate_segments, evaluation_of_loss
from charloom.runtime.generation import generate_batch
from charloom.runtime.graph_builder import Arrays
from charloom.runtime.session import Session
from charloom.settings import Protocol, RunSettings
from charloom.text.vocabulary import Vocabulary
from charloom.training.card import model_card
from charloom.training.graphs import build_graphs
from charloom.training.memorization import measured_memory
from charloom.training.picture import draw_losses
from charloom.training.preparation import TrainingData
from charloom.training.result import TrainingResult
from charloom.training.session import TorchSession
from charloom.training.state import TrainingState
from charloom.version import __version__

SAMPLE_LENGTH = 160


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run besides its state.

    Attributes:
        folder: the model directory to write.
        record: what `config.json` is to say of how the run was asked for: recipe, choice, origin.
        settings: everything that was set or chosen.
        windows_per_epoch: updates that a pass over the text takes.
        resumed_from_step: where an interrupted run was taken up; 0 when none was.
        stopped: the run was asked to stop before its end.
    """

    folder: Path
    record: dict[str, Any]
    settings: RunSettings
    windows_per_epoch: int
    resumed_from_step: int
    stopped: bool


def short_sample(session: Session, vocabulary: Vocabulary, settings: RunSettings) -> str:
    """A short text from nothing, always drawn with the run's own seed, so that samples can be compared."""
    sampling = settings.sampling.model_copy(update={"length": SAMPLE_LENGTH, "seed": settings.training.seed})
    return generate_batch(session, vocabulary, "", "", sampling, 1)[0].text


def publish(
    data: TrainingData, state: TrainingState, shape: ModelShape, facts: RunFacts, history: Path
) -> TrainingResult:
    """Export the best weights, check them against PyTorch, measure them and commit the model directory.

    The run's history, as far as it is recorded, becomes the model's.

    Raises:
        TrainingError: the exported graph does not agree with PyTorch.
        StorageError: the folder cannot be written; nothing was changed.
    """
    state.model.load_state_dict(state.best_weights)
    session = TorchSession(state.model)
    weights: Arrays = {name: tensor.numpy() for name, tensor in state.best_weights.items()}
    graphs = build_graphs(weights, session, data)
    if facts.stopped:
        # A person who pressed Ctrl-C is waiting: what was measured on the way must do.
        protocol, loss = data.protocol_on_the_way, state.progress.best_loss
        losses = {protocol: evaluation_of_loss(loss, data.vocabulary, data.split.validation, protocol)}
    else:
        losses = {protocol: _measure(session, data, protocol) for protocol in data.final_protocols}
    sample = short_sample(session, data.vocabulary, facts.settings)
    memory = None
    if not facts.stopped:
        seed = facts.settings.training.seed
        memory = measured_memory(graphs.writing_session(), data, facts.settings.sampling, seed)
    result = _result(state, shape, facts, losses, sample)

    def config_for(checksums: dict[FileName, str]) -> ModelConfig:
        return ModelConfig(
            library_version=__version__,
            model=shape,
            corpus=data.record,
            training=_training_record(facts, result, graphs.difference),
            losses={protocol: evaluation.record() for protocol, evaluation in losses.items()},
            precision=graphs.precision,
            memory=memory,
            files=checksums,
        )

    files: dict[FileName, bytes] = {
        "model.safetensors": save(weights),
        **graphs.files,
        "README.md": model_card(shape, data.record, list(losses.values()), result, graphs.precision, memory),
        "loss.svg": draw_losses(read_history(history)),
    }
    if history.is_file():
        with storage_errors(history):
            files[METRICS] = history.read_bytes()
    write_model_directory(facts.folder, config_for, data.vocabulary, facts.settings.sampling, files)
    sweep(facts.folder)
    return result


def _measure(session: Session, data: TrainingData, protocol: Protocol) -> Evaluation:
    return evaluate_segments(session, data.vocabulary, data.split.validation, protocol)


def _result(
    state: TrainingState,
    shape: ModelShape,
    facts: RunFacts,
    losses: dict[Protocol, Evaluation],
    sample: str,
) -> TrainingResult:
    progress = state.progress
    headline = next(iter(losses.values()))
    return TrainingResult(
        model=str(facts.folder),
        validation_loss=headline.loss,
        bits_per_char=headline.bits_per_char,
        protocol=headline.protocol,
        epochs=progress.step / facts.windows_per_epoch,
        steps=progress.step,
        best_step=progress.best_step,
        characters=progress.characters,
        seconds=progress.seconds,
        characters_per_second=progress.characters / max(progress.training_seconds, 1e-9),
        parameters=shape.parameters,
        resumed_from_step=facts.resumed_from_step,
        interrupted=facts.stopped,
        sample=sample,
        losses={protocol: evaluation.loss for protocol, evaluation in losses.items()},
    )


def _training_record(facts: RunFacts, result: TrainingResult, difference: float) -> dict[str, Any]:
    """What `config.json` keeps of the run; the folder's own path is nobody's business."""
    kept = {name: value for name, value in asdict(result).items() if name not in ("model", "sample")}
    return {
        **facts.record,
        "settings": facts.settings.training.model_dump(),
        "result": {**kept, "sample": result.sample},
        "torch": torch.__version__,
        "python": platform.python_version(),
        "largest_logit_difference": difference,
    }
