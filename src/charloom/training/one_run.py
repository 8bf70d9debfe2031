"""One run of a training: its plan, its state, its folder, from the beginning to the published model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from charloom.bundle import ModelShape, edited_files, history_file, holds_model
from charloom.bundle.config import TRAINING
from charloom.errors import StorageError, TrainingError, UsageError
from charloom.events import ModelSaved, Notice, TrainingStarted
from charloom.files import storage_errors
from charloom.folders import FolderLock, sweep
from charloom.settings import LENGTHS
from charloom.text.corpus import CorpusSource
from charloom.training.batches import Batches, fit_batch
from charloom.training.budget import Choice, budget_plan, choose, choose_again, default_budget
from charloom.training.checkpoint import Checkpoints, check_room
from charloom.training.data import (
    TrainingData,
    make_batches,
    model_shape,
    prepare_data,
    steps_plan,
)
from charloom.training.device import ThreadPace, check_precision, choose_device
from charloom.training.history import History
from charloom.training.init_from import Origin, first_state
from charloom.training.old_text import OldText, read_old_text
from charloom.training.publish import RunFacts, publish
from charloom.training.ranks import Ranks
from charloom.training.rate_probes import RateProbes
from charloom.training.request import Request, check_folder
from charloom.training.result import TrainingResult
from charloom.training.schedule import Plan
from charloom.training.state import Progress, TrainingState, expect_once
from charloom.training.tracking import Tracking
from charloom.training.trainer import Ending, Trainer, divergence_message


class Run:
    """One run. Making it reads the text and checks every choice; nothing is written before `train`."""

    def __init__(
        self,
        specs: list[str],
        folder: Path,
        request: Request,
        origin: Origin | None,
        notify: Tracking,
        ranks: Ranks,
        started: float,
        lock: FolderLock,
        *,
        apart: bool = False,
        temporary: bool = False,
    ) -> None:
        self.folder = folder
        self.temporary = temporary
        self.lock = lock
        self.request = request
        self.origin = origin
        self.notify = notify
        self.ranks = ranks
        self.started = started
        source = CorpusSource(specs)
        corpus = source.adopt(request.settings.corpus)
        self.settings = request.settings.model_copy(update={"corpus": corpus})
        if self.settings.training.threads is not None:
            torch.set_num_threads(self.settings.training.threads)
        self.device = choose_device(self.settings.training.device, ranks.local_rank)
        check_precision(self.settings.training.precision, self.device)
        self.data: TrainingData = prepare_data(source, corpus, notify, request.vocabulary, apart=apart)
        ranks.check_same(self.data.record.sha256, "text")
        if self.data.record.items:
            self._prepare_items()
        self.old = self._read_old_text()
        self.record: dict[str, Any] = {"recipe": request.recipe}
        if origin is not None:
            self.record["init_from"] = {"name": origin.name, "sha256": origin.sha256}
        self.choice: Choice | None = None
        self.plan, self.batches = self._make_plan()
        self.pace: ThreadPace | None = None
        self.shape: ModelShape = model_shape(self.data, self.settings.model)
        self.checkpoints = Checkpoints(folder / TRAINING, (request.unfinished or {}).get("run"), lock)

    def _read_old_text(self) -> OldText | None:
        """The text of the model to start from, which becomes a part of the data where it is to be learned, too."""
        source, corpus = self.request.old_text, self.settings.corpus
        if source is None or source.sha256 == self.data.record.sha256:
            return None  # there is no old text, or it is the new one
        old = read_old_text(source, corpus, self.data.vocabulary, self.notify, items=self.data.record.items)
        if old is not None and source.kept:
            self.ranks.check_same(old.sha256, "old text")
            self.data = replace(self.data, old=old)
        return old

    def _prepare_items(self) -> None:
        """A model of items writes one at a time, unless the user says where to stop."""
        if self.ranks.world_size > 1:
            raise UsageError("a list of items is learned by one process: leave torchrun out, or say --no-items")
        if "stop" not in self.request.explicit and not self.settings.sampling.stop:
            sampling = self.settings.sampling.model_copy(update={"stop": ["\n"]})
            self.settings = self.settings.model_copy(update={"sampling": sampling})

    def train(self, should_stop: Callable[[], bool]) -> TrainingResult:
        self.pace = self._thread_pace()
        try:
            return self._train(should_stop)
        finally:
            if self.pace is not None:
                self.pace.end()

    def _thread_pace(self) -> ThreadPace | None:
        """What changes the number of threads on the way: only on a clock, as it may change a result's last bits."""
        free = self.plan.budget is not None and self.settings.training.threads is None
        alone_on_cpu = self.device.type == "cpu" and self.ranks.world_size == 1
        return ThreadPace(torch.get_num_threads()) if free and alone_on_cpu else None

    def _train(self, should_stop: Callable[[], bool]) -> TrainingResult:
        if self.origin is not None:
            if self.old is not None and self.ranks.writes:
                self.old = self.old.measured_by(self._fresh_state().model, self.data.vocabulary)
            if "learning_rate" not in self.fixed:
                self._choose_rate(self.origin, should_stop)
        state = self._fresh_state()
        if self.request.unfinished is None:
            self._begin()
        else:
            self._restore(state)
        start = state.progress.step
        if start == 0:
            state.progress.seconds = state.progress.started_at = self.ranks.share(time.perf_counter() - self.started)
            self._admit_overrun(state.progress)
        self._announce(start)
        ending = self._learn(state, start, should_stop)
        if ending is Ending.MISJUDGED:
            state = self._with_better_size(state)
            ending = self._learn(state, state.progress.step, should_stop)
        if not state.best_weights:
            if self.ranks.writes:
                self.checkpoints.check_owned()
                with storage_errors(self.folder):
                    history_file(self.folder).unlink(missing_ok=True)
                self.checkpoints.remove_all()
            kept = f", and the model that was in {self.folder} is kept" if holds_model(self.folder) else ""
            raise TrainingError(
                divergence_message(state, f"nothing had been evaluated yet, so nothing was saved{kept}")
            )
        result = self._publish(state, start, ending)
        self.notify(ModelSaved(result.model, result.best_step))
        if ending is Ending.DIVERGED:
            best = f"the best weights, of step {result.best_step:,}, are saved in {result.model}"
            raise TrainingError(divergence_message(state, best))
        return result

    def _make_plan(self) -> tuple[Plan, Batches]:
        """The plan, and the rows to follow it on; a budget's choices are made here, once for the whole run."""
        unfinished, explicit, steps = self.request.unfinished, self.request.explicit, 1
        if all(getattr(self.settings.training, name) is None for name in LENGTHS):
            training = self.settings.training.model_copy(update={"budget": default_budget(self.data.characters)})
            self.settings = self.settings.model_copy(update={"training": training})
        self.unchosen, self.fixed = self.settings, self._fixed()
        if unfinished is not None:
            self.record, steps = unfinished.get("record", self.record), int(unfinished.get("steps", 1))
        elif self.settings.training.budget is not None:
            fit_batch(self.data.characters, self.settings.training, explicit)  # before any measuring
            self.choice = choose(self.data, self.settings, self.fixed, self.device, self.ranks)
            return self._plan_of(self.choice, None if "hidden_size" in self.fixed else self.choice.speed)
        return self._plan_for(steps)

    def _fixed(self) -> frozenset[str]:
        """The settings that a budget must leave as they are: the user's, a recipe's, the origin's network."""
        fixed = self.request.explicit
        if self.request.recipe is not None:
            said = self.settings.model.model_fields_set | self.settings.training.model_fields_set
            fixed |= said.difference(self.settings.free)
        if self.origin is not None:
            fixed |= {"hidden_size", "grow_windows"}
        if self.data.record.items:  # each is read from its beginning, in an update of its own
            fixed |= {"grow_windows"}
        return fixed

    def _plan_of(self, choice: Choice, promised: float | None = None) -> tuple[Plan, Batches]:
        self.settings, self.record["choice"] = choice.settings, choice.reason
        self.notify(Notice(choice.reason))
        return self._plan_for(choice.steps, promised)

    def _plan_for(self, steps: int, promised: float | None = None) -> tuple[Plan, Batches]:
        batches, fitted = make_batches(self.data, self.settings.training, self.request.explicit, self.notify)
        self.settings = self.settings.model_copy(update={"training": fitted})
        if fitted.budget is None:
            return steps_plan(self.data, fitted, batches), batches
        growth = self.choice.growth if self.choice else None
        return budget_plan(self.data, self.settings, steps, self.device, self.ranks, promised, growth), batches

    def _fresh_state(self) -> TrainingState:
        state = first_state(self.shape, self.settings, self.device, self.ranks, self.origin)
        if self.origin is None and self.data.opening_is_rare:
            expect_once(state, self.data.sampled_counts == 0, self.data.characters)
        return state

    def _choose_rate(self, origin: Origin, should_stop: Callable[[], bool]) -> None:
        """Measure at which rate to start from another model, or whether to start over."""
        probes = RateProbes(
            self.data, self.settings, self.shape, origin, self.batches, self.plan, self.device, self.ranks, should_stop
        )
        choice = probes.choose(may_start_over=self.data.old is None)
        self.notify(Notice(choice.reason))
        training = self.settings.training.model_copy(update={"learning_rate": choice.learning_rate})
        self.settings = self.settings.model_copy(update={"training": training})
        self.plan = replace(self.plan, settings=training)
        self.record["init_from"] |= choice.record()
        self.origin = origin if choice.keeps_weights else None

    def _begin(self) -> None:
        """Make the folder this run's own, now that all checks have passed; a model in it stays until the end."""
        if not self.ranks.writes:
            return
        self.checkpoints.check_specs()
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        if self.lock.take():  # the folder was not there when it was looked at
            check_folder(self.folder, overwrite=False, resume=False)
        sweep(self.folder)
        check_room(self.folder, self.shape.parameters)
        self.checkpoints.begin(
            {
                "record": self.record,
                "recipe": self.request.recipe,
                "settings": self.settings.model_dump(),
                "explicit": sorted(self.request.explicit),
                "corpus": self.data.record.model_dump(),
                "vocabulary": None if self.request.vocabulary is None else self.request.vocabulary.to_json(),
                "old_text": None if self.old is None else asdict(self.old.source),
                "steps": self.plan.steps,
                "world_size": self.ranks.world_size,
            }
        )

    def _admit_overrun(self, progress: Progress) -> None:
        late, budget = self.plan.overrun(progress), self.plan.settings.budget
        if late:
            self.notify(
                Notice(
                    f"reading the text and measuring took {progress.started_at:.0f} s of {budget}, as on a busy "
                    f"machine: so that something is learned, this ends {late:.0f} s late"
                )
            )

    def _restore(self, state: TrainingState) -> None:
        """Take up the unfinished run at its last checkpoint."""
        assert self.request.unfinished is not None
        if self.ranks.writes:
            sweep(self.folder)
        if {"items": False, **(self.request.unfinished.get("corpus") or {})} != self.data.record.model_dump():
            raise TrainingError(
                f"this is not the text that the run in {self.folder} began with: "
                f"give the same corpus, or start anew with --overwrite"
            )
        if not self.checkpoints.restore(state, self.ranks):
            if "init_from" in self.record:
                raise TrainingError(
                    f"there is no whole checkpoint in {self.folder}: start anew with --overwrite and --init-from"
                )
            self.notify(Notice(f"there is no checkpoint in {self.folder}: starting from the beginning"))

    def _announce(self, start: int) -> None:
        self.notify.start(
            self.settings,
            TrainingStarted(
                output=str(self.folder),
                parameters=self.shape.parameters,
                vocab_size=self.shape.vocab_size,
                characters=self.data.characters,
                validation_characters=self.data.validation_characters,
                batch_size=self.plan.settings.batch_size,
                bptt=self.plan.settings.bptt,
                steps=self.plan.steps,
                steps_per_epoch=self._steps_per_epoch(),
                device=str(self.device),
                resumed_from_step=start,
            ),
        )

    def _steps_per_epoch(self) -> int:
        windows, growth = self.batches.windows_per_epoch, self.plan.growth
        return windows if growth is None else round(windows * growth.updates() / growth.characters())

    def _learn(self, state: TrainingState, start: int, should_stop: Callable[[], bool]) -> Ending:
        return Trainer(
            state,
            self.data,
            self.settings,
            self.batches,
            self.plan,
            self.checkpoints,
            History.of_run(self.folder, start, writes=self.ranks.writes),
            self.notify,
            should_stop,
            self.ranks,
            self.pace,
        ).run()

    def _with_better_size(self, state: TrainingState) -> TrainingState:
        """Choose again by the run's own speed, once; where another size is clearly better, begin anew with it."""
        assert self.choice is not None
        choice = choose_again(
            self.data, self.unchosen, self.fixed, self.device, self.ranks, self.choice, state.progress
        )
        if choice is not None:
            faster = "faster" if choice.settings.model.hidden_size > self.settings.model.hidden_size else "slower"
            self.notify(Notice(f"training is much {faster} than it was when the size was chosen: starting again, once"))
            self.plan, self.batches = self._plan_of(choice)
            self.shape = model_shape(self.data, self.settings.model)
            state = self._fresh_state()
            self._begin()
        self.plan = replace(self.plan, promised=None)
        state.progress.seconds = self.ranks.share(time.perf_counter() - self.started)
        if choice is not None:
            state.progress.started_at = state.progress.seconds
            self._announce(0)
        return state

    def _publish(self, state: TrainingState, start: int, ending: Ending) -> TrainingResult:
        """Rank 0 writes the model directory; all ranks learn what the run came to."""
        content = b""
        if self.ranks.writes:
            self.checkpoints.check_owned()
            stopped, target = ending is Ending.STOPPED, self.checkpoints.target(finished=ending is Ending.FINISHED)
            record = {**self.record, "run": self.checkpoints.run}
            given = "temperature" in self.request.explicit
            windows = self.batches.windows_per_epoch
            facts = RunFacts(target, record, self.settings, windows, start, stopped, self.old, given)
            for name in sorted(edited_files(target)):
                self.notify(Notice(f"{target / name} was edited by somebody, and stays as it is"))
            try:
                result = publish(self.data, state, self.shape, facts, history_file(self.folder))
            except StorageError as error:
                is_kept = not self.temporary and ending is not Ending.DIVERGED
                kept = self.checkpoints.kept(state.progress.step) if is_kept else None
                if kept is None:
                    raise
                raise StorageError(
                    f"{error}; all that was learned is kept in {kept}, and the same command with --resume writes the "
                    f"model without learning it again"
                ) from error
            if not stopped:
                self.checkpoints.remove_all(but_best=target == self.checkpoints.best)
            content = json.dumps(asdict(result)).encode()
        return TrainingResult(**json.loads(self.ranks.share_bytes(content)))
