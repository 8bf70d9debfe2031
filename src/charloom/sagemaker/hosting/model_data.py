"""Where the model of an endpoint comes from: a model directory, an archive here or in S3, or a finished job."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path

from charloom.bundle import open_model_directory
from charloom.errors import CloudError, ModelDirectoryError, UsageError
from charloom.events import Notice, Notify
from charloom.files import sha256_of_file, storage_errors
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import shown_place
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.hosting.parts import is_missing
from charloom.sagemaker.names import S3Uri, checked_name, is_s3
from charloom.sagemaker.packaging import has_wheels, package
from charloom.sagemaker.s3 import default_bucket, download_file, ensure_bucket, upload_file
from charloom.sagemaker.unpacking import unpack_model

ARCHIVE = "model.tar.gz"
_GZIP = b"\x1f\x8b"


def stem_of(model: str) -> str:
    """What an endpoint of that model may be called after."""
    if is_s3(model):
        folders = [part for part in S3Uri.parse(model).key.split("/")[:-1] if part not in ("", "output")]
        return folders[-1] if folders else "charloom"
    path = Path(model).expanduser()
    name = path.absolute().name if path.exists() else path.name
    return name.removesuffix(".tar.gz").removesuffix(".tgz") or "charloom"


def model_data(
    aws: Aws,
    model: str,
    bucket: str | None,
    notify: Notify,
    *,
    vendor: bool = False,
    kms_key: str | None = None,
) -> str:
    """The address in S3 of a model's archive, which is packed and uploaded where it is here.

    Args:
        aws: the account.
        model: a model directory, a model.tar.gz, the address of one in S3, or the name of a finished training job.
        bucket: where to upload; SageMaker's default bucket if None.
        notify: receives what happens.
        vendor: have the packages that its code needs in the archive; one that lacks them is packed again.
        kms_key: what encrypts an upload; None: what the bucket says.

    Raises:
        UsageError: the address is not an archive's, or the job has not finished.
        ModelDirectoryError: it is none of these, or the directory is not whole, or does not serve.
        CloudError: S3 or SageMaker refused.
        CharloomError: the packages cannot be had.
    """
    path, there = Path(model).expanduser(), ""
    if is_s3(model):
        there = _in_s3(aws, _archive_uri(model))
    elif not path.exists():
        there = _of_job(aws, _job_name(model))
    elif path.is_file():
        _check_archive(path)
    if there and (aws.dry or not vendor):
        return there
    with tempfile.TemporaryDirectory(prefix="charloom-") as temporary:
        if there:
            path = Path(temporary, "fetched.tar.gz")
            download_file(aws, S3Uri.parse(there), path, notify)
        if path.is_file() and (not vendor or has_wheels(path)):
            return there or _upload(aws, path, _place(aws, model, bucket), notify, kms_key)
        if path.is_file():
            unpack_model(path, Path(temporary, "model"))
            path = Path(temporary, "model")
        if vendor and aws.dry:
            notify(Notice("a dry run fetches no packages: the archive is shown without them"))
        packed = package(path, Path(temporary, ARCHIVE), vendor=vendor and not aws.dry, notify=notify)
        return _upload(aws, packed.path, _place(aws, model, bucket), notify, kms_key)


def check_model(model: str) -> None:
    """See, without asking Amazon, that this can be a model: a directory or an archive of one, an address, a job's name.

    Raises:
        UsageError: it is an address of something else.
        ModelDirectoryError: it is neither, or holds no model.
    """
    path = Path(model).expanduser()
    if is_s3(model):
        _archive_uri(model)
    elif path.is_dir():
        open_model_directory(path)
    elif path.is_file():
        _check_archive(path)
    else:
        _job_name(model)


def _check_archive(path: Path) -> None:
    with storage_errors(path), path.open("rb") as file:
        begins = file.read(len(_GZIP))
    if begins != _GZIP:
        raise ModelDirectoryError(f"{path} is no archive: give a model directory, or its model.tar.gz")


def _archive_uri(model: str) -> S3Uri:
    uri = S3Uri.parse(model)
    if not uri.key.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"{uri} is not an archive such as s3://bucket/folder/model.tar.gz")
    return uri


def _job_name(model: str) -> str:
    with contextlib.suppress(UsageError):
        return checked_name(model, "job")
    raise ModelDirectoryError(
        f"{model}: no such model directory or archive; the name of a training job or an address in S3 works too"
    )


def _in_s3(aws: Aws, uri: S3Uri) -> str:
    try:
        aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key)
    except CloudError as error:
        if error.code in ("404", "NoSuchKey", "NotFound", "NoSuchBucket"):
            raise CloudError(f"{uri} is not there, in this account and region", error.code) from error
        raise
    return str(uri)


def _place(aws: Aws, model: str, bucket: str | None) -> S3Uri:
    """The folder for all archives of a model."""
    return S3Uri(bucket or default_bucket(aws)) / "charloom/models" / _fit(stem_of(model))


def _upload(aws: Aws, archive: Path, place: S3Uri, notify: Notify, kms_key: str | None) -> str:
    ensure_bucket(aws, place.bucket)
    address = place / sha256_of_file(archive)[:16] / ARCHIVE
    upload_file(aws, archive, address, notify, kms_key=kms_key)
    return str(address)


def _fit(name: str) -> str:
    """A name as a part of an address that nothing has to escape."""
    return re.sub(r"[^a-zA-Z0-9._-]+", "-", name)


def _of_job(aws: Aws, name: str) -> str:
    try:
        job = aws.call("sagemaker", "describe_training_job", TrainingJobName=name)
    except CloudError as error:
        if not is_missing(error) and "not found" not in error.reason.lower():
            raise
        advice = made_elsewhere(aws, name, "deploy")
        raise ModelDirectoryError(
            f"{name}: there is no such model directory or archive here, and no such training job {shown_place(aws)}"
            + (f": {advice}" if advice else "")
        ) from error
    if aws.dry:
        return f"s3://BUCKET/{name}/output/{ARCHIVE}"
    status, artifact = job["TrainingJobStatus"], job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if status != "Completed" or not artifact:
        left = f"; what it left is at {artifact}" if artifact else ""
        raise UsageError(f"the job {name} is {status}, not Completed{left}")
    return str(artifact)
