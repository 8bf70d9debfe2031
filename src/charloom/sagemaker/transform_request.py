"""The request of a batch transform job. Nothing is sent here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from charloom.sagemaker.instances import has_own_disks, refuse_unfit, unlisted
from charloom.sagemaker.names import S3Uri, tags
from charloom.sagemaker.prices import price_note, price_per_hour, shown_price
from charloom.sagemaker.resource_settings import ResourceSettings
from charloom.settings import Duration, duration_seconds

JSON_LINES = "application/jsonlines"
_LONGEST = 3600  # seconds that Amazon lets one batch take


def _within_an_hour(text: str) -> str:
    if not 1 <= duration_seconds(text) <= _LONGEST:
        raise ValueError("from a second to an hour")
    return text


def _machine(instance: str) -> str:
    refuse_unfit(instance, "batch transform")
    return instance


class TransformSettings(ResourceSettings):
    """On what a batch runs, and in what pieces."""

    longest_value, most_variables = 10_240, 15  # one more is charloom's own

    instance: Annotated[str, AfterValidator(_machine)] = Field(
        "ml.m5.large", description="What it runs on, such as ml.m5.large."
    )
    instances: int = Field(1, ge=1, le=100, description="How many of them; files are shared out among them.")
    max_payload: int = Field(1, ge=1, le=25, description="MB of lines that are sent to the model at a time.")
    concurrency: int = Field(1, ge=1, le=4, description="Such batches at a time on each instance.")
    batch_timeout: Annotated[Duration, AfterValidator(_within_an_hour)] = Field(
        "1h", description="Time that one batch may take."
    )
    price: float | None = Field(None, gt=0, le=1e6, description="USD an hour of one instance, if you know it better.")

    def stated_cost(self, region: str) -> str:
        """What it costs in a region, in a line for people; how long it takes is up to the lines."""
        one, note = price_per_hour(self.instance, region, self.price), price_note(self.instance, region, self.price)
        total = "price unknown" if one is None else f"{shown_price(one * self.instances)} an hour"
        many = f"{self.instances} × {self.instance} in {region}"
        line = f"{many}: {total}, from their start to the job's end"
        return "; ".join(filter(None, (line, note, unlisted(self.instance, "batch transform"))))


def transform_request(
    name: str, model: str, source: S3Uri, output: S3Uri, settings: TransformSettings, *, score: bool
) -> dict[str, Any]:
    """For CreateTransformJob: JSON lines in, an answer a line out.

    Args:
        name: the job's.
        model: the SageMaker model's.
        source: an object of JSON lines, or what the names of several begin with.
        output: a folder; the answers to `a.jsonl` lie in `a.jsonl.out`.
        settings: instances and pieces.
        score: measure the prompts of lines that do not say what they want, instead of continuing them.
    """
    seconds = round(duration_seconds(settings.batch_timeout))
    key = {} if settings.kms_key is None else {"KmsKeyId": settings.kms_key}
    volume_key = {"VolumeKmsKeyId": settings.kms_key} if key and not has_own_disks(settings.instance) else {}
    place = {"S3DataType": "S3Prefix", "S3Uri": str(source)}
    return {
        "TransformJobName": name,
        "ModelName": model,
        "MaxConcurrentTransforms": settings.concurrency,
        "MaxPayloadInMB": settings.max_payload,
        "BatchStrategy": "MultiRecord",
        "ModelClientConfig": {"InvocationsTimeoutInSeconds": seconds, "InvocationsMaxRetries": 1},
        # Our server would cut a batch off after the five minutes that it gives a request of a person's.
        "Environment": {"CHARLOOM_SERVE_REQUEST_TIMEOUT": f"{seconds}s", **settings.environment},
        "TransformInput": {
            "DataSource": {"S3DataSource": place},
            "ContentType": f"{JSON_LINES}; score=true" if score else JSON_LINES,
            "SplitType": "Line",
        },
        "TransformOutput": {"S3OutputPath": str(output), "Accept": JSON_LINES, "AssembleWith": "Line", **key},
        "TransformResources": {"InstanceType": settings.instance, "InstanceCount": settings.instances, **volume_key},
        "Tags": tags(**settings.own_tags),
    }
