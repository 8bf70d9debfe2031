"""A batch as it is asked for, looked over before anything is sent or paid for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charloom.errors import UsageError
from charloom.sagemaker.account import role_arn
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.model_data import check_model
from charloom.sagemaker.names import S3Uri, checked_name, fresh_name, is_s3
from charloom.sagemaker.s3_inputs import objects_read
from charloom.sagemaker.transform_request import TransformSettings
from charloom.settings import validated


@dataclass(frozen=True)
class TransformPlan:
    """A batch that was looked over. Nothing has been sent for it, and nothing is paid for yet.

    Attributes:
        job: its name.
        model: the name of a SageMaker model, or what one is made from.
        source: the address of a file, or what the addresses of several begin with.
        output: the folder of the answers.
        score: whether lines are measured instead of continued.
        settings: instances and pieces.
        role: for a model that is made: the role it runs under.
        image: for a model that is made: its container image.
    """

    job: str
    model: str
    source: S3Uri
    output: S3Uri
    score: bool
    settings: TransformSettings
    role: str | None
    image: str | None


def names_model(model: str) -> bool:
    """Whether this has the form of a name in the account, and is nothing of this machine or in S3."""
    return not is_s3(model) and not Path(model).expanduser().exists()


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
    **chosen: Any,
) -> TransformPlan:
    """Look a batch over, as `transform` does before it sends anything.

    Args:
        aws: the account.
        model: as for `transform`, as are `source` and `output`.
        source: the address in S3 of the lines.
        output: the folder in S3 for the answers.
        score: measure the prompts of lines that do not say what they want, instead of continuing them.
        name: the job's; made from the model's if None.
        settings: instances and pieces.
        role: for a model that is made: the role it runs under.
        image: for a model that is made: its container image.
        **chosen: single settings, which go over `settings`.

    Raises:
        UsageError: a choice cannot work, or the answers would lie in the input.
        CloudError: there is no input.
    """
    choice = validated(TransformSettings, {**(settings.model_dump(exclude_unset=True) if settings else {}), **chosen})
    begin, end = S3Uri.parse(source), S3Uri.parse(output)
    job = checked_name(name or fresh_name(Path(model).name), "the job")
    check_model(model)
    if not names_model(model):
        role_arn(aws, role)
    refuse_output_in_input(begin, end, [begin])
    refuse_output_in_input(begin, end, objects_read(aws, begin))
    return TransformPlan(job, model, begin, end, score, choice, role, image)


def answer_to(source: S3Uri, output: S3Uri, line_file: S3Uri) -> S3Uri:
    """Where the answers to a file lie, by Amazon's rule: the part of the name below the input, and .out."""
    below = line_file.key.removeprefix(source.key).lstrip("/") or line_file.key.rpartition("/")[2]
    return output / f"{below}.out"


def refuse_output_in_input(source: S3Uri, output: S3Uri, files: list[S3Uri]) -> None:
    """See that no answer will lie where the input is: the next run would read it as lines.

    Raises:
        UsageError: one will.
    """
    for file in files:
        answer = answer_to(source, output, file)
        if answer.bucket == source.bucket and answer.key.startswith(source.key):
            raise UsageError(
                f"the answers would lie in the input: with --output {output} the next run on {source} would "
                "read them too; give another --output"
            )
