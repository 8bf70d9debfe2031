"""The archive in S3 that an endpoint or a batch serves from: one that is there already, a job's, or one sent now."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from charloom.errors import CloudError, ModelDirectoryError, UsageError
from charloom.events import Notice, Notify
from charloom.files import sha256_of_file
from charloom.sagemaker.aws import Aws, is_missing
from charloom.sagemaker.commands import shown_place
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.packaging import has_wheels, package
from charloom.sagemaker.s3 import default_bucket, download_file, ensure_bucket, upload_file
from charloom.sagemaker.sources import ModelSource
from charloom.sagemaker.unpacking import unpack_model

ARCHIVE = "model.tar.gz"


def model_data(
    aws: Aws,
    model: ModelSource,
    bucket: str | None,
    notify: Notify,
    *,
    vendor: bool = False,
    kms_key: str | None = None,
) -> S3Uri:
    """The address in S3 of a model's archive, which is packed and uploaded where it is on this computer.

    Args:
        aws: the account.
        model: where it comes from.
        bucket: where to upload; SageMaker's default bucket if None.
        notify: receives what happens.
        vendor: have the packages that its code needs in the archive; one that lacks them is packed again.
        kms_key: what encrypts an upload; None: what the bucket says.
    """
    there = None if isinstance(model.place, Path) else find_archive(aws, model.place)
    if there is not None and (aws.dry or not vendor):
        return there
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        if isinstance(model.place, Path):
            path = model.place
        elif there is not None:
            path = Path(temporary, "fetched.tar.gz")
            download_file(aws, there, path, notify)
        if path.is_file() and (not vendor or has_wheels(path)):
            return there or _upload(aws, path, model, bucket, notify, kms_key)
        if path.is_file():
            unpack_model(path, Path(temporary, "model"))
            path = Path(temporary, "model")
        if vendor and aws.dry:
            notify(Notice("a dry run fetches no packages: the archive is shown without them"))
        archive = Path(temporary, ARCHIVE)
        # A dry run shows the archive's request; that the package serves is seen before it is really sent.
        packed = package(
            model.directory or path, archive, vendor=vendor and not aws.dry, check=not aws.dry, notify=notify
        )
        return _upload(aws, packed.path, model, bucket, notify, kms_key)


def find_archive(aws: Aws, place: S3Uri | str) -> S3Uri:
    """The archive at an address, or of a finished job; raises as `model_data` does."""
    return _of_job(aws, place) if isinstance(place, str) else _in_s3(aws, place)


def _in_s3(aws: Aws, uri: S3Uri) -> S3Uri:
    try:
        aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key)
    except CloudError as error:
        if is_missing(error):
            raise CloudError(f"{uri} is not there, in this account and region", error.code) from error
        raise
    return uri


def _of_job(aws: Aws, name: str) -> S3Uri:
    try:
        job = aws.call("sagemaker", "describe_training_job", TrainingJobName=name)
    except CloudError as error:
        if not is_missing(error):
            raise
        advice = made_elsewhere(aws, name, "deploy")
        raise ModelDirectoryError(
            f"{name}: there is no such model directory or archive here, and no such training job {shown_place(aws)}"
            + (f": {advice}" if advice else "")
        ) from error
    if aws.dry:
        return S3Uri("BUCKET", f"{name}/output/{ARCHIVE}")
    status, artifact = job["TrainingJobStatus"], job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if status != "Completed" or not artifact:
        left = f"; what it left is at {artifact}" if artifact else ""
        raise UsageError(f"the job {name} is {status}, not Completed{left}")
    return S3Uri.parse(artifact)


def _upload(
    aws: Aws, archive: Path, model: ModelSource, bucket: str | None, notify: Notify, kms_key: str | None
) -> S3Uri:
    stem = re.sub(r"[^a-zA-Z0-9._-]+", "-", model.stem)  # nothing in the address has to be escaped
    address = S3Uri(bucket or default_bucket(aws)) / "charloom/models" / stem / sha256_of_file(archive)[:16] / ARCHIVE
    ensure_bucket(aws, address.bucket)
    upload_file(aws, archive, address, notify, kms_key=kms_key)
    return address
