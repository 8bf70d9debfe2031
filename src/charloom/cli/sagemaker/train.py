"""`charloom sagemaker train`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from charloom.cli.arguments import TYPED, CorpusArgument, Destination, NameOrFile, corpus_specs
from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.attach import fetch_model, report
from charloom.cli.sagemaker.cloud import CloudOptions, CloudView, reach_account
from charloom.cli.sagemaker.consent import may_cost
from charloom.cli.sagemaker.job_views import job_data, job_text, wait_for_job
from charloom.display import typed
from charloom.errors import UsageError
from charloom.events import Notice
from charloom.files import expand_home
from charloom.interrupts import INTERRUPTED
from charloom.sagemaker.amazon import Amazon
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command
from charloom.sagemaker.instances import LOCAL, unlisted_warning
from charloom.sagemaker.jobs.attach import attached_model, check_output
from charloom.sagemaker.jobs.follow import Watch
from charloom.sagemaker.jobs.request import JobSettings
from charloom.sagemaker.jobs.start import StartedJob, TrainingPlan, TrainingRequest, plan_training, start_training
from charloom.sagemaker.local.backend import Local
from charloom.sagemaker.other_regions import job_elsewhere
from charloom.sagemaker.sources import CorpusSource, parse_origin
from charloom.settings import CorpusSettings, ModelSettings, RunSettings, TrainingSettings

_JOB = Group("Job", sort_key=5)
_CORPUS = Group("Text", sort_key=10)
_MODEL = Group("Network (defaults are the recipe's)", sort_key=20)
_TRAINING = Group("Learning (defaults are the recipe's)", sort_key=30)


def train(
    *corpus: CorpusArgument,
    output: Annotated[Path | None, Destination] = None,
    wait: bool = True,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    recipe: NameOrFile | None = None,
    init_from: NameOrFile | None = None,
    yes: Annotated[bool, Parameter(negative=())] = False,
    job: Annotated[JobSettings, Parameter(name="*", group=_JOB)] = JobSettings(),
    text: Annotated[CorpusSettings, Parameter(name="*", group=_CORPUS)] = CorpusSettings(),
    network: Annotated[ModelSettings, Parameter(name="*", group=_MODEL)] = ModelSettings(),
    learning: Annotated[TrainingSettings, Parameter(name="*", group=_TRAINING)] = TrainingSettings(),
    cloud: CloudOptions = CloudOptions(),
    options: OutputOptions = OutputOptions(),
) -> int:
    """Train as a job on SageMaker: sends text and code, starts the job, follows its log, fetches the model.

    What it can cost is said first, and asked about where that is more than 5 USD or unknown. Ctrl-C asks whether to
    stop the job. With --instance local the very same job runs on this machine.

    Parameters
    ----------
    corpus
        An address in S3, as charloom sagemaker upload gives it; or files, folders, globs, addresses or names, which
        are prepared and uploaded first.
    output
        The model directory to write when the job has ended; without it the model stays in S3.
    wait
        Wait for the job's end and follow its log.
    overwrite
        Replace the model that is in the folder.
    recipe
        A named set of settings: tiny, small, base, large, names, memorize, article; or a YAML file. Options go over it.
    init_from
        A model to start from: a model directory, or an address in S3.
    yes
        Do not ask whether it may cost that much.
    """
    out = Output(options)
    request = TrainingRequest(
        CorpusSource.parse(corpus_specs(corpus)),
        job,
        RunSettings(corpus=text, model=network, training=learning),
        None if recipe is None else str(recipe),
        parse_origin(init_from),
    )
    if job.instance == LOCAL:
        return _train_here(out, request, output, cloud, overwrite)
    return _train_in_account(out, request, output, cloud, overwrite, wait=wait, yes=yes)


def _train_in_account(
    out: Output,
    request: TrainingRequest,
    output: Path | None,
    cloud: CloudOptions,
    overwrite: bool,
    *,
    wait: bool,
    yes: bool,
) -> int:
    """Say what the job can cost, start it, and fetch its model; the exit status."""
    if output is not None:
        if not wait:
            raise UsageError("-o is where the model is written when the job has ended: leave out -o or --no-wait")
        check_output(expand_home(output), overwrite)
    aws = reach_account(cloud, out)
    with CloudView(out) as view:
        plan = plan_training(aws, request, notify=view)
    if not _may_cost(out, aws, plan, yes=yes):
        out.say("nothing was started")
        return 1
    with CloudView(out) as view:
        started = start_training(aws, plan, notify=view)
    return _finish(out, aws, started, output, wait, overwrite, request.job.price)


def _may_cost(out: Output, aws: Aws, plan: TrainingPlan, *, yes: bool) -> bool:
    most = None if unlisted_warning(plan.request.job.instance, "training") else plan.cost.most
    return may_cost(out, aws, f"{plan.cost}; {plan.cost.note}", most, "start it?", yes=yes)


def _finish(
    out: Output, aws: Aws, started: StartedJob, output: Path | None, wait: bool, overwrite: bool, price: float | None
) -> int:
    """Wait for it and fetch its model, as far as that was asked for; the exit status."""
    name = started.name
    if not wait:
        _report_started(out, aws, started)
        return 0
    ended = wait_for_job(out, aws, Watch(aws, name, price=price, notify=CloudView(out)), name, output)
    if isinstance(ended, int):
        return ended
    if output is not None:
        fetch_model(out, Amazon(aws), name, output, overwrite, price)
        return 0
    if aws.dry:
        return 0
    if out.json:
        out.result(job_data(ended))
    else:
        out.text(job_text(ended, aws.region))
    _say_how_to_fetch(out, aws, name)
    return 0


def _report_started(out: Output, aws: Aws, started: StartedJob) -> None:
    if aws.dry:
        return
    data = asdict(started)
    if out.json:
        out.result({"job": data.pop("name"), **data})
    else:
        out.text(started.name)
    _say_how_to_fetch(out, aws, started.name)


def _say_how_to_fetch(out: Output, aws: Aws, name: str) -> None:
    out.say(f"now try:\n    {command(aws, 'attach', name, output=Path('runs/mine'))}", style="bold")


def _again(name: str) -> str:
    """The command that was typed, for the job that it has made."""
    words = TYPED.get()
    named = [] if any(word.partition("=")[0] == "--name" for word in words) else ["--name", name]
    return typed("charloom", *words[:2], *named, *words[2:])


def _train_here(
    out: Output, request: TrainingRequest, output: Path | None, cloud: CloudOptions, overwrite: bool
) -> int:
    """Run the job to its end; the exit status."""
    if output is None:
        raise UsageError("--instance local needs -o, the model directory to write")
    for sentence in job_elsewhere(request.job.name) if request.job.name else ():
        out.note(Notice(sentence))
    here, folder = Local(lambda: reach_account(cloud, out)), expand_home(output)
    if cloud.dry_run:
        here.check_training(request, folder, overwrite=overwrite)
        out.say("a job on this machine sends no requests")
        return 0
    with CloudView(out) as view:
        ended = here.train(request, folder, overwrite=overwrite, notify=view)
    if ended.status == "Stopped":
        out.say(f"stopped. To continue from its checkpoint:\n    {_again(ended.name)}", style="bold")
        return INTERRUPTED
    report(out, output, attached_model(folder, ended, Path(ended.artifact).stat().st_size))
    return 0
