from __future__ import annotations

from pathlib import Path

import pytest

from charloom.errors import CloudError, UsageError
from charloom.events import Event, TransferProgress
from charloom.sagemaker.account import Account, role_arn
from charloom.sagemaker.aws import DryRun, Request, arn
from charloom.sagemaker.names import S3Uri, checked_name, fresh_name
from charloom.sagemaker.storage import default_bucket, download_file, ensure_bucket, objects_under, upload_file

from .conftest import REGION


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
    with pytest.raises(CloudError, match="404"):
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
    assert role_arn(aws, None) == "arn:aws:iam::ACCOUNT_ID:role/ROLE"
    assert arn(DryRun(shown.append, "cn-north-1"), "sagemaker", "endpoint/a").startswith("arn:aws-cn:sagemaker:cn-")


def test_names() -> None:
    assert S3Uri.parse("s3://bucket/a/b") == S3Uri("bucket", "a/b")
    assert str(S3Uri("bucket") / "a") == "s3://bucket/a"
    with pytest.raises(UsageError, match="is not an address"):
        S3Uri.parse("https://bucket/a")
    assert checked_name(fresh_name("my model's é"), "endpoint").startswith("my-model-s-")
    assert len(fresh_name("x" * 100)) <= 63
    with pytest.raises(UsageError, match="single hyphens"):
        checked_name("a--", "endpoint")
