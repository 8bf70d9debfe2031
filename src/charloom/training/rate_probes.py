"""The learning rate of a run that starts from another model, measured at the beginning by a few short runs.

What is learned of a text like the old one needs small steps, of another text large ones; which it is shows within a
few updates. Each probe is a run in small: the same first windows and the same seed, warm-up and cosine included, then
the loss on the beginning of the validation split. Rates are tried upwards from the usual one, twice as high each time,
while the loss falls; if it does not fall at all, downwards. One more probe starts from new weights: where that is
better, the old ones are of no use for this text.

What is best for a short run is not quite what is best for a long one. So of the rates whose losses are about the same
the one nearest to the usual rate is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch

from charloom.bundle import ModelShape
from charloom.runtime.evaluation import evaluate_segments
from charloom.settings import RunSettings
from charloom.text.splits import thin_out
from charloom.training.batches import Batches
from charloom.training.data import TrainingData
from charloom.training.init_from import Origin, first_state
from charloom.training.learner import Learner
from charloom.training.ranks import Ranks
from charloom.training.schedule import Plan, learning_rate
from charloom.training.torch_session import TorchSession

_MOST = 4  # probes of rates
_SHARE, _BUDGET_SHARE = 0.05, 0.02  # of the run's updates, for one probe; of those that a budget is expected to have
_MOST_UPDATES, _LEAST_UPDATES = 100, 5  # of one probe; fewer say nothing
_SECONDS_SHARE = 0.1  # of a budget, for all probes: then they end, however few were made
_MEASURED = 20_000  # characters of the validation split
_SAME = 1.05  # times the best loss


@dataclass(frozen=True)
class Probe:
    """One short run.

    Attributes:
        learning_rate: its highest.
        from_origin: whether it started from the old model's weights, and not from new ones.
        loss: of the validation split's beginning, in nats.
    """

    learning_rate: float
    from_origin: bool
    loss: float

    def record(self) -> dict[str, object]:
        """What a model directory keeps of it; a loss that is not finite is None."""
        return {**asdict(self), "loss": self.loss if math.isfinite(self.loss) else None}


@dataclass(frozen=True)
class RateChoice:
    """What the probes came to.

    Attributes:
        learning_rate: for the run.
        keeps_weights: whether to start from the old model's weights; if not, new ones are better.
        probes: in the order in which they were made.
        reason: a sentence for people.
    """

    learning_rate: float
    keeps_weights: bool
    probes: list[Probe]
    reason: str

    def record(self) -> dict[str, object]:
        """What a model directory keeps of it."""
        return {"keeps_weights": self.keeps_weights, "probes": [probe.record() for probe in self.probes]}


@dataclass
class RateProbes:
    """Short runs of a plan, each from the same beginning at another rate.

    Attributes:
        data: the new text.
        settings: of the run; its learning rate is the usual one.
        shape: the network.
        origin: the model to start from.
        batches: the training text in rows.
        plan: of the run.
        device: where to train.
        ranks: the processes that share the rows; all of them make the same probes.
        should_stop: asked in every update; True ends the probes.
    """

    data: TrainingData
    settings: RunSettings
    shape: ModelShape
    origin: Origin
    batches: Batches
    plan: Plan
    device: torch.device
    ranks: Ranks
    should_stop: Callable[[], bool]
    _made: list[Probe] = field(default_factory=list)

    def __post_init__(self) -> None:
        share = _SHARE if self.plan.budget is None else _BUDGET_SHARE
        self._updates = int(self.ranks.share(min(_MOST_UPDATES, share * self.plan.steps)))
        seconds = math.inf if self.plan.budget is None else _SECONDS_SHARE * self.plan.budget
        self._end = time.perf_counter() + seconds
        self._stopped = False

    def choose(self, *, may_start_over: bool) -> RateChoice:
        """Measure, and say at which rate and from which weights to train."""
        usual = self.settings.training.learning_rate
        if self._updates < _LEAST_UPDATES:
            return RateChoice(usual, True, [], _unmeasured(usual, "the run is too short to measure others"))
        self._climb(usual)
        tried = [probe for probe in self._made if math.isfinite(probe.loss)]
        if not tried:
            return RateChoice(usual, True, [], _unmeasured(usual, "there was no time to measure others"))
        best = min(probe.loss for probe in tried)
        good = [probe for probe in tried if probe.loss <= _SAME * best]
        chosen = min(good, key=lambda probe: abs(math.log(probe.learning_rate / usual)))
        anew = self._probe(usual, from_origin=False) if may_start_over else None
        keeps = anew is None or not anew.loss < best
        return RateChoice(
            chosen.learning_rate if keeps else usual, keeps, list(self._made), self._reason(chosen, anew, keeps=keeps)
        )

    def _climb(self, usual: float) -> None:
        """Try rates from the usual one upwards while that helps, or else downwards."""
        first = self._probe(usual)
        for factor in (2.0, 0.5):
            rate, before = usual, first
            while before is not None and len(self._made) < _MOST:
                rate *= factor
                probe = self._probe(rate)
                if probe is None or not probe.loss < before.loss:
                    break
                before = probe
            if before is not first:
                return

    def _probe(self, rate: float, *, from_origin: bool = True) -> Probe | None:
        """Make one; None where time was up or the run was asked to stop."""
        training = self.plan.settings.model_copy(update={"learning_rate": rate})
        settings = self.settings.model_copy(update={"training": training})
        origin = self.origin if from_origin else None
        state = first_state(self.shape, settings, self.device, self.ranks, origin)
        state.model.train()
        learner = Learner(state, self.batches, training, settings.model.weight_drop, self.ranks)
        for step in range(self._updates):
            if self._stopped or self.ranks.share(float(time.perf_counter() > self._end)):
                return None
            update = learner.update(learning_rate((step + 1) / (self._updates + 1), training), self.should_stop)
            self._stopped = update.stop
            if not update.is_finite:
                break
        loss = self._loss(TorchSession(state.model)) if update.is_finite and self.ranks.writes else math.inf
        self._made.append(Probe(rate, from_origin, self.ranks.share(loss)))
        return self._made[-1]

    def _loss(self, session: TorchSession) -> float:
        measured = thin_out(self.data.measured, _MEASURED)
        loss = evaluate_segments(session, self.data.vocabulary, measured, self.data.protocol_on_the_way).loss
        return loss if math.isfinite(loss) else math.inf

    def _reason(self, chosen: Probe, anew: Probe | None, *, keeps: bool) -> str:
        if not keeps:
            assert anew is not None
            return (
                f"new weights learn this text better than those of {self.origin.name} ({anew.loss:.3f} and "
                f"{chosen.loss:.3f} nats after {self._updates} updates): training starts over with its network"
            )
        tried = ", ".join(f"{probe.learning_rate:.3g} ({probe.loss:.3f})" for probe in self._made if probe.from_origin)
        return (
            f"learning rates tried for {self._updates} updates each, and the nats they came to: {tried}; "
            f"training at {chosen.learning_rate:.3g}, within {_SAME - 1:.0%} of the best the nearest to the usual one"
        )


def _unmeasured(rate: float, why: str) -> str:
    return f"training at the usual learning rate of {rate:.3g}: {why}"
