"""`charloom sagemaker stop`."""

from __future__ import annotations

from charloom.cli.output import Output, OutputOptions
from charloom.cli.sagemaker.backends import BackendOptions, find_backend
from charloom.cli.sagemaker.cloud import other_account
from charloom.sagemaker.commands import shown_place
from charloom.sagemaker.other_regions import job_elsewhere


def stop(
    name: str,
    *,
    place: BackendOptions = BackendOptions(),
    options: OutputOptions = OutputOptions(),
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
    backend = find_backend(place, out, "job", name, "stop", would="be stopped")
    if backend is None:
        return
    stopped = backend.stop(name)
    if backend.dry:
        return
    where = shown_place(backend.where)
    if out.json:
        out.result({"job": name, "stopped": stopped, "region": backend.region})
    else:
        out.text(f"{name} {f'is stopping {where}' if stopped else f'does not run {where}: there is nothing to stop'}")
    if backend.aws is None and not place.here:
        for sentence in job_elsewhere(name, other_account(place)):
            out.warn(sentence)
