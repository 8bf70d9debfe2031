"""The training loop: learn window after window, evaluate now and then, keep the best, survive what goes wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

import torch

from charloom.errors import StorageError
from charloom.events import Evaluated, Notice, Notify, StepTaken
from charloom.runtime.evaluation import Evaluation, evaluate_segments
from charloom.runtime.generation import generate_batch
from charloom.runtime.session import Session
from charloom.settings import RunSettings
from charloom.text.vocabulary import Vocabulary
from charloom.training.batches import Batches
from charloom.training.checkpoint import Checkpoints
from charloom.training.data import TrainingData
from charloom.training.device import ThreadPace
from charloom.training.history import History
from charloom.training.learner import Learner, Update
from charloom.training.model import CharacterModel
from charloom.training.ranks import Ranks
from charloom.training.schedule import Plan
from charloom.training.state import TrainingState, Weights
from charloom.training.torch_session import Interrupted, StoppableSession, TorchSession

TRAIN_RECORDS = 200  # lines with the training loss in a run's metrics.jsonl
SAMPLE_LENGTH = 160
SAMPLE_ITEMS = 8
RESCUES = 3  # how often a run is taken back to a checkpoint before it is given up
_RESCUE_RATE = 0.5  # what a rescue multiplies the learning rate with
_RATE_MEMORY = 0.95  # how much of the shown speed is past steps'


class Ending(Enum):
    """Why a run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    MISJUDGED = "misjudged"


