from __future__ import annotations

from typing import Any

import pytest

from .validation import assert_valid

JOB: dict[str, Any] = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "arn:aws:iam::123456789012:role/R",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def test_what_is_right_passes_and_what_is_wrong_is_found() -> None:
    assert_valid("sagemaker", "create_training_job", JOB)
    assert_valid("sagemaker", "create_training_job", {**JOB, "HyperParameters": {"a": '"it\'s\n🙂"'}})
    wrong: list[dict[str, Any]] = [
        {"TrainingJobName": "a--"},
        {"TrainingJobName": "a" * 64},
        {"HyperParameters": {"a": "x" * 2501}},
        {"HyperParameters": {str(number): "" for number in range(101)}},
        {"HyperParameters": {"a": 1}},
        {"RoleArn": "role"},
        {"ResourceConfig": {"InstanceType": "ml.nothing"}},
        {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
        {"Tags": [{"Key": "a", "Value": "(b)"}]},
        {"Nonsense": 1},
    ]
    for change in wrong:
        with pytest.raises(AssertionError):
            assert_valid("sagemaker", "create_training_job", {**JOB, **change})
    assert_valid("sagemaker", "create_training_job", {**JOB, "Tags": [{"Key": "charloom:owner", "Value": "é 1@b"}]})
