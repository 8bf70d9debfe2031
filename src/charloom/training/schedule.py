"""How long to train, how fast to learn when, and when to look: by a number of updates, or by a time budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from charloom.settings import TrainingSettings
from charloom.training.state import Progress

EVALUATIONS = 20  # a run, unless evaluate_every is set
EVALUATION_SHARE = 4  # at least this many characters are learned for each that is evaluated
_EVALUATION_PAUSE = 19  # on a clock: times what an evaluation took, so that all take a twentieth at most
_RATE = 4.5e-3  # the learning rate for 512 units
_SURE_UPDATES = 20  # before them the speed of a run says little
_MISJUDGED = 1.25  # times the speed that was promised, or less than a part as large
_EARLY = 0.1  # of the budget: what begins again has the rest
_PATIENT = 0.07  # of the budget: so long one waits for the machine to become faster
_RESERVED_SHARE = 0.3  # of the budget, at most
_LEARNING_LEAST = 1 / 3  # of the budget, however long reading, measuring and evaluations take
_GROWTH = ((0.3, 3), (0.6, 2), (1.0, 1))  # until such a share of a run, a window is learned in so many parts
_FIRST_LOOK = 1 / 8  # of the way to the first evaluation: people soon see whether it works


def usual_rate(hidden_size: int) -> float:
    """The highest rate that suits a network of so many units; smaller networks bear higher ones."""
    return round(_RATE * math.sqrt(512 / hidden_size), 5)


def learning_rate(done: float, settings: TrainingSettings) -> float:
    """The rate where a share `done` of the run lies behind, 0 < done ≤ 1.

    Linear warm-up, then a cosine to zero (Loshchilov and Hutter, 2017); or constant.
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    if done < settings.warmup:
        return settings.learning_rate * done / settings.warmup
    fallen = (done - settings.warmup) / (1 - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * fallen))


@dataclass(frozen=True)
class Growth:
    """What a run with growing windows comes to, beside one with whole windows.

    Attributes:
        third: the speed in thirds of a window, as a share of that in whole ones.
    """

    third: float = 0.65

    def speed(self, parts: int) -> float:
        """The speed in so many parts of a window: to each, a fixed time is added."""
        return 1 / (1 + (1 / self.third - 1) * (parts - 1) / 2)

    def characters(self, share: float = 1.0) -> float:
        """What is read in such a share of the run, in runs with whole windows."""
        return self._sum(share, lambda parts: self.speed(parts))

    def updates(self, share: float = 1.0) -> float:
        """How many updates are made in it, in runs with whole windows."""
        return self._sum(share, lambda parts: parts * self.speed(parts))

    def _sum(self, share: float, each: Callable[[int], float]) -> float:
        starts = (0.0, *(end for end, _ in _GROWTH))
        return sum(
            max(0.0, min(share, end) - start) * each(parts)
            for start, (end, parts) in zip(starts, _GROWTH, strict=False)
        )