@dataclass
class Trainer:
    """Takes a `TrainingState` to the end of the plan.

    Attributes:
        state: where to start; changed in place.
        data: the text, and what of it is held out to evaluate on.
        settings: of the run.
        batches: the training text in rows.
        plan: how long, how often.
        checkpoints: where to save on the way.
        history: where to record losses.
        notify: receives every step and evaluation.
        should_stop: asked in every step.
        ranks: the processes that take part.
        pace: what changes the number of threads on the way; None leaves it as it is.
    """

    state: TrainingState
    data: TrainingData
    settings: RunSettings
    batches: Batches
    plan: Plan
    checkpoints: Checkpoints
    history: History
    notify: Notify
    should_stop: Callable[[], bool]
    ranks: Ranks
    pace: ThreadPace | None = None

    def __post_init__(self) -> None:
        weight_drop = self.settings.model.weight_drop
        opening = self.data.vocabulary.opening_id if self.data.opening_is_rare else None
        self._learner = Learner(self.state, self.batches, self.plan.settings, weight_drop, self.ranks, opening)
        self._session = TorchSession(self.state.model)
        self._record_every = max(1, self.plan.steps // TRAIN_RECORDS)
        self._last_checkpoint = time.monotonic()
        self._counted_until = time.perf_counter()
        self._speed = 0.0  # characters a second of late
        self._reading_seconds = 0.0
        self._train_loss = math.nan
        self._history_failed = False

    def run(self) -> Ending:
        """Train to the end of the plan, until asked to stop, or until the loss is NaN or infinite time and again.

        Whatever the ending, `state.best_weights` are the best seen, if any evaluation was made.
        """
        self.state.model.train()
        self._counted_until = time.perf_counter()
        if self.state.progress.step == 0:
            self.checkpoint()  # what a first bad update goes back to
        try:
            return self._run()
        except Interrupted:
            return self._stop()

    def _run(self) -> Ending:
        while True:
            if self.plan.evaluation_is_due(self.state.progress):
                if not math.isfinite(self.evaluate()) and not self._rescue():
                    return Ending.DIVERGED
                self.checkpoint()
            elif self.ranks.share(time.monotonic() - self._last_checkpoint) >= self.plan.settings.checkpoint_every:
                self.checkpoint()
            if self.plan.is_over(self.state.progress):
                return Ending.FINISHED
            update = self._learn()
            if not update.is_finite and not self._rescue():
                return Ending.DIVERGED
            if update.stop:
                return self._stop()
            if self.plan.is_misjudged(self.state.progress, self._speed):
                return Ending.MISJUDGED

    def _stop(self) -> Ending:
        # The checkpoint comes first: a look that an uninterrupted run would not take must leave no trace in it.
        self.checkpoint()
        if not self.state.best_weights and not math.isfinite(self.evaluate(to_the_end=True)):
            return Ending.DIVERGED
        return Ending.STOPPED

    def _learn(self) -> Update:
        """Make one update, count it, report it."""
        started = time.perf_counter()
        rate = self.plan.rate(self.state.progress)
        update = self._learner.update(rate, self.should_stop, self.plan.parts(self.state.progress))
        seconds = self.ranks.share(time.perf_counter() - started)
        if self.pace is not None:
            self.pace.took(seconds)
        if update.is_finite:
            self._account(update, rate, seconds)
            self._record(update, rate)
        return update

    def _account(self, update: Update, rate: float, seconds: float) -> None:
        progress, characters = self.state.progress, update.characters
        progress.characters += characters
        progress.recent_characters += characters
        progress.recent_nats += update.loss * characters
        progress.training_seconds += seconds
        self._count_seconds()
        speed = characters / max(seconds, 1e-9)
        self._speed = speed if self._speed == 0 else _RATE_MEMORY * self._speed + (1 - _RATE_MEMORY) * speed
        self.notify(
            StepTaken(
                step=progress.step,
                steps=self.plan.steps_expected(progress),
                epoch=self._epoch(),
                loss=update.loss,
                learning_rate=rate,
                characters_per_second=self._speed,
                seconds_left=self.plan.seconds_left(progress),
            )
        )

    def _count_seconds(self) -> None:
        """Add the time since the last count: updates, evaluations, checkpoints, whatever a listener does."""
        now = time.perf_counter()
        self.state.progress.seconds += self.ranks.share(now - self._counted_until)
        self._counted_until = now

    def _record(self, update: Update, rate: float) -> None:
        progress = self.state.progress
        if progress.step % self._record_every and not self.plan.is_over(progress):
            return
        self._train_loss = progress.recent_nats / progress.recent_characters
        progress.recent_nats, progress.recent_characters = 0.0, 0
        self._remember(
            {
                "step": progress.step,
                "epoch": round(self._epoch(), 4),
                "characters": progress.characters,
                "seconds": round(progress.seconds, 3),
                "train_loss": self._train_loss,
                "learning_rate": rate,
                "gradient_norm": update.gradient_norm,
                "characters_per_second": round(self._speed),
            }
        )

    def evaluate(self, *, to_the_end: bool = False) -> float:
        """Measure the model on the validation split, keep its weights if they are the best; return the loss.

        Args:
            to_the_end: do not break off when asked to stop.

        Raises:
            Interrupted: the run was asked to stop; nothing has changed.
        """
        progress, started = self.state.progress, time.perf_counter()
        with weights_in_place(self.state):
            evaluation, sample = self._look(to_the_end=to_the_end)
            self._keep_if_best(evaluation.loss)
        seconds = self.ranks.share(time.perf_counter() - started)
        best = progress.best_step == progress.step
        self._count_seconds()
        progress.evaluated_step, progress.evaluated_at = progress.step, progress.seconds
        progress.evaluation_seconds, progress.reading_seconds = seconds, self.ranks.share(self._reading_seconds)
        progress.looking_seconds += seconds
        if math.isfinite(evaluation.loss):  # the rescue reports the others
            self._tell(evaluation, sample, best=best)
        return evaluation.loss

    def _look(self, *, to_the_end: bool) -> tuple[Evaluation, str]:
        """Rank 0 measures and writes a sample; the others receive the loss."""
        if not self.ranks.writes:
            loss, stopped = self.ranks.share(0.0), self.ranks.share(0.0)
            if stopped:
                raise Interrupted
            return Evaluation(loss, math.nan, None, math.nan, 0, 0, "windows-256"), ""
        try:
            evaluation = self._measure(to_the_end=to_the_end)
        except Interrupted:
            self.ranks.share(math.nan), self.ranks.share(1.0)
            raise
        self.ranks.share(evaluation.loss), self.ranks.share(0.0)
        # Of a network whose loss is not finite there is no sample; the rescue goes back from it.
        if not math.isfinite(evaluation.loss):
            return evaluation, ""
        return evaluation, short_sample(self._session, self.data.vocabulary, self.settings)

    def _measure(self, *, to_the_end: bool) -> Evaluation:
        session = self._session if to_the_end else StoppableSession(self._session, self.should_stop)
        validation, started = self.data.measured, time.perf_counter()
        evaluation = evaluate_segments(session, self.data.vocabulary, validation, self.data.protocol_on_the_way)
        self._reading_seconds = time.perf_counter() - started
        return evaluation

    def _keep_if_best(self, loss: float) -> None:
        progress = self.state.progress
        if math.isfinite(loss) and loss < progress.best_loss:
            progress.best_step, progress.best_loss = progress.step, loss
            self.state.best_weights = {
                name: tensor.detach().cpu().clone() for name, tensor in self.state.model.state_dict().items()
            }

    def _tell(self, evaluation: Evaluation, sample: str, *, best: bool) -> None:
        progress = self.state.progress
        self._remember(
            {
                "step": progress.step,
                "epoch": round(self._epoch(), 4),
                "seconds": round(progress.seconds, 3),
                "validation_loss": evaluation.loss,
                "bits_per_char": evaluation.bits_per_char,
                "protocol": evaluation.protocol,
                "sample": sample,
            }
        )
        self.notify(
            Evaluated(
                step=progress.step,
                steps=self.plan.steps_expected(progress),
                epoch=self._epoch(),
                train_loss=self._train_loss,
                validation_loss=evaluation.loss,
                bits_per_char=evaluation.bits_per_char,
                protocol=evaluation.protocol,
                best=best,
                characters_per_second=self._speed,
                sample=sample,
            )
        )

    def _rescue(self) -> bool:
        """Go back to the last good checkpoint with a lower learning rate; False where that was done often enough."""
        failed, best = self.state.progress, self.state.best_weights
        if failed.rescues == RESCUES or not self.checkpoints.go_back(self.state, self.ranks):
            return False
        progress = self.state.progress
        if failed.best_loss < progress.best_loss:
            progress.best_step, progress.best_loss, self.state.best_weights = failed.best_step, failed.best_loss, best
        progress.seconds = failed.seconds  # the clock does not go back
        progress.looking_seconds = failed.looking_seconds
        progress.rescues = failed.rescues + 1
        progress.rate_scale = failed.rate_scale * _RESCUE_RATE
        self.notify(
            Notice(
                f"the loss or its gradient became NaN or infinite after step {failed.step:,}: "
                f"back to step {progress.step:,} with the learning rate halved (rescue {progress.rescues} of {RESCUES})"
            )
        )
        self._forget_after(progress.step)
        self._remember({"step": progress.step, "rescue": progress.rescues, "failed_step": failed.step})
        self.checkpoint()
        return True

    def checkpoint(self) -> None:
        """Save a checkpoint; a full disk is reported and does not end the run."""
        try:
            self.checkpoints.save(self.state, self.ranks)
        except StorageError as error:
            self.notify(Notice(f"no checkpoint this time, training goes on: {error}"))
        self._last_checkpoint = time.monotonic()

    def _forget_after(self, step: int) -> None:
        self.checkpoints.check_specs()
        with self._report_full_disk_once():
            self.history.forget_after(step)

    def _remember(self, record: dict[str, object]) -> None:
        self.checkpoints.check_specs()
        with self._report_full_disk_once():
            self.history.add(record)

    @contextmanager
    def _report_full_disk_once(self) -> Iterator[None]:
        """The history may get gaps; the run does not end for them."""
        try:
            yield
        except StorageError as error:
            if not self._history_failed:
                self.notify(Notice(f"the history has gaps, training goes on: {error}"))
            self._history_failed = True

    def _epoch(self) -> float:
        return self.state.progress.epochs(self.batches.windows_per_epoch)


def short_sample(session: Session, vocabulary: Vocabulary, settings: RunSettings) -> str:
    """A short text from nothing, always drawn with the run's own seed, so that samples can be compared."""
    sampling = settings.sampling.model_copy(update={"length": SAMPLE_LENGTH, "seed": settings.training.seed})
    if sampling.stop == ["\n"]:  # a model of items: a few of them
        items = generate_batch(session, vocabulary, "", "", sampling, SAMPLE_ITEMS)
        return "\n".join(item.text for item in items)[:SAMPLE_LENGTH]
    return generate_batch(session, vocabulary, "", "", sampling, 1)[0].text


def divergence_message(state: TrainingState, saved: str) -> str:
    """Why a run was given up, and what of it is saved."""
    return (
        f"the loss or its gradient became NaN or infinite after step {state.progress.step:,}, "
        f"{state.progress.rescues} rescues with lower learning rates did not help: {saved}; "
        "try a lower --learning-rate or --grad-clip"
    )


@contextmanager
def weights_in_place(state: TrainingState) -> Iterator[None]:
    """Inside the block the model has the averaged weights, where the run keeps an average."""
    if not state.average:
        yield
        return
    own: Weights = {name: weights.detach().clone() for name, weights in state.model.named_parameters()}
    _set_weights(state.model, state.average)
    try:
        yield
    finally:
        _set_weights(state.model, own)


@torch.no_grad()
def _set_weights(model: CharacterModel, values: Weights) -> None:
    for name, weights in model.named_parameters():
        weights.copy_(values[name])
