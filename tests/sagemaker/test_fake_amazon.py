"""The test tool itself: real boto3 sees through it what it would see of Amazon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from charloom.errors import CloudError
from charloom.sagemaker.aws import connect
from charloom.sagemaker.names import S3Uri
from charloom.sagemaker.s3 import ensure_bucket, objects_under, upload_file

from .fake_amazon import FakeAmazon

ROLE = "arn:aws:iam::123456789012:role/R"


def job(name: str = "job", **more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }


def test_a_job_takes_its_time_and_leaves_a_model(fake: FakeAmazon) -> None:
    fake.next_job(logs=["one", "two", "three"], artifact=b"model", metrics={"validation:loss": 1.4})
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_training_job(**job(Tags=[{"Key": "a", "Value": "b"}]))
    seen = [sagemaker.describe_training_job(TrainingJobName="job") for _ in range(6)]
    states = ["Starting", "Downloading", "Training", "Uploading", "Completed", "Completed"]
    assert [one["SecondaryStatus"] for one in seen] == states
    assert [one["TrainingJobStatus"] for one in seen] == ["InProgress"] * 4 + ["Completed"] * 2
    last = seen[-1]
    assert [one["Status"] for one in last["SecondaryStatusTransitions"]] == states[:-1]
    assert last["BillableTimeInSeconds"] == 90
    assert last["FinalMetricDataList"][0]["MetricName"] == "validation:loss"
    assert "ModelArtifacts" not in seen[0]
    assert last["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/out/job/output/model.tar.gz"
    assert fake.get("s3://bucket/out/job/output/model.tar.gz") == b"model"
    logs = boto3.client("logs")
    (stream,) = logs.describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert stream["logStreamName"].startswith("job/algo-1-")
    lines = logs.get_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=stream["logStreamName"])
    assert [one["message"] for one in lines["events"]] == ["one", "two", "three"]
    assert sagemaker.list_tags(ResourceArn=last["TrainingJobArn"])["Tags"] == [{"Key": "a", "Value": "b"}]


def test_jobs_fail_are_stopped_and_are_not_there(fake: FakeAmazon) -> None:
    sagemaker = boto3.client("sagemaker")
    fake.next_job(failure="AlgorithmError: no")
    fake.next_job(states=["Training"])
    sagemaker.create_training_job(**job("a"))
    sagemaker.create_training_job(**job("b", EnableManagedSpotTraining=True))
    seen = [sagemaker.describe_training_job(TrainingJobName="a") for _ in range(4)]
    assert (seen[-1]["TrainingJobStatus"], seen[-1]["FailureReason"]) == ("Failed", "AlgorithmError: no")
    for _ in range(3):
        assert sagemaker.describe_training_job(TrainingJobName="b")["TrainingJobStatus"] == "InProgress"
    sagemaker.stop_training_job(TrainingJobName="b")
    states = [sagemaker.describe_training_job(TrainingJobName="b")["TrainingJobStatus"] for _ in range(2)]
    assert states == ["Stopping", "Stopped"]
    assert sagemaker.describe_training_job(TrainingJobName="b")["BillableTimeInSeconds"] == 27
    listed = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert {one["TrainingJobName"]: one["TrainingJobStatus"] for one in listed} == {"a": "Failed", "b": "Stopped"}
    with pytest.raises(ClientError, match="ResourceInUse"):
        sagemaker.create_training_job(**job("a"))
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.stop_training_job(TrainingJobName="b")
    with pytest.raises(ClientError, match="not found"):
        sagemaker.describe_training_job(TrainingJobName="c")


def create_endpoint(name: str = "mine") -> Any:
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "image"})
    variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return sagemaker


def test_endpoints_come_up_change_and_go(fake: FakeAmazon) -> None:
    sagemaker = create_endpoint()
    states = [sagemaker.describe_endpoint(EndpointName="mine")["EndpointStatus"] for _ in range(3)]
    assert states == ["Creating", "InService", "InService"]
    taken = r"ValidationException.*already existing"
    with pytest.raises(ClientError, match=taken):
        sagemaker.create_endpoint(EndpointName="mine", EndpointConfigName="mine")
    with pytest.raises(ClientError, match=taken):
        sagemaker.create_model(ModelName="mine", ExecutionRoleArn=ROLE)
    sagemaker.update_endpoint(EndpointName="mine", EndpointConfigName="mine")
    states = [sagemaker.describe_endpoint(EndpointName="mine")["EndpointStatus"] for _ in range(2)]
    assert states == ["Updating", "InService"]
    sagemaker.delete_endpoint(EndpointName="mine")
    sagemaker.delete_endpoint_config(EndpointConfigName="mine")
    sagemaker.delete_model(ModelName="mine")
    for operation, name in (
        ("describe_endpoint", "EndpointName"),
        ("delete_endpoint", "EndpointName"),
        ("delete_endpoint_config", "EndpointConfigName"),
        ("describe_endpoint_config", "EndpointConfigName"),
        ("delete_model", "ModelName"),
        ("describe_model", "ModelName"),
    ):
        with pytest.raises(ClientError, match=r"ValidationException.*Could not find"):
            getattr(sagemaker, operation)(**{name: "mine"})


def test_an_endpoint_fails_with_a_reason_and_a_log(fake: FakeAmazon) -> None:
    fake.next_endpoint(["Creating", "Failed"], failure="did not pass the ping health check", logs=["no model"])
    sagemaker = create_endpoint()
    sagemaker.describe_endpoint(EndpointName="mine")
    failed = sagemaker.describe_endpoint(EndpointName="mine")
    assert (failed["EndpointStatus"], failed["FailureReason"]) == ("Failed", "did not pass the ping health check")
    (listed,) = sagemaker.list_endpoints()["Endpoints"]
    assert listed["EndpointStatus"] == "Failed"
    events = boto3.client("logs").filter_log_events(logGroupName="/aws/sagemaker/Endpoints/mine")["events"]
    assert [one["message"] for one in events] == ["no model"]


def test_refusals(fake: FakeAmazon) -> None:
    account = connect()
    fake.refuse("DescribeEndpoint", "ThrottlingException", "Rate exceeded", times=3)
    with pytest.raises(CloudError, match="Could not find endpoint"):
        account.call("sagemaker", "describe_endpoint", EndpointName="a")
    assert fake.operations() == ["DescribeEndpoint"] * 4
    fake.refuse("CreateTrainingJob", "ResourceLimitExceeded", "The account-level service limit is 0")
    with pytest.raises(CloudError, match="quota"):
        account.call("sagemaker", "create_training_job", **job())
    fake.refuse("HeadBucket", "403", status=403)
    with pytest.raises(CloudError, match="not yours"):
        ensure_bucket(account, "abc")
    fake.refuse("GetCallerIdentity", "InvalidClientTokenId", "bad", status=403)
    with pytest.raises(CloudError, match="not valid"):
        connect().call("sts", "get_caller_identity")
    fake.refuse("GetObject", "RequestTimeTooSkewed", "The difference is too large")
    with pytest.raises(CloudError, match="clock"):
        account.call("s3", "get_object", Bucket="abc", Key="k")


def test_what_is_passed_on_is_recorded_by_its_name(fake: FakeAmazon, tmp_path: Path) -> None:
    account = connect()
    ensure_bucket(account, "bucket-of-mine")
    large = tmp_path / "large"
    large.write_bytes(b"x" * 9_000_000)
    upload_file(account, large, S3Uri("bucket-of-mine", "folder/a large one"))
    assert list(objects_under(account, S3Uri("bucket-of-mine"))) == [S3Uri("bucket-of-mine", "folder/a large one")]
    copied = {"Bucket": "bucket-of-mine", "Key": "b"}
    account.call("s3", "copy_object", CopySource={**copied, "Key": "folder/a large one"}, **copied)
    account.call("s3", "delete_object", **copied)
    boto3.client("scheduler").list_schedules()
    boto3.client("iam").list_roles()
    found = fake.operations()
    assert [name for name in found if name != "UploadPart"] == [
        "GetCallerIdentity", "HeadBucket", "CreateBucket", "HeadObject", "CreateMultipartUpload",
        "CompleteMultipartUpload",
        "ListObjectsV2", "CopyObject", "DeleteObject", "ListSchedules", "ListRoles",
    ]  # fmt: skip
    assert found.count("UploadPart") == 2
    assert fake.requests("HeadObject")[0] == {"Bucket": "bucket-of-mine", "Key": "folder/a large one"}
    assert {call.service for call in fake.calls} == {"sts", "s3", "scheduler", "iam"}
