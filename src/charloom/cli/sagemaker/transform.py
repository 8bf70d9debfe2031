"""`charloom sagemaker transform`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Group, Parameter

from charloom.cli.consent import ask_agreement
from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, CloudView, reach_account
from charloom.cli.sagemaker.consent import may_cost
from charloom.errors import CloudError, UsageError
from charloom.interrupts import INTERRUPTED
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.batch_transform import Transformed, start_transform, stop_transform
from charloom.sagemaker.commands import command
from charloom.sagemaker.transform_request import TransformSettings, plan_transform

_MACHINES = Group("Machines", sort_key=10)


def transform(
    model: str,
    *,
    source: Annotated[str, Parameter(name="--input")],
    output: str,
    generate: Annotated[bool, Parameter(negative=())] = False,
    score: Annotated[bool, Parameter(negative=())] = False,
    machines: Annotated[TransformSettings, Parameter(name="*", group=_MACHINES)] = TransformSettings(),
    role: str | None = None,
    image: str | None = None,
    name: str | None = None,
    yes: Annotated[bool, Parameter(negative=())] = False,
    wait: bool = True,
    cloud: CloudOptions = CloudOptions(),
    options: OutputOptions = OutputOptions(),
) -> int:
    """Generate or score JSON lines in S3 as a batch.

    A line is a JSON object with at least a prompt, as an endpoint takes it; the answers come a line each, in order.

    Parameters
    ----------
    model
        A SageMaker model; or a model directory, the address of a model.tar.gz, or a finished job.
    source
        A file of JSON lines in S3, or what the addresses of several begin with.
    output
        The folder in S3 for the answers: those to a.jsonl will be a.jsonl.out.
    generate
        Continue the prompts (the default).
    score
        Measure the prompts instead; a line that says "score" decides for itself.
    role
        The role it runs under, where a SageMaker model must be made first; else CHARLOOM_SAGEMAKER_ROLE.
    image
        The container image, where a SageMaker model must be made first.
    name
        What to call the job; made from the model's name if not given.
    yes
        Start without asking.
    wait
        Follow the job to its end.
    """
    out = Output(options)
    if generate and score:
        raise UsageError("give --generate or --score, not both")
    aws = reach_account(cloud, out)
    plan = plan_transform(aws, model, source, output, score=score, name=name, settings=machines, role=role, image=image)
    if not may_cost(out, aws, plan.settings.stated_cost(aws.region), None, "start it?", yes=yes):
        out.say("nothing was started")
        return 1
    try:
        with CloudView(out) as view:
            done = start_transform(aws, plan, wait=wait, notify=view)
    except KeyboardInterrupt:
        return _handle_interrupt(out, aws, plan.job)
    if not aws.dry:
        _show(out, aws, done)
    return 0


def _show(out: Output, aws: Aws, done: Transformed) -> None:
    if out.json:
        out.result({**asdict(done), "objects": list(done.objects)})
        return
    for address in done.objects or (done.output,):
        out.text(address)
    if done.status == "InProgress":
        out.say(f"now try:\n    {command(aws, 'status', done.job)}", style="bold")
        return
    time = "" if done.seconds is None else f" after {done.seconds / 60:.1f} min"
    out.say(f"({done.job}: {done.status}{time})", style="dim")


def _handle_interrupt(out: Output, aws: Aws, job: str) -> int:
    """Ctrl-C: the job goes on unless a person says otherwise."""
    try:
        if ask_agreement(out, f"stop the job {job} too?", yes=False):
            stop_transform(aws, job)
            out.say(f"{job} is stopping")
            return INTERRUPTED
    except (KeyboardInterrupt, UsageError):  # once more, or there is no terminal to ask
        pass
    except CloudError as error:
        out.warn(str(error))
    out.say(f"{job} goes on, and ends by itself: {command(aws, 'status', job)}")
    return INTERRUPTED
