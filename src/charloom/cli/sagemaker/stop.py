"""`charloom sagemaker stop`."""

from __future__ import annotations

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.cloud import CloudOptions, reached
from charloom.sagemaker.any_job import stop_any
from charloom.sagemaker.jobs_here import is_here, stop_here


def stop(
    name: str,
    *,
    cloud: CloudOptions = CloudOptions(),  # noqa: B008
    options: OutputOptions = OutputOptions(),  # noqa: B008
) -> None:
    """Stop a training job, whose checkpoints stay, or a transform job, whose answers so far are lost.

    Stopping what has ended is no error. A training job of that name comes before a transform job.

    Parameters
    ----------
    name
        The job's name.
    """
    out = Output(options)
    if is_here(name):
        stopped = stop_here(name)
    else:
        aws = reached(cloud, out, not_here=f"there is no job {name}")
        stopped = stop_any(aws, name)
        if aws.dry:
            return
    if out.json:
        out.result({"job": name, "stopped": stopped})
    else:
        out.text(f"{name} is stopping" if stopped else f"{name} does not run: there is nothing to stop")
