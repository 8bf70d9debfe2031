from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ConnectionClosedError

from charloom.errors import CloudError, UsageError
from charloom.events import Event, TransferProgress
from charloom.sagemaker.aws import Account, DryRun, Request, arn, connect, role_arn
from charloom.sagemaker.names import S3Uri, check_name, fresh_name
from charloom.sagemaker.s3 import default_bucket, download_file, ensure_bucket, objects_under, upload_file

from .conftest import REGION
from .fake_amazon import FakeAmazon


def test_a_file_goes_up_once_and_comes_back(account: Account, tmp_path: Path) -> None:
    bucket = default_bucket(account)
    assert bucket == f"sagemaker-{REGION}-{account.account_id}"
    ensure_bucket(account, bucket)
    ensure_bucket(account, bucket)  # there already
    text, events = tmp_path / "a.txt", list[Event]()
    text.write_bytes(b"x" * 9_000_000)  # more than one part
    uri = S3Uri(bucket) / "texts" / "a.txt"
    assert upload_file(account, text, uri, events.append)
    assert max(event.done for event in events if isinstance(event, TransferProgress)) == 9_000_000
    assert not upload_file(account, text, uri)
    text.write_bytes(b"y")
    assert upload_file(account, text, uri)
    download_file(account, uri, tmp_path / "b" / "a.txt")
    assert (tmp_path / "b" / "a.txt").read_bytes() == b"y"
    assert list(objects_under(account, S3Uri(bucket, "texts/"))) == [uri]


def test_what_is_not_there_leaves_no_file(account: Account, tmp_path: Path) -> None:
    ensure_bucket(account, default_bucket(account))
    with pytest.raises(CloudError, match="/nothing is not there"):
        download_file(account, S3Uri(default_bucket(account), "nothing"), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_and_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    shown: list[Request] = []
    aws = DryRun(shown.append)
    (tmp_path / "a.txt").write_bytes(b"text")
    upload_file(aws, tmp_path / "a.txt", S3Uri(default_bucket(aws), "a.txt"))
    assert [request.operation for request in shown] == ["get_caller_identity", "head_object", "put_object"]
    assert shown[-1].request["Bucket"] == "sagemaker-REGION-ACCOUNT_ID"
    assert role_arn(aws, None) == "arn:aws:iam::ACCOUNT_ID:role/SAGEMAKER_ROLE"
    assert arn(DryRun(shown.append, "cn-north-1"), "sagemaker", "endpoint/a").startswith("arn:aws-cn:sagemaker:cn-")


@pytest.mark.parametrize(("variables", "region"), [
    ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
    ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-west-1"),
    ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
])  # fmt: skip
def test_an_account_and_its_dry_run_are_in_the_region_of_the_environment(
    pretended: str, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert connect().region == DryRun(lambda request: None).region == region
    assert connect("eu-north-1").region == "eu-north-1"


def test_names() -> None:
    assert S3Uri.parse("s3://bucket/a/b") == S3Uri("bucket", "a/b")
    assert str(S3Uri("bucket") / "a") == "s3://bucket/a"
    with pytest.raises(UsageError, match="is not an address"):
        S3Uri.parse("https://bucket/a")
    assert check_name(fresh_name("my model's é"), "endpoint").startswith("my-model-s-")
    assert len(fresh_name("x" * 100)) <= 63
    with pytest.raises(UsageError, match="single hyphens"):
        check_name("a--", "endpoint")


def test_an_upload_that_breaks_leaves_no_parts_and_what_was_there(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *context: 0.0)
    bucket = default_bucket(account)
    ensure_bucket(account, bucket)
    large, uri = tmp_path / "large", S3Uri(bucket, "large")
    large.write_bytes(b"before")
    upload_file(account, large, uri)
    large.write_bytes(b"x" * 20_000_000)
    client = account.client("s3")

    def breaks(**call: object) -> None:
        raise ConnectionClosedError(endpoint_url="https://s3")

    client.meta.events.register("before-send.s3.UploadPart", breaks)
    with pytest.raises(CloudError, match="Connection was closed"):
        upload_file(account, large, uri)
    client.meta.events.unregister("before-send.s3.UploadPart", breaks)
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert client.head_object(Bucket=bucket, Key="large")["ContentLength"] == 6
    assert upload_file(account, large, uri)


def test_an_upload_that_is_interrupted_leaves_no_parts(account: Account, tmp_path: Path) -> None:
    bucket = default_bucket(account)
    ensure_bucket(account, bucket)
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)

    sent: list[Event] = []

    def interrupt(event: Event) -> None:
        if not sent:  # as Ctrl-C does: the main thread learns of it
            sent.append(event)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where the tests run in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            upload_file(account, tmp_path / "large", S3Uri(bucket, "large"), interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert account.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert list(objects_under(account, S3Uri(bucket))) == []


def test_buckets_of_others_and_elsewhere(fake: FakeAmazon, tmp_path: Path) -> None:
    account = connect()
    boto3.client("s3", region_name="us-west-2").create_bucket(
        Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    with pytest.raises(CloudError, match=f"far-away is in us-west-2, and this is {REGION}.*--region us-west-2"):
        ensure_bucket(account, "far-away")
    fake.refuse("CreateBucket", "BucketAlreadyExists")
    with pytest.raises(CloudError, match="belongs to somebody else: name another"):
        ensure_bucket(account, "somebody-elses")
    ensure_bucket(account, "mine-alone")
    (tmp_path / "a").write_bytes(b"a")
    upload_file(account, tmp_path / "a", S3Uri("mine-alone", "a"))
    with pytest.raises(CloudError, match="more than the 0 that are fetched"):
        download_file(account, S3Uri("mine-alone", "a"), tmp_path / "b", most=0)


def test_a_clock_that_is_wrong_and_throttling(fake: FakeAmazon, tmp_path: Path) -> None:
    account = connect()
    ensure_bucket(account, "mine-alone")
    (tmp_path / "a").write_bytes(b"a")
    fake.refuse("PutObject", "RequestTimeTooSkewed", "The difference is too large", status=403, times=None)
    with pytest.raises(CloudError, match="this machine's clock is wrong"):
        upload_file(account, tmp_path / "a", S3Uri("mine-alone", "a"))
    fake.refuse("GetObject", "SlowDown", "Reduce your request rate", status=503, times=3)
    fake.put("s3://mine-alone/b", b"b")
    download_file(account, S3Uri("mine-alone", "b"), tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"b"
    assert fake.operations("s3").count("GetObject") == 4


@pytest.mark.slow
def test_a_dry_run_needs_no_boto3(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text of some length, with more than one character\n" * 5)
    code = """
import contextlib, sys
for name in ("boto3", "botocore", "s3transfer"):
    sys.modules[name] = None
from charloom.cli.main import main
for command in (["upload", "a.txt"], ["train", "a.txt", "--steps", "1"], ["train", "s3://texts/a", "--no-wait"],
                ["status", "a"], ["stop", "a"], ["logs", "a", "--follow"], ["attach", "a", "-o", "m"]):
    with contextlib.suppress(SystemExit):
        main(["sagemaker", *command, "--dry-run", "--json"])
"""
    environment = {**os.environ, "AWS_REGION": "", "AWS_DEFAULT_REGION": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    operations = [json.loads(line)["operation"] for line in ran.stdout.splitlines()]
    assert operations.count("CreateTrainingJob") == 2
    assert {"PutObject", "GetObject", "StopTrainingJob", "FilterLogEvents"} < set(operations)
    assert "charloom:" not in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
