"""Files to S3 and back: in parts, with progress, and not again where they are there unchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from charloom.errors import CloudError
from charloom.events import Notify, TransferProgress, ignore
from charloom.files import TEMPORARY_SUFFIX, sha256_of_file, storage_errors
from charloom.sagemaker.account import Account
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.refusals import refusals

_CHECKSUM = "charloom-sha256"  # kept as the object's metadata: S3's own checksum of a file in parts is not the file's


def default_bucket(aws: Aws) -> str:
    """The bucket that SageMaker's own tools use when none is named."""
    return f"sagemaker-{aws.region}-{aws.account_id}"


def ensure_bucket(aws: Aws, bucket: str) -> None:
    """Create a bucket if it is not there.

    Raises:
        CloudError: it belongs to somebody else, or may not be created.
    """
    if aws.dry:
        aws.call("s3", "head_bucket", Bucket=bucket)
        _create_bucket(aws, bucket)
        return
    try:
        aws.call("s3", "head_bucket", Bucket=bucket, ExpectedBucketOwner=aws.account_id)
    except CloudError as error:
        if error.code in ("403", "AccessDenied", "Forbidden"):
            raise CloudError(f"the bucket {bucket} is not yours, or you may not read it", error.code) from error
        if error.code not in ("404", "NoSuchBucket"):
            raise
        _create_bucket(aws, bucket)


def _create_bucket(aws: Aws, bucket: str) -> None:
    place = {} if aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
    try:
        aws.call("s3", "create_bucket", Bucket=bucket, **place)
    except CloudError as error:
        if error.code == "BucketAlreadyExists":
            raise CloudError(f"the bucket {bucket} belongs to somebody else: name another", error.code) from error
        if error.code != "BucketAlreadyOwnedByYou":
            raise


def upload_file(aws: Aws, path: Path, uri: S3Uri, notify: Notify = ignore) -> bool:
    """Put a file under an address, in parts where it is large; whether it had to be sent.

    Raises:
        CloudError: S3 refused it, or the connection broke. What stood there before still stands there.
    """
    checksum, size = sha256_of_file(path), path.stat().st_size
    if not isinstance(aws, Account):
        aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key)
        body = f"<{path.name}, {size} bytes>"
        aws.call("s3", "put_object", Bucket=uri.bucket, Key=uri.key, Body=body, Metadata={_CHECKSUM: checksum})
        return True
    if _checksum_there(aws, uri) == checksum:
        return False
    with _transfer(aws, "put_object", str(uri)):
        aws.client("s3").upload_file(
            str(path),
            uri.bucket,
            uri.key,
            ExtraArgs={"Metadata": {_CHECKSUM: checksum}},
            Callback=_counting(path.name, size, notify),
        )
    return True


def download_file(aws: Aws, uri: S3Uri, path: Path, notify: Notify = ignore) -> None:
    """Fetch an object to a file, which appears when it is whole.

    Raises:
        CloudError: there is none, or it could not be fetched.
        StorageError: the file cannot be written.
    """
    if not isinstance(aws, Account):
        aws.call("s3", "get_object", Bucket=uri.bucket, Key=uri.key)
        return
    size = int(aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key)["ContentLength"])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with storage_errors(path), _transfer(aws, "get_object", str(uri)):
            counting = _counting(path.name, size, notify)
            aws.client("s3").download_file(uri.bucket, uri.key, str(part), Callback=counting)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def objects_under(aws: Aws, uri: S3Uri) -> Iterator[S3Uri]:
    """The addresses that begin with this one, in order."""
    for page in aws.pages("s3", "list_objects_v2", Bucket=uri.bucket, Prefix=uri.key):
        for entry in page.get("Contents", []):
            yield S3Uri(uri.bucket, entry["Key"])


def _checksum_there(aws: Account, uri: S3Uri) -> str | None:
    try:
        found = aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key)
    except CloudError as error:
        if error.code in ("404", "NoSuchKey", "NotFound", "403"):  # 403: it is not there, and we may not list
            return None
        raise
    checksum = found.get("Metadata", {}).get(_CHECKSUM)
    return None if checksum is None else str(checksum)


class _transfer:  # noqa: N801  (a context manager that reads as a verb)
    """Errors of s3transfer's, which wraps botocore's, as ours."""

    def __init__(self, aws: Account, operation: str, address: str) -> None:
        self._refusals = refusals("s3", operation, aws.region)
        self._address = address

    def __enter__(self) -> None:
        self._refusals.__enter__()

    def __exit__(self, *raised: object) -> bool | None:
        from boto3.exceptions import Boto3Error

        error = raised[1]
        if isinstance(error, Boto3Error):
            message = " ".join(str(error).split())
            raise CloudError(f"{self._address} could not be transferred: {message}", "Transfer") from error
        return self._refusals.__exit__(*raised)  # type: ignore[arg-type]


def _counting(name: str, total: int, notify: Notify) -> Callable[[int], None]:
    """A counter of bytes that several threads may call."""
    lock, done = threading.Lock(), 0

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            notify(TransferProgress(name, done, total))

    return count