@dataclass(frozen=True)
class Plan:
    """How long to train and how often to look.

    Attributes:
        settings: the training settings, batch and window already fitted to the text.
        steps: updates in all; with a budget, how many are expected.
        evaluate_every: updates between evaluations; None with a budget: by the clock.
        budget: seconds in all, or None where `steps` decide.
        reserve: seconds that what follows the last update would take now.
        reserved_readings: how often an evaluation on the way could read the validation split in that time.
        promised: characters a second, in whole windows, that the size was chosen for; None where no other could be.
        growth: of the windows, where they grow.
    """

    settings: TrainingSettings
    steps: int
    evaluate_every: int | None
    budget: float | None = None
    reserve: float = 0.0
    reserved_readings: float = 0.0
    promised: float | None = None
    growth: Growth | None = None

    def learning_seconds(self, progress: Progress) -> float:
        """The seconds of the budget that learning and the evaluations on the way may take.

        The last evaluation shows how fast the machine reads at present.
        """
        return self._promised_seconds(progress) + self.overrun(progress)

    def _promised_seconds(self, progress: Progress) -> float:
        assert self.budget is not None
        reserve = self.reserved_readings * progress.reading_seconds or self.reserve
        return max(1e-3, self.budget - min(reserve, _RESERVED_SHARE * self.budget))

    def overrun(self, progress: Progress) -> float:
        """Seconds by which learning must end late, because so little of the budget was left when it began."""
        if self.budget is None:
            return 0.0
        beside = progress.started_at + progress.looking_seconds
        return max(0.0, beside + _LEARNING_LEAST * self.budget - self._promised_seconds(progress))

    def share_done(self, progress: Progress) -> float:
        """The share of the run that lies behind once the coming update is made, above 0 and at most 1."""
        if self.budget is None:
            return min(1.0, (progress.step + 1) / (self.steps + 1))
        update = progress.training_seconds / progress.step if progress.step else 0.0
        seconds = progress.seconds - self.overrun(progress) + update
        return min(1.0, max(1e-6, seconds / self._promised_seconds(progress)))

    def rate(self, progress: Progress) -> float:
        """The learning rate of the coming update; lower after a rescue from a loss that was NaN or infinite."""
        return learning_rate(self.share_done(progress), self.settings) * progress.rate_scale

    def parts(self, progress: Progress) -> int:
        """In how many parts the coming window is to be learned."""
        if self.growth is None:
            return 1
        done = self.share_done(progress)
        return next(parts for end, parts in _GROWTH if done <= end)

    def is_over(self, progress: Progress) -> bool:
        """Whether no further update is to be made."""
        if self.budget is None:
            return progress.step >= self.steps
        return progress.step > 0 and self.share_done(progress) >= 1

    def steps_expected(self, progress: Progress) -> int:
        """How many updates the whole run will have, as far as one can tell."""
        if self.budget is None:
            return self.steps
        if self.is_over(progress):
            return progress.step
        begun, done, whole = (
            self._updates(seconds, progress)
            for seconds in (progress.started_at, progress.seconds, self.learning_seconds(progress))
        )
        if progress.step == 0 or done <= begun:
            return self.steps
        return round(progress.step * (whole - begun) / (done - begun))

    def _updates(self, seconds: float, progress: Progress) -> float:
        """How many updates could be made by such a time, with one in each second with whole windows."""
        if self.growth is None:
            return seconds
        return self.growth.updates(max(0.0, seconds - self.overrun(progress)) / self._promised_seconds(progress))

    def seconds_left(self, progress: Progress) -> float:
        """Seconds to the end of the run, as far as one can tell."""
        if self.budget is None:
            return progress.seconds / max(1, progress.step) * (self.steps - progress.step)
        return max(0.0, self.budget + self.overrun(progress) - progress.seconds)

    def is_misjudged(self, progress: Progress, speed: float) -> bool:
        """Whether learning goes so much faster or slower than promised that another size may be better.

        Only early in the run: what was learned may be lost.

        Args:
            progress: of the run.
            speed: characters a second of the latest updates.
        """
        if self.promised is None or self.budget is None or progress.step < _SURE_UPDATES:
            return False
        if progress.seconds >= _EARLY * self.budget:
            return False
        if self.growth is not None:
            speed /= self.growth.speed(progress.parts)
        too_slow = speed < self.promised / _MISJUDGED and progress.seconds >= _PATIENT * self.budget
        return speed > _MISJUDGED * self.promised or too_slow

    @property
    def _reading_seconds(self) -> float:
        """How long reading the validation split would have taken before the run."""
        return self.reserve / self.reserved_readings if self.reserved_readings else 0.0

    def evaluation_is_due(self, progress: Progress) -> bool:
        """Whether the validation split is to be measured now."""
        if progress.step == 0 or progress.evaluated_step == progress.step:
            return False
        if self.is_over(progress):
            return True
        if self.evaluate_every is not None:
            first = max(1, int(self.evaluate_every * _FIRST_LOOK))
            return progress.step % self.evaluate_every == 0 or progress.step == first
        took = progress.evaluation_seconds or self._reading_seconds
        pause = max(self.learning_seconds(progress) / EVALUATIONS, _EVALUATION_PAUSE * took)
        if progress.evaluated_step == 0:
            return progress.seconds - progress.started_at >= _FIRST_LOOK * pause
        return progress.seconds - progress.evaluated_at >= pause
