"""From the best weights to a committed model directory, with how much of its text the model memorized."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save

from charloom.bundle import MemoryRecord, ModelConfig, ModelShape, read_history, write_model_directory
from charloom.bundle.config import (
    KNOWN_ITEMS,
    METRICS,
    WEIGHTS,
    CopiedRecord,
    FileName,
    LikenessRecord,
    ListedRecord,
    RecitedRecord,
)
from charloom.files import storage_errors
from charloom.folders import sweep
from charloom.kernel.weights import Weights
from charloom.runtime.evaluation import Evaluation, evaluate_segments, evaluation_of_loss
from charloom.runtime.generation import draw_items, generate_batch
from charloom.runtime.novelty import CopiedShare, Novelty, NoveltySettings, Searched, novelty
from charloom.runtime.recitation import Recitation, ReciteSettings, passages_in, recite
from charloom.runtime.session import Session
from charloom.settings import Protocol, RunSettings, SamplingSettings
from charloom.text.known_items import MOST_KNOWN, KnownItems
from charloom.text.splits import Split, beginning
from charloom.training.agreement import check_agreement
from charloom.training.card import Findings, model_card
from charloom.training.data import TrainingData
from charloom.training.history import draw_losses
from charloom.training.old_text import OldText
from charloom.training.result import TrainingResult
from charloom.training.state import TrainingState
from charloom.training.temperature import TemperatureChoice, choose_temperature
from charloom.training.torch_session import TorchSession
from charloom.training.trainer import short_sample
from charloom.version import __version__

SEARCHED_CHARACTERS = 5_000_000  # of the training text, from its beginning
SHORTEST = 10_000  # characters of training text; below it there is little to memorize
_CHARACTERS_A_SAMPLE = 500  # of training text
_WRITTEN_SHARE = 10  # no more than a tenth of the training text's length is written
_MOST_WRITTEN = 5_000
_DRAWN_ITEMS = 1_000
_SEARCH_SECONDS = 0.6e-6  # for one character of the training text


def measure_memory(session: Session, data: TrainingData, sampling: SamplingSettings, seed: int) -> MemoryRecord | None:
    """Recite and search the beginning of the training text; None where the text is too short for it, or a list.

    Args:
        session: the finished network.
        data: what it was trained on.
        sampling: how it writes.
        seed: draws the passages and the texts.
    """
    if data.record.items:  # what follows an item in the list cannot be known, and is not learned
        return None
    split = Split(beginning(data.split.train, SEARCHED_CHARACTERS), data.split.validation)
    searched = sum(segment.predicted for segment in split.train)
    settings = ReciteSettings(samples=max(1, min(100, searched // _CHARACTERS_A_SAMPLE)), seed=seed)
    if searched < SHORTEST or passages_in(split.train, settings.passage) < settings.samples:
        return None
    recited = recite(session, data.vocabulary, split.train, settings)
    writing = NoveltySettings(characters=min(_MOST_WRITTEN, searched // _WRITTEN_SHARE), seed=seed)
    written = generate_batch(
        session, data.vocabulary, "", "", sampling.model_copy(update=writing.sampling), writing.rows
    )
    unseen = () if data.record.validation else split.validation
    texts = [one.text for one in written]
    if not any(texts):
        return None
    return _record(searched, recited, novelty(data.vocabulary, texts, Searched(split.train, unseen)))


def count_listed(
    session: Session, data: TrainingData, sampling: SamplingSettings, known: KnownItems, seed: int
) -> ListedRecord | None:
    """Write items and look for them in the list; None where no whole one is written."""
    drawing = sampling.model_copy(update={"seed": seed, "stop": sorted({*sampling.stop, "\n"})})
    written = draw_items(session, data.vocabulary, "", "", drawing, _DRAWN_ITEMS)
    return ListedRecord(written=len(written), listed=sum(item in known for item in written)) if written else None


def memory_seconds(data: TrainingData, seconds_a_character: float) -> float:
    """About how long that takes, where a network reads many rows at `seconds_a_character`."""
    if data.characters < SHORTEST:
        return 0.0
    stepped = 100 * ReciteSettings().passage + _MOST_WRITTEN
    # A step reads a character a row and so takes longer than its share of a window.
    return 2 * stepped * seconds_a_character + _SEARCH_SECONDS * min(data.characters, SEARCHED_CHARACTERS)


def _record(searched: int, recited: Recitation, found: Novelty) -> MemoryRecord:
    return MemoryRecord(
        searched=searched,
        recited=RecitedRecord(
            samples=recited.samples,
            exact=recited.exact,
            mean_matched=recited.mean_matched,
            prompt_length=recited.prompt_length,
            length=recited.length,
        ),
        written=_copied_record(found),
        unseen=None if found.unseen is None else _copied_record(found.unseen),
    )


def _copied_record(share: CopiedShare) -> CopiedRecord:
    return CopiedRecord.model_validate(
        {
            "characters": share.characters,
            "longest": share.longest,
            "copied_fraction": {str(length): fraction for length, fraction in share.copied_fraction.items()},
        }
    )


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run besides its state.

    Attributes:
        folder: the model directory to write.
        record: what `config.json` is to say of how the run was asked for: recipe, choice, init_from.
        settings: everything that was set or chosen.
        windows_per_epoch: updates that a pass over the text takes.
        resumed_from_step: where an interrupted run was taken up; 0 when none was.
        stopped: the run was asked to stop before its end.
        old: the text of the model that the run started from, where it was found.
        temperature_given: the user said at which temperature it is to write.
    """

    folder: Path
    record: dict[str, Any]
    settings: RunSettings
    windows_per_epoch: int
    resumed_from_step: int
    stopped: bool
    old: OldText | None = None
    temperature_given: bool = False


