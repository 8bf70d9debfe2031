"""`charloom.train`: from a corpus to a model directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from charloom.events import Notice, Notify, ignore, unfailing
from charloom.files import expand_home
from charloom.folders import FolderLock
from charloom.options import LearningOptions
from charloom.settings import run_settings
from charloom.text.sources import check_outside, list_specs
from charloom.training.device import choose_device, memory_errors
from charloom.training.init_from import read_origin
from charloom.training.old_text import old_text_source
from charloom.training.one_run import Run
from charloom.training.progress import shown
from charloom.training.ranks import join_ranks
from charloom.training.recipes import DEFAULT_RECIPE, load_recipe
from charloom.training.request import look_into, make_request
from charloom.training.result import TrainingResult
from charloom.training.tracking import Tracking


def train(
    corpus: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    recipe: str | None = None,
    init_from: str | Path | None = None,
    keep_old: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    notify: Notify = ignore,
    should_stop: Callable[[], bool] = lambda: False,
    **options: Unpack[LearningOptions],
) -> TrainingResult:
    """Train a model on a text and write its model directory.

    Started by torchrun, several processes share the work; see docs/explanation/scaling-out.md. A process
    has one run at a time: torch has one source of random numbers, and runs in two threads would share it.

    Args:
        corpus: a file, folder, glob, address or name, or several.
        output: the model directory to write.
        recipe: a named set of settings, or a YAML file; `options` go over it.
        init_from: a model directory to start from: its network and vocabulary are kept, new characters added.
        keep_old: with `init_from`, the old model's text, of which as much is learned as of the new one.
        overwrite: replace a model or an unfinished run that is there.
        resume: continue the unfinished run that is there.
        progress: show how it goes in a notebook, or on stderr where that is a terminal; nothing is shown elsewhere, and
            where there is a `notify`.
        notify: is given events, see `charloom.events`; if it raises, that is logged and the run goes on without it.
        should_stop: asked in every step; True saves the best so far and ends.
        **options: any field of the corpus, model and training settings, such as `epochs=3`.

    Raises:
        UsageError: an option cannot work.
        CorpusError: the text cannot be read, or is too little.
        ModelDirectoryError: the model to start from is not whole.
        TrainingError: the folder is taken, or the loss diverged (the best weights are saved first).
        StorageError: the folder cannot be written.
    """
    return train_specs(
        list_specs(corpus), expand_home(output), recipe, options,
        init_from=init_from, keep_old=keep_old, overwrite=overwrite, resume=resume,
        progress=progress, notify=notify, should_stop=should_stop,
    )  # fmt: skip


def train_specs(
    specs: list[str],
    folder: Path,
    recipe: str | None,
    options: LearningOptions,
    *,
    init_from: str | Path | None = None,
    keep_old: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    notify: Notify = ignore,
    should_stop: Callable[[], bool] = lambda: False,
    apart: bool = False,
    looks_back: bool = True,
    temporary: bool = False,
) -> TrainingResult:
    """Train as `train` does; with `apart` a part of each named text is held out, not of all of them joined.

    What a run cost on the text of the model to start from is measured where that is found, if it `looks_back`.
    Of a `temporary` run that fails nothing is kept elsewhere.
    """
    started = time.perf_counter()
    settings = run_settings(load_recipe(recipe or DEFAULT_RECIPE), options)
    beside = [str(text) for text in (settings.corpus.validation, keep_old) if text is not None]
    check_outside(folder, [*specs, *beside])
    device = partial(choose_device, settings.training.device)
    with (
        shown(notify, progress=progress) as listener,
        join_ranks(device) as ranks,
        FolderLock(folder, heard := unfailing(listener)) as lock,
        memory_errors(),
    ):
        notice = heard if ranks.writes else ignore
        if ranks.writes:
            lock.take()
        finished, unfinished = look_into(folder, ranks, overwrite=overwrite, resume=resume)
        if finished is not None:
            notice(Notice(f"the run in {folder} is finished: there is nothing to resume"))
            return finished
        if resume and unfinished is None:
            notice(Notice(f"there is no run to resume in {folder}: starting from the beginning"))
        origin = None if init_from is None or unfinished is not None else read_origin(expand_home(init_from))
        old_text = old_text_source(origin, unfinished, keep_old, specs) if looks_back else None
        request = make_request(unfinished, settings, recipe, options, origin, old_text, ranks)
        tracking = Tracking(folder, request.settings.training.track, request.recipe, notice, writes=ranks.writes)
        run = Run(specs, folder, request, origin, tracking, ranks, started, lock, apart=apart, temporary=temporary)
        with tracking:
            result = run.train(should_stop)
            tracking.stopped = result.interrupted
        return result
