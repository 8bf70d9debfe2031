"""`charloom.train`: from a corpus to a model directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from charloom.bundle import ModelShape, remove_model
from charloom.bundle.config import METRICS, TRAINING
from charloom.errors import StorageError, TrainingError
from charloom.events import ModelSaved, Notice, Notify, TrainingStarted, ignore
from charloom.files import storage_errors
from charloom.runtime.evaluation import evaluate_segments
from charloom.settings import RunSettings, run_settings
from charloom.training.checkpoint import Checkpoints, TrainingState
from charloom.training.device import choose_device
from charloom.training.history import History
from charloom.training.loop import Ending, Trainer, fresh_state
from charloom.training.model import CharacterModel
from charloom.training.optimization import make_optimizer
from charloom.training.preparation import TrainingData, make_plan, model_shape, prepare_data
from charloom.training.publishing import RunFacts, publish, short_sample
from charloom.training.recipes import DEFAULT_RECIPE, load_recipe
from charloom.training.result import TrainingResult
from charloom.training.resuming import check_folder, finished_result, resumed_settings, unfinished_run
from charloom.training.session import TorchSession


def train(
    corpus: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    recipe: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    notify: Notify = ignore,
    should_stop: Callable[[], bool] = lambda: False,
    **options: Any,
) -> TrainingResult:
    """Train a model on a text and write its model directory.

    Args:
        corpus: a file, folder, glob, address or name, or several.
        output: the model directory to write.
        recipe: a named set of settings, or a YAML file; `options` go over it.
        overwrite: replace a model or an unfinished run that stands there.
        resume: go on with the unfinished run that stands there.
        notify: is told what happens; see `charloom.events`.
        should_stop: asked after every step; True saves the best so far and ends.
        **options: any field of the corpus, model and training settings, such as `epochs=3`.

    Raises:
        UsageError: an option cannot work.
        CorpusError: the text cannot be read, or is too little.
        TrainingError: the folder is taken, or the loss diverged (the best weights are saved first).
        StorageError: the folder cannot be written.
    """
    specs = [str(corpus)] if isinstance(corpus, str | Path) else [str(item) for item in corpus]
    folder = Path(output).expanduser()
    settings = run_settings(load_recipe(recipe or DEFAULT_RECIPE), options)
    check_folder(folder, overwrite=overwrite, resume=resume)
    unfinished = None
    if resume:
        finished = finished_result(folder)
        if finished is not None:
            notify(Notice(f"the run in {folder} is finished: there is nothing to resume"))
            return finished
        unfinished = unfinished_run(folder)
        if unfinished is None:
            notify(Notice(f"there is no run to resume in {folder}: starting from the beginning"))
        else:
            settings = resumed_settings(unfinished, settings, recipe, options)
            recipe = unfinished.get("recipe")
    explicit = frozenset(options if unfinished is None else unfinished.get("explicit", options))
    return _Run(specs, folder, settings, recipe, explicit, notify).train(unfinished, should_stop)


class _Run:
    """One run. Making it reads the text and checks every choice; nothing is written before `train`."""

    def __init__(
        self,
        specs: list[str],
        folder: Path,
        settings: RunSettings,
        recipe: str | None,
        explicit: frozenset[str],
        notify: Notify,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.recipe = recipe
        self.explicit = explicit
        self.notify = notify
        self.device = choose_device(settings.training.device)
        self.data: TrainingData = prepare_data(specs, settings.corpus, notify)
        self.plan, self.batches = make_plan(self.data, settings.training, explicit, notify)
        self.shape: ModelShape = model_shape(self.data, settings.model)
        self.checkpoints = Checkpoints(folder / TRAINING)

    def train(self, unfinished: dict[str, Any] | None, should_stop: Callable[[], bool]) -> TrainingResult:
        state = self._fresh_state()
        start = self._begin() if unfinished is None else self._restore(unfinished, state)
        self._announce(start)
        ending = self._trainer(state, start, should_stop).run()
        if not state.best_weights:
            self.checkpoints.remove_all()
            remove_model(self.folder)
            raise TrainingError(_diverged(state, "nothing had been evaluated yet, so nothing was saved"))
        facts = RunFacts(
            self.folder,
            self.recipe,
            self.settings,
            self.batches.windows_per_epoch,
            start,
            ending is Ending.STOPPED,
        )
        result = publish(self.data, state, self.shape, facts)
        if ending is not Ending.STOPPED:
            self.checkpoints.remove_all()
        self.notify(ModelSaved(str(self.folder), result.best_step))
        if ending is Ending.DIVERGED:
            best = f"the best weights, of step {result.best_step:,}, are saved in {self.folder}"
            raise TrainingError(_diverged(state, best))
        return result

    def _fresh_state(self) -> TrainingState:
        settings = self.plan.settings
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        torch.manual_seed(settings.seed)
        model = CharacterModel(self.shape).to(self.device)
        return fresh_state(model, make_optimizer(model, settings), settings.batch_size)

    def _begin(self) -> int:
        """Make the folder this run's own. What stood there goes only now, when all checks have passed."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        # The weights twice (safetensors and ONNX), and two checkpoints of weights, best weights and two moments.
        needed = self.shape.parameters * 4 * (2 + 2 * 4)
        if free < needed:
            raise StorageError(
                f"{self.folder} has {free / 1e6:,.0f} MB free and this run needs {needed / 1e6:,.0f} MB: "
                f"free some space, or choose another folder"
            )
        self.checkpoints.begin(
            {
                "recipe": self.recipe,
                "settings": self.settings.model_dump(),
                "explicit": sorted(self.explicit),
                "corpus": self.data.record.model_dump(),
            }
        )
        remove_model(self.folder)
        return 0

    def _restore(self, unfinished: dict[str, Any], state: TrainingState) -> int:
        """Take up the unfinished run at its last checkpoint."""
        if unfinished.get("corpus") != self.data.record.model_dump():
            raise TrainingError(
                f"this is not the text that the run in {self.folder} began with: "
                f"give the same corpus, or start anew with --overwrite"
            )
        if not self.checkpoints.restore(state):
            self.notify(Notice(f"there is no checkpoint in {self.folder}: starting from the beginning"))
        return state.progress.step

    def _announce(self, start: int) -> None:
        self.notify(
            TrainingStarted(
                output=str(self.folder),
                parameters=self.shape.parameters,
                vocab_size=self.shape.vocab_size,
                characters=sum(segment.predicted for segment in self.data.split.train),
                validation_characters=self.data.validation_characters,
                batch_size=self.plan.settings.batch_size,
                bptt=self.plan.settings.bptt,
                steps=self.plan.steps,
                steps_per_epoch=self.batches.windows_per_epoch,
                device=str(self.device),
                resumed_from_step=start,
            )
        )

    def _trainer(self, state: TrainingState, start: int, should_stop: Callable[[], bool]) -> Trainer:
        data = self.data
        session = TorchSession(state.model)
        return Trainer(
            state,
            self.batches,
            self.plan,
            evaluate=lambda: evaluate_segments(
                session, data.vocabulary, data.split.validation, data.protocol_on_the_way
            ),
            sample=lambda: short_sample(session, data.vocabulary, self.settings),
            checkpoints=self.checkpoints,
            history=History(self.folder / METRICS, keep_until_step=start),
            notify=self.notify,
            should_stop=should_stop,
        )


def _diverged(state: TrainingState, saved: str) -> str:
    return (
        f"the loss stopped being a number after step {state.progress.step:,}: {saved}; "
        f"try a lower --learning-rate or --grad-clip"
    )
