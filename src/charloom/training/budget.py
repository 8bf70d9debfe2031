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
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from charloom.runtime.session import initial_state
from charloom.settings import Duration, ModelSettings, RunSettings, TrainingSettings
from charloom.training.batches import RingBatches, fit_batch
from charloom.training.data import TrainingData, model_shape
from charloom.training.learner import Learner
from charloom.training.publish import memory_seconds
from charloom.training.ranks import Ranks
from charloom.training.schedule import Plan
from charloom.training.state import fresh_state
from charloom.training.torch_session import TorchSession

SIZES = (64, 96, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 2048)
_FLOOR, _A, _ALPHA, _B, _BETA, _REPEATS = 1.086, 72.9, 0.500, 86.8, 0.364, 13.0
_PARAMETERS_A_CHARACTER = 3.0  # at most: beyond, a network memorizes the text before it learns its rules
_MEASURING_SHARE = 0.04  # of the budget, at most
_MEASURING_SECONDS = 12.0  # at most
_ROUNDS = 3  # of measuring all sizes, at most: another program may keep the cores busy for some seconds
_QUIET = 1.1  # a round that finds no size this much faster than the rounds before it is the last
_CLEARLY_WORSE = 0.02  # nats; sizes are tried upwards until the prediction is this much worse than the best
_RISK_FROM, _RISK_TO = 4.0, 46.0  # passes × parameters a character, where dropout begins and where it is full
_RESERVED_SHARE = 0.3  # of the budget, at most
_ROWS = {"cpu": 16, "cuda": 64}
_DEFAULT_SECONDS = (20, 300)  # the least and the most, unless the user says how long
_DEFAULT_CHARACTERS_A_SECOND = 4000


def default_budget(characters: int) -> Duration:
    """How long to train by default: five minutes, less where the text is short."""
    least, most = _DEFAULT_SECONDS
    return Duration(min(most, max(least, round(characters / _DEFAULT_CHARACTERS_A_SECOND))))


@dataclass(frozen=True)
class Choice:
    """What was chosen for a budget.

    Attributes:
        settings: with the choice laid over what was not given.
        steps: updates expected.
        speed: characters a second that were measured.
        reason: a sentence for people.
    """

    settings: RunSettings
    steps: int
    speed: float
    reason: str


@dataclass(frozen=True)
class _Candidate:
    settings: RunSettings
    parameters: int
    speed: float  # characters a second
    passes: float
    loss: float


def predicted_loss(parameters: float, read: float, different: float) -> float:
    """Nats a character after `read` characters of a text with `different` ones; see the module's equation."""
    worth = read
    if read > different:
        worth = different * (1 + _REPEATS * (1 - math.exp(-(read / different - 1) / _REPEATS)))
    return float(_FLOOR + _A / parameters**_ALPHA + _B / worth**_BETA)


def choose(
    data: TrainingData,
    settings: RunSettings,
    fixed: frozenset[str],
    device: torch.device,
    ranks: Ranks,
    spent: float = 0.0,
) -> Choice:
    """The network and batch that will be best when the budget is spent.

    Args:
        data: the text.
        settings: with a budget.
        fixed: the settings that must stay as they are.
        device: where to train.
        ranks: the processes that share the rows; rank 0 measures for all.
        spent: seconds of the budget that are gone.
    """
    assert settings.training.budget is not None
    content = b""
    if ranks.writes:
        seconds = max(1e-3, settings.training.budget - spent)
        best = _best(data, settings, fixed, seconds, _Probes(data, device, ranks))
        training = best.settings.training
        steps = max(1, round(best.passes * data.characters / (training.batch_size * training.bptt)))
        reason = _reason(settings.training.budget, best)
        content = json.dumps([best.settings.model_dump(), steps, best.speed, reason]).encode()
    chosen, steps, speed, reason = json.loads(ranks.share_bytes(content))
    return Choice(RunSettings.model_validate(chosen), steps, speed, reason)


class _Probes:
    """How fast each size learns here: the best of some rounds of measuring, a round apart from each other."""

    def __init__(self, data: TrainingData, device: torch.device, ranks: Ranks) -> None:
        self.data = data
        self.device = device
        self._ranks = ranks
        self._fastest: dict[int, float] = {}
        self._started = time.perf_counter()
        self.found_faster = True  # whether this round has found a size clearly faster than the rounds before

    @property
    def seconds(self) -> float:
        """Since measuring began."""
        return time.perf_counter() - self._started

    def knows(self, size: int) -> bool:
        """Whether that size was measured."""
        return size in self._fastest

    def speed(self, settings: RunSettings, *, again: bool) -> float:
        """Characters a second with these settings, the best that was ever measured; once more, if `again`."""
        size = settings.model.hidden_size
        if not again:
            return self._fastest[size]
        before, now = self._fastest.get(size, 0.0), _measure_speed(self.data, settings, self.device, self._ranks)
        self.found_faster = self.found_faster or now > _QUIET * before
        self._fastest[size] = max(before, now)
        return self._fastest[size]


def _best(
    data: TrainingData, settings: RunSettings, fixed: frozenset[str], seconds: float, probes: _Probes
) -> _Candidate:
    """The best size, after as many rounds of measuring as there is time and reason for."""
    rounds = 1 if "hidden_size" in fixed else _ROUNDS
    best: _Candidate | None = None
    for number in range(rounds):
        if number and not (probes.found_faster and probes.seconds < _measuring(seconds)):
            break
        probes.found_faster, best = False, None
        for candidate in _candidates(data, settings, fixed, seconds, probes):
            if best is None or candidate.loss < best.loss:
                best = candidate
            elif candidate.loss > best.loss + _CLEARLY_WORSE:
                break
    assert best is not None
    return replace(best, settings=_with_dropout(best, data.characters, fixed))


