"""A job's model, fetched from S3 into a model directory."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charloom.bundle import edited_files, model_refusal, move_model, open_model_directory
from charloom.errors import CloudError, UsageError
from charloom.events import Notice, Notify, ignore
from charloom.files import TEMPORARY_SUFFIX, storage_errors
from charloom.folders import claim_folder, contents_of, sweep
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.jobs.follow import JobStatus, failure_of
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.s3 import default_bucket, download_file
from charloom.sagemaker.unpacking import unpack_model

JOBS = "charloom/jobs"
"""The folder of a bucket that jobs leave their models and checkpoints in."""

_MOST_BYTES = 16 << 30  # of an archive that is fetched


@dataclass(frozen=True)
class AttachedModel:
    """A model directory that was fetched.

    Attributes:
        path: the model directory.
        job: how the job that trained it ended.
        bytes: the archive's size.
        bits_per_char: what it reached on the validation split, by the protocol.
        protocol: how that was measured.
    """

    path: Path
    job: JobStatus
    bytes: int
    bits_per_char: float
    protocol: str


def check_output(output: Path, overwrite: bool) -> None:
    """See that a model directory may be written there."""
    refusal = model_refusal(output, overwrite=overwrite)
    if refusal is None and contents_of(output).run:
        refusal = f"{output} holds an unfinished training run: choose another folder for the model"
    if refusal is not None:
        raise UsageError(refusal)


@contextlib.contextmanager
def receive_model(output: Path, overwrite: bool, notify: Notify = ignore) -> Iterator[Path]:
    """A folder, not there yet, to make a model directory in; it is moved to `output` when the block ends well.

    Of what `output` holds only the files of an older model are replaced. No other process may write there meanwhile.
    """
    with claim_folder(output, lambda: check_output(output, overwrite), notify):
        sweep(output.parent, only=output.name)
        temporary = output.with_name(f".{output.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
        try:
            with storage_errors(output):
                temporary.mkdir()
            made = temporary / "model"
            yield made
            if made.is_dir():
                for name in sorted(edited_files(output)):
                    notify(Notice(f"{output / name} was edited by somebody, and stays as it is"))
                move_model(made, open_model_directory(made).config, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def attach_model(
    aws: Aws, found: JobStatus, output: Path, *, overwrite: bool, notify: Notify = ignore
) -> AttachedModel | None:
    """Fetch the model of a job that has ended; raises as `charloom.sagemaker.attach`."""
    if aws.dry:
        download_file(aws, S3Uri(default_bucket(aws)) / f"{JOBS}/{found.name}/output/model.tar.gz", output)
        return None
    if not found.over:
        raise UsageError(f"the job {found.name} still runs ({found.secondary_status}): wait for it, or try again later")
    if found.status == "Failed":
        raise failure_of(aws, found)
    if not found.artifact:
        raise CloudError(
            f"the job {found.name} left no model: it is {found.secondary_status or found.status}", "NoModel"
        )
    uri = S3Uri.parse(found.artifact)
    with receive_model(output, overwrite, notify) as made:
        archive = made.with_name("model.tar.gz")
        download_file(aws, uri, archive, notify, most=_MOST_BYTES)
        size = archive.stat().st_size
        unpack_model(archive, made)
    return attached_model(output, found, size)


def attached_model(output: Path, job: JobStatus, size: int) -> AttachedModel:
    """What was fetched: the model directory, the job that trained it, and the size of its archive."""
    protocol, headline = next(iter(open_model_directory(output).config.losses.items()))
    return AttachedModel(output, job, size, headline.bits_per_char, protocol)
