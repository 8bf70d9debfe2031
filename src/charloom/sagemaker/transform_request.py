"""A batch transform job: its settings, checked before anything is sent or paid for, and its request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Unpack

from pydantic import AfterValidator, Field

from charloom.errors import UsageError
from charloom.sagemaker.aws import Aws, role_arn
from charloom.sagemaker.instances import (
    has_own_disks,
    price_note,
    price_per_hour,
    refuse_unfit,
    shown_price,
    unlisted_warning,
)
from charloom.sagemaker.names import S3Uri, check_name, fresh_name, tags
from charloom.sagemaker.options import TransformOptions
from charloom.sagemaker.resource_settings import ResourceSettings
from charloom.sagemaker.s3 import objects_read
from charloom.sagemaker.sources import ModelSource
from charloom.settings import Duration, combine_settings

JSON_LINES = "application/jsonlines"
_LONGEST = 3600  # seconds that Amazon lets one batch take


def _within_an_hour(time: Duration) -> Duration:
    if not 1 <= time <= _LONGEST:
        raise ValueError("from a second to an hour")
    return time


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
        Duration("1h"), description="Time that one batch may take."
    )
    price: float | None = Field(None, gt=0, le=1e6, description="USD an hour of one instance, if you know it better.")

    def stated_cost(self, region: str) -> str:
        """What it costs in a region, in a line for people; how long it takes is up to the lines."""
        one, note = price_per_hour(self.instance, region, self.price), price_note(self.instance, region, self.price)
        total = "price unknown" if one is None else f"{shown_price(one * self.instances)} an hour"
        many = f"{self.instances} × {self.instance} in {region}"
        line = f"{many}: {total}, from their start to the job's end"
        return "; ".join(filter(None, (line, note, unlisted_warning(self.instance, "batch transform"))))


def transform_request(
    name: str, model: str, source: S3Uri, output: S3Uri, settings: TransformSettings, *, score: bool
) -> dict[str, Any]:
    """For CreateTransformJob: JSON lines in, an answer a line out."""
    seconds = round(settings.batch_timeout)
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


@dataclass(frozen=True)
class TransformPlan:
    """A batch that was looked over. Nothing has been sent for it, and nothing is paid for yet.

    Attributes:
        job: its name.
        model: the name of a SageMaker model, where it is a name; else what one is made from.
        source: the address of a file, or what the addresses of several begin with.
        output: the folder of the answers.
        score: whether lines are measured instead of continued.
        settings: instances and pieces.
        role: for a model that is made: the role it runs under.
        image: for a model that is made: its container image.
    """

    job: str
    model: ModelSource
    source: S3Uri
    output: S3Uri
    score: bool
    settings: TransformSettings
    role: str | None
    image: str | None


class TransformJobOptions(TransformOptions, total=False):
    """What `plan_transform` takes by name."""

    score: bool
    name: str | None
    settings: TransformSettings | None
    role: str | None
    image: str | None


def plan_transform(
    aws: Aws,
    model: str,
    source: str,
    output: str,
    *,
    score: bool = False,
    name: str | None = None,
    settings: TransformSettings | None = None,
    role: str | None = None,
    image: str | None = None,
    **chosen: Unpack[TransformOptions],
) -> TransformPlan:
    """Look a batch over, as `transform` does before it sends anything."""
    choice = combine_settings(TransformSettings, settings, chosen)
    begin, end = S3Uri.parse(source), S3Uri.parse(output)
    served = ModelSource.parse(model)
    job = check_name(name or fresh_name(served.stem), "the job")
    if not isinstance(served.place, str):
        role = role_arn(aws, role)
    refuse_output_in_input(begin, end, [begin])
    refuse_output_in_input(begin, end, objects_read(aws, begin))
    return TransformPlan(job, served, begin, end, score, choice, role, image)


def answer_to(source: S3Uri, output: S3Uri, line_file: S3Uri) -> S3Uri:
    """Where the answers to a file lie, by Amazon's rule: the part of the name below the input, and .out."""
    below = line_file.key.removeprefix(source.key).lstrip("/") or line_file.key.rpartition("/")[2]
    return output / f"{below}.out"


def refuse_output_in_input(source: S3Uri, output: S3Uri, files: list[S3Uri]) -> None:
    """See that no answer will lie where the input is: the next run would read it as lines."""
    for file in files:
        answer = answer_to(source, output, file)
        if answer.bucket == source.bucket and answer.key.startswith(source.key):
            raise UsageError(
                f"the answers would lie in the input: with --output {output} the next run on {source} would "
                "read them too; give another --output"
            )
