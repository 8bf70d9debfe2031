"""From a time budget to a network: measure this machine, predict what each size would have learned by then.

The prediction is a scaling law for repeated data. A network of N parameters that reads D characters, of which U are
different, reaches about

    loss(N, D) = floor + A / N^α + B / D'^β        D' = U + U · R · (1 − exp(−(D/U − 1) / R))    for D > U

(Hoffmann et al., 2022, equation 10; Muennighoff et al., 2023, equation 5). The constants were fitted to our own runs
(`benchmarks/budget_law.py`). Only the order of the predictions matters here, not their values.

Legend: B rows, T time, H hidden units, N parameters.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from charloom.runtime.session import initial_state
from charloom.settings import LENGTHS, Duration, LearningPrecision, RunSettings, TrainingSettings
from charloom.training.data import TrainingData, model_shape
from charloom.training.device import computes_bfloat16, one_thread
from charloom.training.publish import memory_seconds
from charloom.training.ranks import Ranks
from charloom.training.schedule import Growth, Plan, usual_rate
from charloom.training.speed import Probes, estimate_speed, third_speed
from charloom.training.state import Progress, fresh_state
from charloom.training.temperature import temperature_seconds
from charloom.training.torch_session import TorchSession

SIZES = (64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 2048)
_FLOOR, _A, _ALPHA, _B, _BETA, _REPEATS = 1.17, 68.8, 0.50, 197.0, 0.46, 13.0
_PARAMETERS_A_CHARACTER = 3.0  # at most: beyond, a network memorizes the text before it learns its rules
_DEEP_PASSES, _DEEP_LAYERS = 10.5, 2  # a text that can be read more often by two layers is learned better by them
_DEEP_UNITS = 128  # at least: two narrow layers learn less than a wide one, which a short text has the parameters for
_MEASURING_SHARE = 0.04  # of the budget, at most
_MEASURING_SECONDS = 12.0  # at most
_ROUNDS = 3  # of measuring all sizes, at most: another program may keep the cores busy for some seconds
_LEARNING_SHARE = 0.9  # of the budget; the rest goes to evaluations
_CLEARLY_WORSE = 0.02  # nats; sizes are tried upwards until the prediction is this much worse than the best
_FOR_PASSES, _FOR_PARAMETERS, _WITHOUT = 0.63, 0.22, 0.72  # how much regularization, fitted to Muon's best
_MOST_DROPOUT = 0.5
_MORE_DROPOUT = (0.55, 0.1)  # for a strength above 1: of one layer, of several, which drop between them as well
_BETTER = 0.01  # nats that another size must promise for a run to begin again
_ROWS = {"cpu": 16, "cuda": 64}
_DEFAULT_SECONDS = (20, 300)  # the least and the most, unless the user says how long
_DEFAULT_CHARACTERS_A_SECOND = 4000


def default_budget(characters: int) -> Duration:
    """How long to train by default: five minutes, less where the text is short."""
    least, most = _DEFAULT_SECONDS
    return Duration(min(most, max(least, round(characters / _DEFAULT_CHARACTERS_A_SECOND))))


def shared_budget(training: TrainingSettings, characters: int) -> float | None:
    """Seconds for several runs on a text together; None where epochs or steps say how long each is."""
    if training.budget is None and all(getattr(training, name) is None for name in LENGTHS):
        return default_budget(characters)
    return training.budget


@dataclass(frozen=True)
class Choice:
    """What was chosen for a budget.

    Attributes:
        settings: with the choice laid over what was not given.
        steps: updates expected.
        speed: characters a second that were measured, in whole windows.
        growth: of the windows, where they grow.
        speeds: those of all sizes that were measured, by hidden units.
        reason: a sentence for people.
    """

    settings: RunSettings
    steps: int
    speed: float
    growth: Growth | None
    speeds: dict[int, float]
    reason: str


@dataclass(frozen=True)
class _Candidate:
    settings: RunSettings
    parameters: int
    speed: float  # characters a second
    passes: float
    loss: float


def predicted_loss(parameters: float, read: float, different: float) -> float:
    """Nats a character that an LSTM is expected to reach, by the scaling law that chooses budgets' sizes.

    Only the order of predictions can be trusted, not their values.

    Args:
        parameters: trained weights.
        read: characters read, over all epochs.
        different: characters that the text has.
    """
    worth = read
    if read > different:
        worth = different * (1 + _REPEATS * (1 - math.exp(-(read / different - 1) / _REPEATS)))
    return float(_FLOOR + _A / parameters**_ALPHA + _B / worth**_BETA)


def choose(
    data: TrainingData, settings: RunSettings, fixed: frozenset[str], device: torch.device, ranks: Ranks
) -> Choice:
    """The network and batch that will be best when the budget is spent.

    Args:
        data: the text.
        settings: with a budget.
        fixed: the settings that must stay as they are.
        device: where to train.
        ranks: the processes that share the rows; rank 0 measures for all.
    """
    budget = settings.training.budget
    assert budget is not None
    content = b""
    if ranks.writes:
        precisions = _precisions(settings, device)
        seconds = min(_MEASURING_SECONDS, _MEASURING_SHARE * budget) / len(precisions)

        def measured(own: RunSettings) -> tuple[_Candidate, dict[int, float]]:
            return _measured_best(data, own, fixed, device, Probes(data, device, ranks, seconds))

        chosen = [measured(_with(settings, precision=precision)) for precision in precisions]
        best, speeds = min(chosen, key=lambda each: each[0].loss)
        if best.passes > _DEEP_PASSES and not {"hidden_size", "num_layers"} & fixed:
            deep = measured(_with(settings, precision=best.settings.training.precision, layers=_DEEP_LAYERS))
            if deep[0].passes > _DEEP_PASSES and deep[0].settings.model.hidden_size >= _DEEP_UNITS:
                best, speeds = deep
        content = _packed(data, best, speeds, budget, _measure_growth(data, best.settings, device, ranks))
    return _unpacked(ranks.share_bytes(content))


def _measured_best(
    data: TrainingData, settings: RunSettings, fixed: frozenset[str], device: torch.device, probes: Probes
) -> tuple[_Candidate, dict[int, float]]:
    """The best size by measured speeds, and these."""
    budget = settings.training.budget
    assert budget is not None
    for _ in range(1 if "hidden_size" in fixed else _ROUNDS):
        if probes.begin_round():
            best = _best(data, settings, fixed, budget, device, probes.speed)
    speeds = probes.fastest
    if best.settings.model.input_dropout > settings.model.input_dropout:
        speeds = probes.with_input_dropout(best.settings)
        best = _best(data, settings, fixed, budget, device, partial(_estimate, data, speeds))
    return best, speeds


def _measure_growth(data: TrainingData, settings: RunSettings, device: torch.device, ranks: Ranks) -> Growth | None:
    if not settings.training.grow_windows or data.record.items:
        return None
    return Growth(third_speed(data, settings, device, ranks))


def _precisions(settings: RunSettings, device: torch.device) -> list[LearningPrecision]:
    """Those to measure, the one to take where they are equal first."""
    if settings.training.precision != "auto":
        return [settings.training.precision]
    return ["float32", "bfloat16"] if computes_bfloat16(device) else ["float32"]


def _with(settings: RunSettings, *, precision: LearningPrecision, layers: int | None = None) -> RunSettings:
    training = settings.training.model_copy(update={"precision": precision})
    model = settings.model.model_copy(update={} if layers is None else {"num_layers": layers})
    return settings.model_copy(update={"model": model, "training": training})


def choose_again(
    data: TrainingData,
    settings: RunSettings,
    fixed: frozenset[str],
    device: torch.device,
    ranks: Ranks,
    chosen: Choice,
    progress: Progress,
) -> Choice | None:
    """A size that will be clearly better than the chosen one, though it has to begin anew; None where there is none.

    All sizes are taken to be as much faster or slower than measured as the run is.

    Args:
        data: the text.
        settings: as they were before the choice.
        fixed: the settings that must stay as they are.
        device: where to train.
        ranks: the processes that share the rows; rank 0 decides for all.
        chosen: what the run began with.
        progress: of the run.
    """
    budget = settings.training.budget
    assert budget is not None
    content = b""
    if ranks.writes:
        model, training = chosen.settings.model, chosen.settings.training
        settings = _with(settings, precision=training.precision, layers=model.num_layers)
        speed = progress.characters / max(progress.training_seconds, 1e-9)
        if chosen.growth is not None:
            speed /= chosen.growth.speed(progress.parts)
        factor = speed / chosen.speed
        left = max(1e-3, budget - progress.seconds)
        now = {size: factor * fastest for size, fastest in chosen.speeds.items()}
        best = _best(data, settings, fixed, left, device, partial(_estimate, data, now))
        read = progress.characters + _LEARNING_SHARE * speed * left
        parameters = model_shape(data, chosen.settings.model).parameters
        if best.loss < predicted_loss(parameters, read, data.characters) - _BETTER:
            content = _packed(data, best, now, budget, chosen.growth)
    content = ranks.share_bytes(content)
    return _unpacked(content) if content else None


def _estimate(data: TrainingData, speeds: dict[int, float], settings: RunSettings) -> float:
    return estimate_speed(speeds, settings, data)


def _packed(
    data: TrainingData, best: _Candidate, speeds: dict[int, float], budget: Duration, growth: Growth | None
) -> bytes:
    training = best.settings.training
    windows = best.passes * data.characters / (training.batch_size * training.bptt)
    steps = max(1, round(windows * (growth.updates() if growth else 1)))
    reason = _reason(budget, best, best.passes * (growth.characters() if growth else 1))
    third = growth.third if growth else None
    return json.dumps([best.settings.model_dump(), steps, best.speed, third, list(speeds.items()), reason]).encode()


def _unpacked(content: bytes) -> Choice:
    settings, steps, speed, third, speeds, reason = json.loads(content)
    growth = None if third is None else Growth(third)
    return Choice(RunSettings.model_validate(settings), steps, speed, growth, dict(speeds), reason)


def _best(
    data: TrainingData,
    settings: RunSettings,
    fixed: frozenset[str],
    seconds: float,
    device: torch.device,
    speed: Callable[[RunSettings], float],
) -> _Candidate:
    """The best size; sizes are tried upwards until the prediction is clearly worse."""
    best: _Candidate | None = None
    for candidate in _candidates(data, settings, fixed, seconds, device, speed):
        if best is None or candidate.loss < best.loss:
            best = candidate
        elif candidate.loss > best.loss + _CLEARLY_WORSE:
            break
    assert best is not None
    return replace(best, settings=_with_dropout(best, data.characters, fixed))


def _candidates(
    data: TrainingData,
    settings: RunSettings,
    fixed: frozenset[str],
    seconds: float,
    device: torch.device,
    speed_of: Callable[[RunSettings], float],
) -> Iterator[_Candidate]:
    """The sizes that fit the text, smallest first, each with its prediction."""
    characters = data.characters
    sizes = (settings.model.hidden_size,) if "hidden_size" in fixed else SIZES
    for index, size in enumerate(sizes):
        sized = _with_size(settings, size, fixed, device)
        parameters = model_shape(data, sized.model).parameters
        if index and parameters > max(20_000, _PARAMETERS_A_CHARACTER * characters):
            return
        speed = speed_of(sized)
        read = _LEARNING_SHARE * speed * seconds
        yield _Candidate(sized, parameters, speed, read / characters, predicted_loss(parameters, read, characters))


def _with_size(settings: RunSettings, hidden_size: int, fixed: frozenset[str], device: torch.device) -> RunSettings:
    """The settings for a size."""
    training = {
        "batch_size": _ROWS.get(device.type, 16),
        "bptt": 100,
        "grow_windows": device.type == "cpu" and "bptt" not in fixed,
        "learning_rate": usual_rate(hidden_size),
    }
    return _laid_over(settings, {"hidden_size": hidden_size}, training, fixed)


def _with_dropout(best: _Candidate, characters: int, fixed: frozenset[str]) -> RunSettings:
    """The more a network could memorize, the more dropout: by passes, and by parameters a character (see the docs)."""
    passes, parameters = math.log(best.passes), math.log(best.parameters / characters)
    strength = max(0.0, _FOR_PASSES * passes + _FOR_PARAMETERS * parameters - _WITHOUT)
    beside = min(1.0, strength)
    more = _MORE_DROPOUT[best.settings.model.num_layers > 1] * (strength - beside)
    dropout = min(_MOST_DROPOUT, 0.3 * beside + more)
    model = {"dropout": round(dropout, 2), "input_dropout": round(0.1 * beside, 3)}
    return _laid_over(best.settings, model, {"weight_decay": round(0.01 + 0.09 * beside, 3)}, fixed)


def _laid_over(
    settings: RunSettings, model: dict[str, float], training: dict[str, float], fixed: frozenset[str]
) -> RunSettings:
    def free(values: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in values.items() if name not in fixed}

    return settings.model_copy(
        update={
            "model": settings.model.model_copy(update=free(model)),
            "training": settings.training.model_copy(update=free(training)),
        }
    )


def _reason(budget: Duration, best: _Candidate, passes: float) -> str:
    model, training = best.settings.model, best.settings.training
    return (
        f"in {budget} this machine can read the text {passes:.1f} times with {model.cell.upper()} "
        f"{model.num_layers} × {model.hidden_size} ({best.speed:,.0f} characters/s), "
        f"the size that should learn most in this time; {training.batch_size} rows × {training.bptt}"
        f"{' (shorter at first)' if training.grow_windows else ''}, "
        f"dropout {model.dropout:g}, learning rate {training.learning_rate:g}"
        + (", bfloat16" if training.precision == "bfloat16" else "")
    )


def budget_plan(
    data: TrainingData,
    settings: RunSettings,
    steps: int,
    device: torch.device,
    ranks: Ranks,
    promised: float | None = None,
    growth: Growth | None = None,
) -> Plan:
    """The plan for a budget: what the evaluations at the end will cost is reserved.

    Args:
        data: the text.
        settings: with a budget, and with everything that was chosen for it.
        steps: updates that are expected.
        device: where to train.
        ranks: the processes that share the rows; rank 0 measures for all.
        promised: characters a second, in whole windows, that the size was chosen for, where another could be taken.
        growth: of the windows, where they grow and that was measured.
    """
    training: TrainingSettings = settings.training
    assert training.budget is not None
    final, evaluation = _final_seconds(data, settings, device) if ranks.writes else (0.0, 1.0)
    final, evaluation = ranks.share(final), ranks.share(evaluation)
    readings = final / max(evaluation, 1e-9)
    growth = growth or (Growth() if training.grow_windows else None)
    return Plan(training, steps, training.evaluate_every, training.budget, final, readings, promised, growth)


def _final_seconds(data: TrainingData, settings: RunSettings, device: torch.device) -> tuple[float, float]:
    """About how long the last measurements take, and how long an evaluation on the way.

    The last: the text as one row, then its memory and its temperature; an evaluation: the text in many rows.
    """
    session = TorchSession(fresh_state(model_shape(data, settings.model), settings, device, Ranks()).model)
    with one_thread() if settings.training.threads is None else nullcontext():
        one, many = (_reading_seconds(session, rows) for rows in (1, 32))
    evaluation = many * data.validation_characters
    written = memory_seconds(data, many) + temperature_seconds(data.characters, many)
    return one * data.validation_characters + written, evaluation


def _reading_seconds(session: TorchSession, rows: int) -> float:
    """Seconds a character where so many rows are read side by side."""
    ids = np.zeros((256, rows), dtype=np.int64)
    session.run(ids[:8], initial_state(session.shape, rows))
    started = time.perf_counter()
    session.run(ids, initial_state(session.shape, rows))
    return (time.perf_counter() - started) / ids.size
