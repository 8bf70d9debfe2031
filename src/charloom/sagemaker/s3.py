"""Amazon S3: buckets, uploads in parts with progress, downloads, and what a job would read at an address."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from charloom.errors import CloudError, UsageError
from charloom.events import Notify, TransferProgress, ignore
from charloom.files import TEMPORARY_SUFFIX, sha256_of_file, storage_errors
from charloom.sagemaker.aws import Account, Aws, is_missing
from charloom.sagemaker.names import S3Uri

_CHECKSUM = "charloom-sha256"  # kept as the object's metadata: S3's own checksum of a file in parts is not the file's

FORBIDDEN = ("403", "AccessDenied", "Forbidden")
"""Codes of S3's refusal to say even whether something is there."""

_MOST = 10_000  # objects that are looked at


def default_bucket(aws: Aws) -> str:
    """The bucket that SageMaker's own tools use when none is named."""
    return f"sagemaker-{aws.region}-{aws.account_id}"


def ensure_bucket(aws: Aws, bucket: str) -> None:
    """Create a bucket if it is not there, and see that it is the account's own, in this region."""
    try:
        found = aws.call("s3", "head_bucket", Bucket=bucket, ExpectedBucketOwner=aws.account_id)
    except CloudError as error:
        if error.code in FORBIDDEN:
            raise CloudError(
                f"the bucket {bucket} is not yours, or you may not read it: name another with --bucket", error.code
            ) from error
        if not is_missing(error):
            raise
        found = {}
        _create_bucket(aws, bucket)
    if aws.dry:
        _create_bucket(aws, bucket)
    there = found.get("BucketRegion", aws.region)
    if there != aws.region:
        raise CloudError(
            f"the bucket {bucket} is in {there}, and this is {aws.region}, where jobs cannot use it: "
            f"give --region {there}, or another --bucket",
            "WrongRegion",
        )


def _create_bucket(aws: Aws, bucket: str) -> None:
    place = {} if aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
    try:
        aws.call("s3", "create_bucket", Bucket=bucket, **place)
    except CloudError as error:
        if error.code == "BucketAlreadyExists":
            raise CloudError(
                f"the bucket {bucket} belongs to somebody else: name another with --bucket", error.code
            ) from error
        if error.code != "BucketAlreadyOwnedByYou":
            raise


def upload_file(aws: Aws, path: Path, uri: S3Uri, notify: Notify = ignore, *, kms_key: str | None = None) -> bool:
    """Put a file under an address of the account's own, in parts where it is large; whether it had to be sent.

    With a KMS key it is encrypted by that; a file that is there under another key is sent again.

    Raises:
        CloudError: S3 refused it, or the connection broke. What was there before is still there, and no parts
            are left that would be paid for.
        StorageError: the file cannot be read.
    """
    with storage_errors(path):
        checksum, size = sha256_of_file(path), path.stat().st_size
    owner = {"ExpectedBucketOwner": aws.account_id}
    sealed = {} if kms_key is None else {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
    metadata = {_CHECKSUM: checksum}
    if not isinstance(aws, Account):
        aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key, **owner)
        body = f"<{path.name}, {size} bytes>"
        aws.call("s3", "put_object", Bucket=uri.bucket, Key=uri.key, Body=body, Metadata=metadata, **sealed, **owner)
        return True
    if _is_there(aws, uri, checksum, kms_key, owner):
        return False
    with _transfer(aws, "put_object", f"{path.name} to {uri}"):
        aws.client("s3").upload_file(
            str(path),
            uri.bucket,
            uri.key,
            ExtraArgs={"Metadata": metadata, **sealed, **owner},
            Callback=_counting(path.name, size, notify),
        )
    return True


def download_file(aws: Aws, uri: S3Uri, path: Path, notify: Notify = ignore, *, most: int | None = None) -> None:
    """Fetch an object to a file, which appears when it is whole.

    Args:
        aws: the account.
        uri: the object.
        path: the file; folders above it are made.
        notify: receives how far it is.
        most: bytes that are fetched at most; any number if None.
    """
    try:
        found = aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key)
    except CloudError as error:
        if is_missing(error):
            raise CloudError(f"{uri} is not there", error.code) from error
        raise
    if not isinstance(aws, Account):
        aws.call("s3", "get_object", Bucket=uri.bucket, Key=uri.key)
        return
    size = int(found["ContentLength"])
    if most is not None and size > most:
        raise CloudError(f"{uri} has {size:,} bytes, more than the {most:,} that are fetched", "TooLarge")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with storage_errors(path), _transfer(aws, "get_object", f"{uri} to {path.name}"):
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


