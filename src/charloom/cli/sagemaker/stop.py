"""`charloom sagemaker stop`."""

from __future__ import annotations

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import reach_account
from charloom.cli.sagemaker.places import PlaceOptions, acts_here, other_account
from charloom.sagemaker.commands import HERE, Where, shown_place
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.jobs.inventory import stop_any
from charloom.sagemaker.jobs_here import is_here, stop_here
from charloom.sagemaker.other_places import job_elsewhere


def stop(
    name: str,
    *,
    place: PlaceOptions = PlaceOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Stop a training job, whose checkpoints stay, or a transform job, whose answers so far are lost.

    Stopping what has ended is not an error. A job of this machine comes first, else a training job of the account, else
    a transform job.

    Parameters
    ----------
    name
        The job's name.
    """
    out = Output(options)
    elsewhere: list[str] = []
    where: Where = HERE
    if acts_here(place, f"job {name}", there_is=is_here(name)):
        if place.dry_run:
            out.say(f"the job {name} of this machine would be stopped: no request would be sent")
            return
        stopped = stop_here(name)
        elsewhere = [] if place.here else job_elsewhere(name, other_account(place))
    else:
        where = aws = reach_account(
            place, out, not_here=f"there is no job {name}", elsewhere=lambda: made_elsewhere(None, name, "stop")
        )
        stopped = stop_any(aws, name)
        if aws.dry:
            return
    if out.json:
        out.result({"job": name, "stopped": stopped, "region": LOCAL if where == HERE else aws.region})
    else:
        done = f"is stopping {shown_place(where)}"
        out.text(f"{name} {done if stopped else f'does not run {shown_place(where)}: there is nothing to stop'}")
    for sentence in elsewhere:
        out.warn(sentence)