def publish(
    data: TrainingData, state: TrainingState, shape: ModelShape, facts: RunFacts, history: Path
) -> TrainingResult:
    """Export the best weights, check them against PyTorch, measure them and commit the model directory.

    The run's history, as far as it is recorded, becomes the model's.
    """
    state.model.load_state_dict(state.best_weights)
    session = TorchSession(state.model)
    weights: Weights = {name: tensor.numpy() for name, tensor in state.best_weights.items()}
    agreement = check_agreement(weights, session, data)
    losses = _measure(session, data, state, only_known=facts.stopped)
    temperature, sampling = _choose_sampling(agreement.session, data, facts)
    sample = short_sample(session, data.vocabulary, facts.settings.model_copy(update={"sampling": sampling}))
    known = KnownItems.of(data.listed_items) if data.record.items else None
    findings = Findings(agreement.precision, likeness=_likeness_record(data), temperature=temperature)
    if not facts.stopped:
        findings = _with_memory(findings, agreement.session, data, sampling, known, facts.settings.training.seed)
    result = _result(state, shape, facts, losses, sample)
    if facts.old is not None and not facts.stopped:
        result = replace(result, old_text=facts.old.result(state.model, data.vocabulary))

    def config_for(checksums: dict[FileName, str]) -> ModelConfig:
        return ModelConfig(
            library_version=__version__,
            model=shape,
            corpus=data.record,
            training=_training_record(facts, result, agreement.difference, temperature),
            losses={protocol: evaluation.record() for protocol, evaluation in losses.items()},
            precision=findings.precision,
            memory=findings.memory,
            listed=findings.listed,
            likeness=findings.likeness,
            files=checksums,
        )

    files: dict[FileName, bytes] = {
        WEIGHTS: save(weights),
        **agreement.graphs,
        "README.md": model_card(shape, data.record, list(losses.values()), result, findings, _origin_name(facts)),
        "loss.svg": draw_losses(read_history(history)),
    }
    if known is not None and facts.settings.corpus.known_items and len(known) <= MOST_KNOWN:
        files[KNOWN_ITEMS] = known.content
    if history.is_file():
        with storage_errors(history):
            files[METRICS] = history.read_bytes()
    write_model_directory(facts.folder, config_for, data.vocabulary, sampling, files)
    sweep(facts.folder)
    return result


def _with_memory(
    findings: Findings,
    session: Session,
    data: TrainingData,
    sampling: SamplingSettings,
    known: KnownItems | None,
    seed: int,
) -> Findings:
    """With what the model repeats: of a text, or of a list whose items are known."""
    return replace(
        findings,
        memory=measure_memory(session, data, sampling, seed),
        listed=None if known is None else count_listed(session, data, sampling, known, seed),
    )


def _likeness_record(data: TrainingData) -> LikenessRecord | None:
    found = data.likeness
    if found is None:
        return None
    return LikenessRecord(held_out=found.held_out, learned=found.learned, unlike=found.unlike)


def _origin_name(facts: RunFacts) -> str | None:
    """The name of the model whose weights the run started from, if it did."""
    origin = facts.record.get("init_from")
    return None if origin is None or not origin.get("keeps_weights", True) else str(origin["name"])


def _choose_sampling(
    session: Session, data: TrainingData, facts: RunFacts
) -> tuple[TemperatureChoice | None, SamplingSettings]:
    """How the model writes by default; the temperature is measured, unless the user said it or waits after Ctrl-C."""
    sampling = facts.settings.sampling
    if facts.stopped or facts.temperature_given:
        return None, sampling
    seed = facts.settings.training.seed
    chosen = choose_temperature(session, data.vocabulary, data.split, sampling, seed, items=data.record.items)
    return chosen, sampling.model_copy(update={"temperature": chosen.temperature})


def _measure(
    session: Session, data: TrainingData, state: TrainingState, *, only_known: bool
) -> dict[Protocol, Evaluation]:
    """The losses by all final protocols; only what was measured on the way where a person waits after Ctrl-C."""
    validation, known = data.measured, data.protocol_on_the_way
    losses = {known: evaluation_of_loss(state.progress.best_loss, data.vocabulary, validation, known)}
    if only_known:
        return losses
    return {
        protocol: losses.get(protocol) or evaluate_segments(session, data.vocabulary, validation, protocol)
        for protocol in data.final_protocols
    }


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
        epochs=progress.epochs(facts.windows_per_epoch),
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


def _training_record(
    facts: RunFacts, result: TrainingResult, difference: float, temperature: TemperatureChoice | None
) -> dict[str, Any]:
    """What `config.json` keeps of the run; without the absolute path, which may be private."""
    kept = {name: value for name, value in asdict(result).items() if name not in ("model", "sample")}
    return {
        **facts.record,
        "settings": facts.settings.training.model_dump(),
        "result": {**kept, "sample": result.sample},
        "torch": torch.__version__,
        "python": platform.python_version(),
        "largest_logit_difference": difference,
        **({} if temperature is None else {"temperature": asdict(temperature)}),
    }
