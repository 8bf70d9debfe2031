"""How fast networks of each size learn on this machine, whatever else it is doing for the moment."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from charloom.settings import RunSettings
from charloom.training.batches import RingBatches, fit_batch
from charloom.training.data import TrainingData, model_shape
from charloom.training.device import one_thread
from charloom.training.learner import Learner
from charloom.training.optimizer import Muon
from charloom.training.ranks import Ranks
from charloom.training.state import TrainingState, fresh_state

_UPDATES = 3  # that are timed, after one that is not
_MOST_PROGRAMS = 8  # that share a core at once: less processor time than that was not counted
_QUIET = 1.1  # a round that finds no size this much faster than the rounds before it is the last


class Probes:
    """The speeds of sizes: for each the best of some rounds of measuring, a round apart from each other.

    Attributes:
        fastest: characters a second by hidden units.
    """

    def __init__(self, data: TrainingData, device: torch.device, ranks: Ranks, seconds: float) -> None:
        """Measure for about so many seconds."""
        self._data = data
        self._device = device
        self._ranks = ranks
        self._end = time.perf_counter() + seconds
        self._found_faster = True
        self.fastest: dict[int, float] = {}

    def begin_round(self) -> bool:
        """Measure all sizes once more; False where there is no time or no reason for it."""
        is_worth_it = not self.fastest or (self._found_faster and self._is_in_time())
        self._found_faster = False
        return is_worth_it

    def speed(self, settings: RunSettings) -> float:
        """Characters a second with these settings, the best that was ever measured; an estimate where time is up."""
        size = settings.model.hidden_size
        if self.fastest and not self._is_in_time():
            return estimate_speed(self.fastest, settings, self._data)
        before = self.fastest.get(size)
        now = measure_speed(self._data, settings, self._device, self._ranks, self._end)
        self._found_faster = self._found_faster or before is None or now > _QUIET * before
        self.fastest[size] = max(before or 0.0, now)
        return self.fastest[size]

    def with_input_dropout(self, settings: RunSettings) -> dict[int, float]:
        """The fastest speeds with the input dropout of some settings, which takes a part of them."""
        if not self._is_in_time():
            return self.fastest
        without = settings.model_copy(update={"model": settings.model.model_copy(update={"input_dropout": 0.0})})
        # By one thread alone, which no other program can slow.
        slow, fast = (measure_speed(self._data, each, self._device, self._ranks, 0.0) for each in (settings, without))
        return {size: min(1.0, slow / fast) * speed for size, speed in self.fastest.items()}

    def _is_in_time(self) -> bool:
        return time.perf_counter() <= self._end


def estimate_speed(fastest: dict[int, float], settings: RunSettings, data: TrainingData) -> float:
    """The speed that was measured, or what the number of parameters says of it beside the largest size that was."""
    size = settings.model.hidden_size
    if size in fastest:
        return fastest[size]
    largest = max(fastest)
    known = settings.model.model_copy(update={"hidden_size": largest})
    share = model_shape(data, known).parameters / model_shape(data, settings.model).parameters
    return fastest[largest] * share


def measure_speed(
    data: TrainingData, settings: RunSettings, device: torch.device, ranks: Ranks, until: float = math.inf
) -> float:
    """Characters learned a second by all ranks: a few updates of a network that is thrown away.

    Other programs cannot slow what is counted by the processor time of one thread. How much faster several threads
    are is the ratio of two times that are measured at once; after `until`, by `time.perf_counter`, it is taken to be 1.
    """
    state, learner, characters = _throwaway(data, settings, device, ranks)
    threads = torch.get_num_threads()
    if device.type != "cpu":
        (together,) = _seconds(state, learner, time.perf_counter)
        return characters / together
    with one_thread():
        counted, wall = _seconds(state, learner, time.thread_time, time.perf_counter)
    # Some systems count processor time in steps of 16 ms: it may stand still, or leap.
    alone = min(counted, wall) if counted > wall / _MOST_PROGRAMS else wall
    if threads == 1 or time.perf_counter() > until:
        return characters / alone
    (together,) = _seconds(state, learner, time.perf_counter)
    return characters / alone * min(threads, max(1.0, wall / together))


def third_speed(data: TrainingData, settings: RunSettings, device: torch.device, ranks: Ranks) -> float:
    """The speed in thirds of a window, as a share of that in whole ones."""
    window = max(1, settings.training.bptt // 3)
    thirds = settings.model_copy(update={"training": settings.training.model_copy(update={"bptt": window})})
    # By one thread alone, which no other program can slow.
    slow, fast = (measure_speed(data, each, device, ranks, 0.0) for each in (thirds, settings))
    return min(1.0, slow / fast)


def _throwaway(
    data: TrainingData, settings: RunSettings, device: torch.device, ranks: Ranks
) -> tuple[TrainingState, Learner, int]:
    """What learns one rank's share of the rows, and how many characters an update of all ranks is."""
    fitted = fit_batch(data.characters, settings.training, frozenset())
    share = max(1, fitted.batch_size // ranks.world_size)
    own = settings.model_copy(update={"training": fitted.model_copy(update={"batch_size": share})})
    sample = data.split.train[0].ids[: share * fitted.bptt * 4 + 1]
    batches = RingBatches(np.resize(sample, max(len(sample), share * fitted.bptt)), share, fitted.bptt, seed=0)
    state = fresh_state(model_shape(data, own.model), own, device, Ranks())
    state.model.train()
    learner = Learner(state, batches, own.training, own.model.weight_drop, Ranks())
    return state, learner, batches.characters(0) * ranks.world_size


def _seconds(state: TrainingState, learner: Learner, *clocks: Callable[[], float]) -> list[float]:
    """Seconds an update by each clock, with its share of what the optimizer does only now and then."""
    intervals = [group.get("interval", 0) for group in state.optimizer.param_groups]
    for group in state.optimizer.param_groups:
        group["interval"] = sys.maxsize
    learner.update(0.0, lambda: False)
    updates = _clocked(clocks, lambda: [learner.update(0.0, lambda: False) for _ in range(_UPDATES)])
    for group, interval in zip(state.optimizer.param_groups, intervals, strict=True):
        group["interval"] = interval
    if not isinstance(state.optimizer, Muon):
        return [each / _UPDATES for each in updates]
    renewals = _clocked(clocks, state.optimizer.renew_directions)
    return [each / _UPDATES + once / max(intervals) for each, once in zip(updates, renewals, strict=True)]


def _clocked(clocks: Sequence[Callable[[], float]], job: Callable[[], object]) -> list[float]:
    started = [clock() for clock in clocks]
    job()
    return [clock() - start for clock, start in zip(clocks, started, strict=True)]
