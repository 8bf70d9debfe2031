"""The training loop: fetch a window, learn from it, evaluate now and then, keep the best.

Legend: T time, B rows, V vocabulary, L layers, H hidden units.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charloom.errors import StorageError
from charloom.events import Evaluated, Notice, Notify, StepTaken
from charloom.runtime.evaluation import Evaluation
from charloom.settings import TrainingSettings, duration_seconds
from charloom.training.batches import RingBatches
from charloom.training.checkpoint import Checkpoints, Progress, TrainingState
from charloom.training.history import History
from charloom.training.model import CharacterModel
from charloom.training.optimization import learning_rate

TRAIN_RECORDS = 200  # lines with the training loss in a run's metrics.jsonl
_RATE_MEMORY = 0.95  # how much of the shown speed is past steps'


class Ending(Enum):
    """Why a run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    DIVERGED = "diverged"


@dataclass(frozen=True)
class Plan:
    """How long to train and how often to look.

    Attributes:
        steps: updates in all.
        evaluate_every: updates between evaluations.
        settings: the training settings, batch and window already fitted to the text.
    """

    steps: int
    evaluate_every: int
    settings: TrainingSettings

    @property
    def first_look(self) -> int:
        """An early evaluation, so that people soon see whether it works."""
        return max(1, self.evaluate_every // 8)


class Trainer:
    """Takes a `TrainingState` from where it stands to the end of the plan."""

    def __init__(
        self,
        state: TrainingState,
        batches: RingBatches,
        plan: Plan,
        evaluate: Callable[[], Evaluation],
        sample: Callable[[], str],
        checkpoints: Checkpoints,
        history: History,
        notify: Notify,
        should_stop: Callable[[], bool],
    ) -> None:
        """Train `state.model` on `batches` by `plan`.

        Args:
            state: where to start; changed in place.
            batches: the training text.
            plan: how long, how often.
            evaluate: measures `state.model` on the validation split.
            sample: writes a short text with it, for people to see.
            checkpoints: where to save on the way.
            history: where to record losses.
            notify: is told of every step and evaluation.
            should_stop: asked after every step.
        """
        self.state = state
        self._batches = batches
        self._plan = plan
        self._evaluate = evaluate
        self._sample = sample
        self._checkpoints = checkpoints
        self._history = history
        self._notify = notify
        self._should_stop = should_stop
        self._record_every = max(1, plan.steps // TRAIN_RECORDS)
        self._checkpoint_seconds = duration_seconds(plan.settings.checkpoint_every)
        self._last_checkpoint = time.monotonic()
        self._speed = 0.0
        self._train_loss = math.nan
        self._history_failed = False

    def run(self) -> Ending:
        """Train to the end of the plan, until asked to stop, or until the loss is no number any more.

        Whatever the ending, `state.best_weights` are the best seen, if any evaluation was made.
        """
        self.state.model.train()
        while self.state.progress.step < self._plan.steps:
            started = time.perf_counter()
            loss, gradient_norm = self._learn()
            if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
                return Ending.DIVERGED
            self._account(loss, time.perf_counter() - started)
            self._record(gradient_norm)
            if self._evaluation_is_due():
                if not math.isfinite(self.evaluate()):
                    return Ending.DIVERGED
                self.checkpoint()
            elif time.monotonic() - self._last_checkpoint >= self._checkpoint_seconds:
                self.checkpoint()
            if self._should_stop():
                return self._stop()
        return Ending.FINISHED

    def _stop(self) -> Ending:
        # The checkpoint comes first: a look that an uninterrupted run would not take must leave no trace in it.
        self.checkpoint()
        if not self.state.best_weights and not math.isfinite(self.evaluate()):
            return Ending.DIVERGED
        finished = self.state.progress.step >= self._plan.steps
        return Ending.FINISHED if finished else Ending.STOPPED

    def _learn(self) -> tuple[float, float]:
        """One update. Returns the window's mean loss and the gradient's norm; weights stay if either is not finite."""
        progress, model, settings = self.state.progress, self.state.model, self._plan.settings
        inputs, targets = self._next_window()
        logits, carried = model(inputs, self._incoming_state())
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        self.state.optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.grad_clip))
        mean_loss = float(loss.detach())
        if math.isfinite(mean_loss) and math.isfinite(norm):
            for group in self.state.optimizer.param_groups:
                group["lr"] = learning_rate(progress.step, self._plan.steps, settings)
            self.state.optimizer.step()
            self.state.carried = tuple(part.detach() for part in carried)
            progress.step += 1
        return mean_loss, norm

    def _next_window(self) -> tuple[Tensor, Tensor]:
        device = self.state.model.output.weight.device
        epoch, index = divmod(self.state.progress.step, self._batches.windows_per_epoch)
        inputs, targets = self._batches.window(epoch, index)
        return torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)

    def _incoming_state(self) -> tuple[Tensor, ...]:
        """The carried state (L, B, H): zero where an epoch begins and in the rows that are to forget."""
        step, rows = self.state.progress.step, self._batches.batch_size
        if step % self._batches.windows_per_epoch == 0:
            return self.state.model.initial_state(rows)
        chance = self._plan.settings.state_reset
        if chance == 0:
            return self.state.carried
        # Drawn from the step's own generator: nothing to save for a run that is resumed.
        keep = np.random.default_rng((self._plan.settings.seed, 1, step)).random(rows) >= chance
        mask = torch.from_numpy(keep).to(self.state.carried[0])[None, :, None]
        return tuple(part * mask for part in self.state.carried)

    def _account(self, loss: float, seconds: float) -> None:
        progress = self.state.progress
        index = (progress.step - 1) % self._batches.windows_per_epoch
        characters = self._batches.characters(index)
        progress.characters += characters
        progress.recent_characters += characters
        progress.recent_nats += loss * characters
        progress.seconds += seconds
        progress.training_seconds += seconds
        speed = characters / max(seconds, 1e-9)
        self._speed = speed if self._speed == 0 else _RATE_MEMORY * self._speed + (1 - _RATE_MEMORY) * speed
        self._notify(
            StepTaken(
                step=progress.step,
                steps=self._plan.steps,
                epoch=self._epoch(),
                loss=loss,
                learning_rate=self._rate(),
                characters_per_second=self._speed,
                seconds_left=progress.seconds / progress.step * (self._plan.steps - progress.step),
            )
        )

    def _record(self, gradient_norm: float) -> None:
        progress = self.state.progress
        if progress.step % self._record_every and progress.step != self._plan.steps:
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
                "learning_rate": self._rate(),
                "gradient_norm": gradient_norm,
                "characters_per_second": round(self._speed),
            }
        )

    def _evaluation_is_due(self) -> bool:
        step = self.state.progress.step
        return step % self._plan.evaluate_every == 0 or step in (self._plan.first_look, self._plan.steps)

    def evaluate(self) -> float:
        """Measure the model on the validation split, keep its weights if they are the best; return the loss."""
        progress, started = self.state.progress, time.perf_counter()
        evaluation = self._evaluate()
        best = math.isfinite(evaluation.loss) and evaluation.loss < progress.best_loss
        if best:
            progress.best_step, progress.best_loss = progress.step, evaluation.loss
            self.state.best_weights = {
                name: tensor.detach().cpu().clone() for name, tensor in self.state.model.state_dict().items()
            }
        sample = self._sample()
        progress.seconds += time.perf_counter() - started
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
        self._notify(
            Evaluated(
                step=progress.step,
                steps=self._plan.steps,
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
        return evaluation.loss

    def checkpoint(self) -> None:
        """Save where the run stands; a full disk is told and does not end the run."""
        try:
            self._checkpoints.save(self.state)
        except StorageError as error:
            self._notify(Notice(f"no checkpoint this time, training goes on: {error}"))
        self._last_checkpoint = time.monotonic()

    def _remember(self, record: dict[str, object]) -> None:
        """Add to the history; a full disk is told once and does not end the run."""
        try:
            self._history.add(record)
        except StorageError as error:
            if not self._history_failed:
                self._notify(Notice(f"the history has gaps, training goes on: {error}"))
            self._history_failed = True

    def _epoch(self) -> float:
        return self.state.progress.step / self._batches.windows_per_epoch

    def _rate(self) -> float:
        return learning_rate(self.state.progress.step - 1, self._plan.steps, self._plan.settings)


def fresh_state(model: CharacterModel, optimizer: torch.optim.Optimizer, batch_size: int) -> TrainingState:
    """The state of a run that has not begun."""
    return TrainingState(Progress(), model, optimizer, model.initial_state(batch_size), {})