def _is_there(aws: Account, uri: S3Uri, checksum: str, kms_key: str | None, owner: dict[str, str]) -> bool:
    """Whether a file is there unchanged, and encrypted as it is to be; an alias of a key cannot be compared."""
    try:
        found = aws.call("s3", "head_object", Bucket=uri.bucket, Key=uri.key, **owner)
    except CloudError as error:
        if is_missing(error) or error.code in FORBIDDEN:  # forbidden: it is not there, and we may not list
            return False
        raise
    key = str(found.get("SSEKMSKeyId", ""))
    same_key = kms_key is None or key == kms_key or key.endswith(f":key/{kms_key}")
    return same_key and found.get("Metadata", {}).get(_CHECKSUM) == checksum


@contextlib.contextmanager
def _transfer(aws: Account, operation: str, what: str) -> Iterator[None]:
    """Errors of boto3's transfers, which wrap botocore's and those of the disk, as ours."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    from charloom.sagemaker.aws_errors import as_cloud_errors

    with as_cloud_errors("s3", operation, aws.region):
        try:
            yield
        except Boto3Error as error:
            cause = error.__cause__ or error.__context__
            if isinstance(cause, ClientError | BotoCoreError):
                raise cause from None
            message = " ".join(str(error).split())
            raise CloudError(f"{what} could not be transferred: {message}", "Transfer") from error


def _counting(name: str, total: int, notify: Notify) -> Callable[[int], None]:
    """A counter of bytes that several threads may call."""
    lock, done = threading.Lock(), 0

    def count(more: int) -> None:
        nonlocal done
        with lock:
            done += more
            notify(TransferProgress(name, done, total))

    return count


def objects_read(aws: Aws, address: S3Uri) -> list[S3Uri]:
    """The objects that a job reads at an address; of very many, the first. Nothing in a dry run."""
    found = [one for one in islice(objects_under(aws, address), _MOST) if not one.key.endswith("/")]  # S3's "folders"
    if not found and not aws.dry:
        raise CloudError(f"there is nothing at {address}: look whether it is spelled as in S3", "404")
    if address.key and not address.key.endswith("/"):
        _refuse_neighbours(address, found)
    return found


def _refuse_neighbours(address: S3Uri, found: list[S3Uri]) -> None:
    if address in found:
        others, way = [one for one in found if one != address], "copy it to a folder of its own"
    elif any(one.key.startswith(f"{address.key}/") for one in found):
        others = [one for one in found if not one.key.startswith(f"{address.key}/")]
        way = f"name the folder as {address}/"
    else:
        return
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UsageError(f"{address} is also how {others[0]}{more} begins, which SageMaker would read as well: {way}")


def refuse_mixed_corpora(address: S3Uri, found: list[S3Uri]) -> None:
    """See that a prepared corpus is alone: a job whose training channel holds more ends at once, and is paid for."""
    from charloom.text.prepared import IDS, RECORD, VOCABULARY

    keys = {one.key for one in found}
    folders = sorted({key.removesuffix(RECORD) for key in keys if f"/{key}".endswith(f"/{RECORD}")})
    corpora = [folder for folder in folders if {folder + IDS, folder + VOCABULARY} <= keys]
    if not corpora:
        return
    root = address.key if address.key.endswith("/") or not address.key else f"{address.key}/"
    beside = [key for key in keys if not key.startswith(corpora[0]) and key.removeprefix(root)[:1] != "."]
    if beside or corpora[0].removeprefix(root).count("/") > 1:
        named = " or ".join(str(S3Uri(address.bucket, folder)) for folder in corpora[:2])
        what = f"{len(corpora)} prepared corpora" if len(corpora) > 1 else "a prepared corpus, and not that alone"
        raise UsageError(f"{address} holds {what}; a job learns one: name {named}")