def _measuring(seconds: float) -> float:
    return min(_MEASURING_SECONDS, _MEASURING_SHARE * seconds)


def _candidates(
    data: TrainingData, settings: RunSettings, fixed: frozenset[str], seconds: float, probes: _Probes
) -> Iterator[_Candidate]:
    """The sizes that can be measured in the time for it, or were before, smallest first, each with its prediction."""
    characters = data.characters
    sizes = (settings.model.hidden_size,) if "hidden_size" in fixed else SIZES
    for index, size in enumerate(sizes):
        sized = _with_size(settings, size, fixed, probes.device)
        parameters = model_shape(data, sized.model).parameters
        too_large = parameters > max(20_000, _PARAMETERS_A_CHARACTER * characters)
        in_time = index == 0 or probes.seconds <= _measuring(seconds)
        if index and (too_large or not (in_time or probes.knows(size))):
            return
        speed = probes.speed(sized, again=in_time)
        read = speed * 0.9 * seconds  # the rest goes to evaluations
        yield _Candidate(sized, parameters, speed, read / characters, predicted_loss(parameters, read, characters))


def _with_size(settings: RunSettings, hidden_size: int, fixed: frozenset[str], device: torch.device) -> RunSettings:
    """The settings for a size; smaller networks bear higher rates."""
    training = {
        "batch_size": _ROWS.get(device.type, 16),
        "bptt": 100,
        "learning_rate": round(3e-3 * math.sqrt(512 / hidden_size), 5),
    }
    return _laid_over(settings, {"hidden_size": hidden_size}, training, fixed)


def _with_dropout(best: _Candidate, characters: int, fixed: frozenset[str]) -> RunSettings:
    """The more a network could memorize, the more dropout.

    The risk grows with passes × parameters a character. Below 4 dropout cost more than it gave in our runs; where
    it was 46, the full measure was best.
    """
    risk = best.passes * best.parameters / characters
    strength = min(1.0, max(0.0, math.log(risk / _RISK_FROM) / math.log(_RISK_TO / _RISK_FROM)))
    model = {"dropout": round(0.3 * strength, 2), "input_dropout": round(0.1 * strength, 3)}
    return _laid_over(best.settings, model, {"weight_decay": round(0.01 + 0.09 * strength, 3)}, fixed)


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


def _measure_speed(data: TrainingData, settings: RunSettings, device: torch.device, ranks: Ranks) -> float:
    """Characters learned a second by all ranks: the best of a few updates of a network that is thrown away."""
    characters = data.characters
    fitted = fit_batch(characters, settings.training, frozenset())
    share = max(1, fitted.batch_size // ranks.world_size)
    own = settings.model_copy(update={"training": fitted.model_copy(update={"batch_size": share})})
    sample = data.split.train[0].ids[: share * fitted.bptt * 4 + 1]
    batches = RingBatches(np.resize(sample, max(len(sample), share * fitted.bptt)), share, fitted.bptt, seed=0)
    state = fresh_state(model_shape(data, own.model), own, device, Ranks())
    learner = Learner(state, batches, own.training, own.model.weight_drop, Ranks())
    times = []
    state.model.train()
    for _ in range(4):
        started = time.perf_counter()
        learner.update(0.0, lambda: False)
        times.append(time.perf_counter() - started)
    return batches.characters(0) * ranks.world_size / min(times[1:])


def _reason(budget: Duration, best: _Candidate) -> str:
    model, training = best.settings.model, best.settings.training
    return (
        f"in {budget} this machine can read the text {best.passes:.1f} times with {model.cell.upper()} "
        f"{model.num_layers} × {model.hidden_size} ({best.speed:,.0f} characters/s), "
        f"the size that should learn most in this time; {training.batch_size} rows × {training.bptt}, "
        f"dropout {model.dropout:g}, learning rate {training.learning_rate:g}"
    )


def budget_plan(
    data: TrainingData,
    settings: RunSettings,
    steps: int,
    device: torch.device,
    ranks: Ranks,
    promised: float | None = None,
) -> Plan:
    """The plan for a budget: what the evaluations at the end will cost is reserved.

    Args:
        data: the text.
        settings: with a budget, and with everything that was chosen for it.
        steps: updates that are expected.
        device: where to train.
        ranks: the processes that share the rows; rank 0 measures for all.
        promised: characters a second that the size was chosen for, where another could be taken.
    """
    training: TrainingSettings = settings.training
    assert training.budget is not None
    reserve = ranks.share(_final_seconds(data, settings, device) if ranks.writes else 0.0)
    reserve = min(reserve, _RESERVED_SHARE * training.budget)
    return Plan(training, steps, training.evaluate_every, training.budget, reserve, promised)


def _final_seconds(data: TrainingData, settings: RunSettings, device: torch.device) -> float:
    """About how long the last measurements take: the text once as one row, twice in many rows; then its memory."""
    model: ModelSettings = settings.model
    session = TorchSession(fresh_state(model_shape(data, model), settings, device, Ranks()).model)
    seconds = each = 0.0
    for rows, length, readings in ((1, 256, 1.0), (32, 256, 2.0)):
        ids = np.zeros((length, rows), dtype=np.int64)
        session.run(ids[:8], initial_state(session.shape, rows))
        started = time.perf_counter()
        session.run(ids, initial_state(session.shape, rows))
        each = (time.perf_counter() - started) / ids.size
        seconds += readings * each * data.validation_characters
    return seconds + memory_seconds(data, each)
