"""The policies in the docs allow what the code calls, and nothing more."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
from pathlib import Path
from typing import Any, get_args

import botocore.session
import pytest

import charloom.sagemaker
from charloom.sagemaker.hosting.resources import Kind
from charloom.sagemaker.instances import four_function_image, training_image
from charloom.sagemaker.names import partition

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "docs" / "reference" / "iam"
SOURCES = [path for path in sorted(Path(charloom.sagemaker.__file__).parent.rglob("*.py")) if path.name != "aws.py"]

# Where an operation is not an action of the same name (Amazon's service authorization reference).
_ACTIONS = {
    ("s3", "HeadBucket"): {"s3:ListBucket"},
    ("s3", "ListObjectsV2"): {"s3:ListBucket"},
    ("s3", "HeadObject"): {"s3:GetObject"},
    ("sagemaker-runtime", "InvokeEndpoint"): {"sagemaker:InvokeEndpoint"},
    ("sagemaker-runtime", "InvokeEndpointAsync"): {"sagemaker:InvokeEndpointAsync"},
    ("sagemaker-runtime", "InvokeEndpointWithResponseStream"): {"sagemaker:InvokeEndpointWithResponseStream"},
    ("sts", "GetCallerIdentity"): set(),  # needs no permission
}

# What Amazon asks for beside the operations that are called, and why.
_IMPLIED = {
    "iam:PassRole": "jobs, models, schedules and builds are told a role",
    "sagemaker:AddTags": "what is created carries our tags",
    "s3:AbortMultipartUpload": "an upload in parts that breaks is cleaned up",
    "iam:CreateServiceLinkedRole": "the first autoscaled endpoint of an account",
    "ecr:BatchCheckLayerAvailability": "docker push",
    "ecr:InitiateLayerUpload": "docker push",
    "ecr:UploadLayerPart": "docker push",
    "ecr:CompleteLayerUpload": "docker push",
    "ecr:PutImage": "docker push",
    "cloudwatch:PutMetricAlarm": "target tracking makes its alarms",
    "cloudwatch:DescribeAlarms": "target tracking makes its alarms",
    "cloudwatch:DeleteAlarms": "target tracking makes its alarms",
}

_TRANSFERS = {"upload_file": "put_object", "download_file": "get_object"}


def called() -> set[tuple[str, str]]:
    """Every (service, operation as boto3 calls it) in the code."""
    found = set()
    for source in SOURCES:
        tree = ast.parse(source.read_text("utf-8"))
        constants = {
            ast.unparse(statement.targets[0]): statement.value.value
            for statement in tree.body
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ("call", "pages") and len(node.args) >= 2:
                    service, operations = (_texts(argument, constants, source) for argument in node.args[:2])
                    found |= {(service[0], operation) for operation in operations}
                elif node.func.attr in _TRANSFERS and ast.unparse(node.func).startswith("aws.client("):
                    found.add(("s3", _TRANSFERS[node.func.attr]))
    return found


def _texts(argument: ast.expr, constants: dict[str, Any], source: Path) -> list[str]:
    """What the argument can be; a resource's `kind` can be each of them."""
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if isinstance(argument, ast.JoinedStr):
        template = ast.unparse(argument)
        assert template.count("{") == template.count("{kind}") == 1, f"{source.name}:{argument.lineno}: {template}"
        return [ast.literal_eval(template.removeprefix("f").replace("{kind}", kind)) for kind in get_args(Kind)]
    assert ast.unparse(argument) in constants, f"{source.name}:{argument.lineno}: what is called cannot be read"
    return [str(constants[ast.unparse(argument)])]


def actions(service: str, operation: str) -> set[str]:
    session = botocore.session.get_session()
    client = session.create_client(service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    name = client.meta.method_to_api_mapping[operation]
    signing_name = client.meta.service_model.signing_name
    prefix = {"monitoring": "cloudwatch"}.get(signing_name, signing_name)  # what CloudWatch's requests are signed for
    return _ACTIONS.get((service, name), {f"{prefix}:{name}"})


def allowed(policy: str) -> set[str]:
    document: dict[str, Any] = json.loads((POLICIES / policy).read_text("utf-8"))
    assert document["Version"] == "2012-10-17"
    found: set[str] = set()
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        for action in statement["Action"]:
            assert "*" not in action
            assert action not in found, f"{action} stands twice"
            found.add(action)
    return found


@pytest.mark.slow
def test_the_user_may_do_what_the_commands_do_and_no_more() -> None:
    used = set().union(*(actions(*call) for call in called()))
    assert allowed("user.json") - set(_IMPLIED) == used - set(_IMPLIED)
    assert set(_IMPLIED) <= allowed("user.json")


def test_the_scheduler_may_delete_endpoints_and_nothing_else() -> None:
    assert allowed("scheduler-role.json") == {"sagemaker:DeleteEndpoint"}


def test_roles_are_trusted_by_their_service_alone() -> None:
    for role, service in (
        ("training-role", "sagemaker"),
        ("scheduler-role", "scheduler"),
        ("codebuild-role", "codebuild"),
    ):
        (statement,) = json.loads((POLICIES / f"{role}-trust.json").read_text("utf-8"))["Statement"]
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
        assert statement["Action"] == "sts:AssumeRole"
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "ACCOUNT_ID"}}
        assert (POLICIES / f"{role}.json").is_file()


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.json")), ids=lambda path: path.name)
def test_nothing_is_allowed_on_everything_that_could_be_named(path: Path) -> None:
    cannot_be_named = {  # Amazon knows no resources for these
        "ecr:GetAuthorizationToken",
        "sagemaker:ListEndpoints",
        "sagemaker:ListEndpointConfigs",
        "sagemaker:ListTrainingJobs",
        "sagemaker:ListTransformJobs",
        "cloudwatch:PutMetricData",
        "cloudwatch:DescribeAlarms",
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DeregisterScalableTarget",
    }
    for statement in json.loads(path.read_text("utf-8"))["Statement"]:
        if statement.get("Resource") == "*":
            assert set(statement["Action"]) <= cannot_be_named


def _image_accounts() -> dict[str, str]:
    """Region to account, as the page's table has it."""
    rows = re.findall(r"^\| (`[^|]*`) \| `(\d{12})` \|$", (POLICIES.parent / "iam.md").read_text("utf-8"), re.M)
    return {region.strip("` "): account for regions, account in rows for region in regions.split(",")}


def test_the_role_may_pull_the_images_of_every_region() -> None:
    """With the placeholders replaced as the page says."""
    accounts = _image_accounts()
    known = botocore.session.get_session().get_available_regions("sagemaker", allow_non_regional=False)
    assert {*known} <= {*accounts}, "every region that has SageMaker"
    text = (POLICIES / "training-role.json").read_text("utf-8")
    for region, account in accounts.items():
        filled = text.replace("AWS_IMAGES_ACCOUNT", account).replace("REGION", region)
        statements = json.loads(filled.replace("arn:aws:", f"arn:{partition(region)}:"))["Statement"]
        allowed = [one["Resource"] for one in statements if "ecr:BatchGetImage" in one["Action"]]
        assert len(allowed) == 1
        for image in (training_image(region, "ml.m5.large"), four_function_image(region)):
            registry, _, repository = image.partition("/")
            owner, place = registry.split(".")[0], registry.split(".")[3]
            arn = f"arn:{partition(region)}:ecr:{place}:{owner}:repository/{repository.split(':')[0]}"
            assert any(fnmatch.fnmatchcase(arn, one) for one in allowed[0]), arn
