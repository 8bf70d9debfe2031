"""From the best weights to a committed model directory."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save

from charloom.bundle import MemoryRecord, ModelConfig, ModelShape, read_history, write_model_directory
from charloom.bundle.config import METRICS, FileName, PrecisionRecord
from charloom.runtime.evaluation import Evaluation, evaluate_segments, evaluation_of_loss
from charloom.runtime.generation import generate_batch
from charloom.runtime.session import OnnxSession, Session
from charloom.settings import Protocol, RunSettings
from charloom.text.splits import Segment, Split
from charloom.text.vocabulary import Ids, Vocabulary
from charloom.training.card import model_card
from charloom.training.export import build_graph, verify_graph
from charloom.training.graph import Arrays
from charloom.training.memory import measured_memory
from charloom.training.picture import draw_losses
from charloom.training.preparation import TrainingData
from charloom.training.quantization import build_int8_graph
from charloom.training.result import TrainingResult
from charloom.training.session import TorchSession
from charloom.training.state import TrainingState
from charloom.version import __version__

SAMPLE_LENGTH = 160
_COMPARED_CHARACTERS = 32_768  # of the validation text, to compare int8 with float32
_CHECKED_CHARACTERS = 256  # of the validation text, to compare the graph with PyTorch


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


def publish(data: TrainingData, state: TrainingState, shape: ModelShape, facts: RunFacts) -> TrainingResult:
    """Export the best weights, check them against PyTorch, measure them and commit the model directory.

    Raises:
        TrainingError: the exported graph does not agree with PyTorch.
        StorageError: the folder cannot be written; nothing was changed.
    """
    state.model.load_state_dict(state.best_weights)
    session = TorchSession(state.model)
    weights: Arrays = {name: tensor.numpy() for name, tensor in state.best_weights.items()}
    graph = build_graph(shape, weights)
    difference = verify_graph(graph, session, _some_text(data.split))
    int8_graph = build_int8_graph(shape, weights)
    precision = None if int8_graph is None else _compared(graph, int8_graph, shape, data)
    if facts.stopped:
        # A person who pressed Ctrl-C is waiting: what was measured on the way must do.
        protocol, loss = data.protocol_on_the_way, state.progress.best_loss
        losses = {protocol: evaluation_of_loss(loss, data.vocabulary, data.split.validation, protocol)}
    else:
        losses = {protocol: _measure(session, data, protocol) for protocol in data.final_protocols}
    sample = short_sample(session, data.vocabulary, facts.settings)
    memory = None if facts.stopped else _memory(data, shape, facts.settings, graph, int8_graph, precision)
    result = _result(state, shape, facts, losses, sample)

    def config_for(checksums: dict[FileName, str]) -> ModelConfig:
        return ModelConfig(
            library_version=__version__,
            model=shape,
            corpus=data.record,
            training=_training_record(facts, result, difference),
            losses={protocol: evaluation.record() for protocol, evaluation in losses.items()},
            precision=precision,
            memory=memory,
            files=checksums,
        )

    files: dict[FileName, bytes] = {
        "model.safetensors": save(weights),
        "model.onnx": graph,
        **({} if int8_graph is None else {"model.int8.onnx": int8_graph}),
        "README.md": model_card(shape, data.record, list(losses.values()), result, memory),
        "loss.svg": draw_losses(read_history(facts.folder / METRICS)),
    }
    write_model_directory(facts.folder, config_for, data.vocabulary, facts.settings.sampling, files)
    return result


def _measure(session: Session, data: TrainingData, protocol: Protocol) -> Evaluation:
    return evaluate_segments(session, data.vocabulary, data.split.validation, protocol)


def _compared(graph: bytes, int8_graph: bytes, shape: ModelShape, data: TrainingData) -> PrecisionRecord:
    """The losses of both graphs on the beginning of the validation text."""
    part = [Segment(data.split.validation[0].ids[: _COMPARED_CHARACTERS + 1])]
    float32, int8 = (
        evaluate_segments(OnnxSession(content, shape), data.vocabulary, part, "windows-256")
        for content in (graph, int8_graph)
    )
    return PrecisionRecord(float32=float32.loss, int8=int8.loss, characters=float32.characters)


def _memory(
    data: TrainingData,
    shape: ModelShape,
    settings: RunSettings,
    graph: bytes,
    int8_graph: bytes | None,
    precision: PrecisionRecord | None,
) -> MemoryRecord | None:
    """What the graph that will write knows by heart."""
    faithful = int8_graph is not None and precision is not None and precision.int8_is_faithful
    session = OnnxSession(int8_graph if faithful and int8_graph is not None else graph, shape)
    return measured_memory(session, data, settings.sampling, settings.training.seed)


def _some_text(split: Split) -> Ids:
    """Real text, ids (T, 1), to compare two implementations on."""
    return split.validation[0].ids[:_CHECKED_CHARACTERS, None]


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
