"""Keys, tags and environment variables: by what is sent to the account, and by what Amazon takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.sagemaker import upload
from charloom.sagemaker.aws import Account
from charloom.sagemaker.hosting.requests import configuration_request, model_request
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.jobs.request import JobSettings, TrainingJob, plan_job, training_job_request
from charloom.sagemaker.names import S3Uri, tags
from charloom.sagemaker.transform_request import TransformSettings, transform_request
from charloom.settings import RunSettings
from tests.cli.conftest import Charloom, one_line

from .fake_amazon import FakeAmazon
from .test_before_it_costs import DEPLOY, TRAIN, TRANSFORM, paid, there  # noqa: F401
from .test_training_jobs import source  # noqa: F401
from .test_training_request import Here
from .validation import assert_valid

KEY = "arn:aws:kms:eu-west-1:123456789012:key/0123abcd"
INDEX = "https://packages.example.com/simple?a=b&c"
OPTIONS = ("--kms-key", KEY, "--tag", "team=text", "--tag", "cost=a=b", "--env", f"PIP_INDEX_URL={INDEX}", "--yes")


def test_a_job_carries_them(cli: Charloom, there: FakeAmazon, small_text: Path) -> None:  # noqa: F811
    there.next_job(["Training"])
    options = (*OPTIONS, "--encrypt-traffic", "--instances", "2", "--no-wait", "--steps", "4")
    assert cli("sagemaker", "train", small_text, "--validation", small_text, *options).status == 0
    (request,) = there.requests("CreateTrainingJob")
    assert request["OutputDataConfig"]["KmsKeyId"] == request["ResourceConfig"]["VolumeKmsKeyId"] == KEY
    assert request["Environment"] == {"PIP_INDEX_URL": INDEX}
    assert request["EnableInterContainerTrafficEncryption"] is True
    assert {"Key": "team", "Value": "text"} in request["Tags"]
    assert {"Key": "cost", "Value": "a=b"} in request["Tags"]
    assert_everything_is_sealed()


def assert_everything_is_sealed() -> None:
    """What charloom has put into its default bucket is encrypted by the key."""
    s3, bucket = boto3.client("s3"), "sagemaker-eu-west-1-123456789012"
    found = s3.list_objects_v2(Bucket=bucket)["Contents"]
    for entry in found:
        head = s3.head_object(Bucket=bucket, Key=entry["Key"])
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY), entry["Key"]


def test_an_endpoint_carries_them(cli: Charloom, there: FakeAmazon, trained: Path) -> None:  # noqa: F811
    ran = cli("sagemaker", "deploy", trained, "--name", "mine", "--async", *OPTIONS)
    assert ran.status == 0, ran.err
    configuration, endpoint = there.requests("CreateEndpointConfig")[0], there.requests("CreateEndpoint")[0]
    model = there.requests("CreateModel")[-1]
    assert configuration["KmsKeyId"] == configuration["AsyncInferenceConfig"]["OutputConfig"]["KmsKeyId"] == KEY
    assert model["PrimaryContainer"]["Environment"]["PIP_INDEX_URL"] == INDEX
    assert model["PrimaryContainer"]["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
    for request in (model, configuration, endpoint):
        assert {"Key": "team", "Value": "text"} in request["Tags"]
    assert_everything_is_sealed()


def test_a_batch_carries_them(cli: Charloom, there: FakeAmazon, trained: Path) -> None:  # noqa: F811
    command = ("sagemaker", "transform", trained, *TRANSFORM[3:])
    assert cli(*command, *OPTIONS, "--no-wait").status == 0
    (request,) = there.requests("CreateTransformJob")
    assert request["TransformOutput"]["KmsKeyId"] == request["TransformResources"]["VolumeKmsKeyId"] == KEY
    assert request["Environment"] == {"CHARLOOM_SERVE_REQUEST_TIMEOUT": "3600s", "PIP_INDEX_URL": INDEX}
    assert {"Key": "team", "Value": "text"} in request["Tags"]
    assert {"Key": "team", "Value": "text"} in there.requests("CreateModel")[-1]["Tags"]
    assert_everything_is_sealed()


def test_an_upload_is_encrypted_and_sent_again_under_another_key(
    cli: Charloom, account: Account, small_text: Path
) -> None:
    plain = upload(account, small_text)
    assert upload(account, small_text).uploaded == 0
    sealed = cli("sagemaker", "upload", small_text, "--kms-key", KEY, "--json").json
    assert (sealed["uri"], sealed["uploaded"]) == (plain.uri, 3)
    assert_everything_is_sealed()
    for again in (KEY, "0123abcd"):
        assert upload(account, small_text, kms_key=again).uploaded == 0
    assert upload(account, small_text, kms_key="alias/ours").uploaded == 3, "an alias cannot be compared"


@pytest.mark.slow
@pytest.mark.parametrize("command", [TRAIN, DEPLOY, TRANSFORM], ids=lambda command: command[1])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tag", "team"), "'team' is not a pair of a name and a value: give one such as team=text"),
        (("--tag", "=text"), "is not a pair"),
        (("--tag", "a=1", "--tag", "a=2"), "a name is given twice"),
        (("--tag", "charloom=1"), "is not free"),
        (("--tag", "charloom:owner=me"), "is not free"),
        (("--tag", "aws:x=me"), "is not free"),
        (("--tag", "team=a;b"), "letters, digits, spaces"),
        (("--tag", "team=a\nb"), "letters, digits, spaces"),
        (("--tag", f"team={'x' * 257}"), "256 at most"),
        (("--env", "1A=b"), "cannot be the name of an environment variable"),
        (("--env", "A"), "is not a pair"),
        (("--env", "SAGEMAKER_PROGRAM=mine.py"), "is set by charloom"),
        (("--env", f"A={'x' * 10_241}"), "has 10,241 characters: Amazon takes"),
        (("--kms-key", "my key"), "give a KMS key's id, its alias as alias/name, or its full name (ARN)"),
        (("--kms-key", ""), "give a KMS key's id"),
    ],
)
def test_what_amazon_would_not_take_is_refused(
    cli: Charloom, there: FakeAmazon, command: tuple[str, ...], options: tuple[str, ...], message: str  # noqa: F811
) -> None:  # fmt: skip
    before = paid(there)
    refused = cli(*command, *options, "--yes")
    assert (refused.status, message in one_line(refused)) == (2, True), refused.err
    assert paid(there) == before


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True).filter(lambda name: "SAGEMAKER" not in name)
OWN = {
    "kms_key": st.sampled_from([None, KEY, "alias/ours", "0123abcd-12ab-34cd-56ef-1234567890ab"]),
    "tag": st.dictionaries(
        st.from_regex(r"[a-zé ][A-Za-zé 0-9_.:/=+@-]{0,20}", fullmatch=True).map(lambda name: name.replace("=", "")),
        st.from_regex(r"[A-Za-zé 0-9_.:/=+@-]{0,30}", fullmatch=True),
        max_size=5,
    ).filter(lambda found: not any(name.startswith(("charloom", "aws:")) for name in found)),
    "env": st.dictionaries(NAMES, st.text(max_size=60), max_size=5),
}


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(own=st.fixed_dictionaries(OWN), instance=st.sampled_from(["ml.m5.large", "ml.g5.xlarge", "ml.g4dn.xlarge"]))
def test_amazon_accepts_every_request(own: dict[str, Any], instance: str) -> None:
    """Given as Python has them, each to every kind of request; disks that encrypt themselves get no key."""
    job = plan_job(Here(lambda request: None, "eu-west-1"), JobSettings(instance=instance, **own), RunSettings(), None)
    job = TrainingJob(**{**vars(job), "channels": {"training": "s3://bucket/a/"}, "source": "s3://bucket/s.tar.gz"})
    training = training_job_request(job)
    assert_valid("sagemaker", "create_training_job", training)
    assert ("VolumeKmsKeyId" in training["ResourceConfig"]) == bool(own["kms_key"] and instance == "ml.m5.large")
    choice = EndpointSettings(instance=instance, asynchronous=True, **own)
    marks = tags(**choice.own_tags)
    role = "arn:aws:iam::123456789012:role/R"
    made = model_request("m", "registry/image:1", "s3://bucket/m.tar.gz", role, choice, marks, "eu-west-1")
    assert_valid("sagemaker", "create_model", made)
    assert made["PrimaryContainer"]["Environment"].items() >= own["env"].items()
    assert_valid("sagemaker", "create_endpoint_config", configuration_request("e", "m", choice, marks, "s3://b-b/a"))
    batch = TransformSettings(instance=instance, **own)
    request = transform_request("job", "model", S3Uri("in-bucket"), S3Uri("out-bucket", "a"), batch, score=False)
    assert_valid("sagemaker", "create_transform_job", request)
    assert {(one["Key"], one["Value"]) for one in request["Tags"]} >= own["tag"].items()
