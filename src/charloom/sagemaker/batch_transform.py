"""Batch transform jobs: start one, follow it, see its state, stop it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Unpack

from charloom.errors import CloudError
from charloom.events import Notice, Notify, ignore
from charloom.sagemaker.aws import Answer, Aws, is_missing
from charloom.sagemaker.cloudwatch import TRANSFORMS, Log, explain_failure, plain
from charloom.sagemaker.creations import note_created
from charloom.sagemaker.hosting.resources import look, remove
from charloom.sagemaker.instances import price_per_hour
from charloom.sagemaker.names import ENDED, S3Uri, check_name
from charloom.sagemaker.s3 import objects_under
from charloom.sagemaker.transform_request import (
    TransformJobOptions,
    TransformPlan,
    answer_to,
    plan_transform,
    transform_request,
)
from charloom.sagemaker.waiting import States, looks
from charloom.settings import validate
from charloom.training.progress import shown

POLL = 10.0
"""Seconds between two looks at a job."""

FAILED = "Failed"
"""The code of the error that says that a job has failed."""


@dataclass(frozen=True)
class Transformed:
    """A batch.

    Attributes:
        job: its name.
        model: the SageMaker model's name.
        status: of the job: InProgress, Completed, Stopped.
        output: the folder of the answers.
        objects: the answers' addresses, once the job is Completed.
        seconds: how long the machines ran, once it is known.
    """

    job: str
    model: str
    status: str
    output: str
    objects: tuple[str, ...] = ()
    seconds: float | None = None


def transform(
    aws: Aws,
    model: str,
    source: str,
    output: str,
    *,
    wait: bool = True,
    notify: Notify = ignore,
    **options: Unpack[TransformJobOptions],
) -> Transformed:
    """Continue, or measure, every line of files in S3. It does not ask: it says the price.

    A line is a JSON object as `/invocations` takes it (docs/reference/http.md): at least `{"prompt": "..."}`.

    Args:
        aws: the account.
        model: the name of a SageMaker model; or what `deploy` takes: a model directory, an archive, a finished job.
            From the latter a model is made, and removed after the job.
        source: the address in S3 of a file, or what the addresses of several begin with.
        output: the folder in S3 for the answers: those to `a.jsonl` lie in `a.jsonl.out`.
        wait: whether to follow the job to its end.
        notify: receives what happens.
        **options: `score=True` measures the prompts of lines that do not say what they want, instead of continuing
            them; `name` is the job's; `role` and `image` are for a model that is made; fields of `TransformSettings`,
            or all of them as `settings`.

    Raises:
        UsageError: a choice cannot work, or the answers would lie in the input.
        CloudError: there is no input, the job failed (`notify` has received its log's last lines), or Amazon refused
            something.
    """
    plan = plan_transform(aws, model, source, output, **options)
    with shown(notify) as heard:
        heard(Notice(plan.settings.stated_cost(aws.region)))
        return start_transform(aws, plan, wait=wait, notify=heard)


def start_transform(aws: Aws, plan: TransformPlan, *, wait: bool = True, notify: Notify = ignore) -> Transformed:
    """Start a planned batch, and follow it to its end if that is wanted; raises as `transform` does."""
    made = _make_model(aws, plan, notify)
    model = made or plan.model.text
    request = transform_request(plan.job, model, plan.source, plan.output, plan.settings, score=plan.score)
    note_created(aws, "transform", plan.job)
    try:
        aws.call("sagemaker", "create_transform_job", **request)
    except BaseException:
        _remove(aws, made)
        raise
    if wait:
        return _follow_and_clean(aws, plan.job, made, notify)
    if made:
        notify(Notice(f"the model {made} stays, for the job needs it: it costs nothing"))
    return Transformed(plan.job, model, "InProgress", str(plan.output))


def _follow_and_clean(aws: Aws, job: str, made: str | None, notify: Notify) -> Transformed:
    """Follow a job, and remove its model once it has ended; one that is interrupted goes on and needs it."""
    try:
        found = follow(aws, job, notify=notify)
    except CloudError as error:
        if error.code == FAILED:
            _remove(aws, made)
        raise
    _remove(aws, made)
    return found


def _remove(aws: Aws, made: str | None) -> None:
    if made:
        remove(aws, "model", made)


def _make_model(aws: Aws, plan: TransformPlan, notify: Notify) -> str | None:
    """The name of a model that had to be made; None where one of that name is there."""
    name = plan.model.place
    if isinstance(name, str) and (look(aws, "model", name) is not None or aws.dry):
        return None
    from charloom.sagemaker.hosting.deploy import make_model
    from charloom.sagemaker.hosting.settings import EndpointSettings

    carried = {"role": plan.role, "image": plan.image, **plan.settings.carried()}
    choice = validate(EndpointSettings, carried)
    return make_model(aws, plan.model, choice, notify=notify)


def follow(aws: Aws, job: str, *, notify: Notify = ignore) -> Transformed:
    """Wait for a transform job."""
    states = States(job, notify)
    look = partial(aws.call, "sagemaker", "describe_transform_job", TransformJobName=job)
    for found in looks(look, job, notify, every=POLL):
        if aws.dry:
            break
        states.report(found["TransformJobStatus"])
        if found["TransformJobStatus"] == FAILED:
            log = Log(aws, TRANSFORMS, f"{job}/")
            reason = found.get("FailureReason", "no reason given")
            raise explain_failure(f"the transform job {job} failed", reason, log, FAILED, notify)
        if found["TransformJobStatus"] in ENDED:
            return _finished_transform(aws, job, found)
    return Transformed(job, "MODEL", "InProgress", "")


def _finished_transform(aws: Aws, job: str, found: dict[str, Any]) -> Transformed:
    output = found["TransformOutput"]["S3OutputPath"]
    objects = tuple(_answers(aws, found, S3Uri.parse(output))) if found["TransformJobStatus"] == "Completed" else ()
    began, ended = found.get("TransformStartTime"), found.get("TransformEndTime")
    seconds = (ended - began).total_seconds() if began and ended else None
    return Transformed(job, found["ModelName"], found["TransformJobStatus"], output, objects, seconds)


def _answers(aws: Aws, found: dict[str, Any], output: S3Uri) -> Iterator[str]:
    """Where the answers to a job's files lie."""
    source = S3Uri.parse(found["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    return (str(answer_to(source, output, one)) for one in objects_under(aws, source))


@dataclass(frozen=True)
class TransformStatus:
    """The state of a transform job. Times are UTC.

    Attributes:
        name: what it is called.
        status: InProgress, Stopping, Completed, Failed or Stopped.
        model: the SageMaker model's name.
        input: the address of its lines.
        output: the folder of its answers.
        created: when it was asked for.
        ended: when its machines were gone; None while it runs.
        instance: the kind of machine.
        instances: how many.
        seconds: that the machines have run; None before they do.
        price_per_hour: USD, of one machine; None: unknown.
        price: USD so far, of all machines; None: unknown.
        failure_reason: why it failed, or "".
    """

    name: str
    status: str
    model: str = ""
    input: str = ""
    output: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    instance: str = ""
    instances: int = 1
    seconds: float | None = None
    price_per_hour: float | None = None
    price: float | None = None
    failure_reason: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in ENDED


def transform_status(aws: Aws, name: str, *, price: float | None = None) -> TransformStatus | None:
    """The state of a transform job, started now or long ago; None where there is none of that name.

    Args:
        aws: the account.
        name: the job's.
        price: USD an hour of one machine, where charloom's table is not to be asked.

    Raises:
        UsageError: that is no name.
        CloudError: it may not be asked for.
    """
    check_name(name, "the job")
    try:
        response = aws.call("sagemaker", "describe_transform_job", TransformJobName=name)
    except CloudError as error:
        if not is_missing(error):
            raise
        return None
    return _status({"TransformJobName": name, **response}, aws.region, price)


def _status(response: Answer, region: str, price: float | None) -> TransformStatus:
    machines = response.get("TransformResources", {})
    instance, instances = str(machines.get("InstanceType", "")), int(machines.get("InstanceCount", 1))
    hourly = price_per_hour(instance, region, price)
    began, ended = response.get("TransformStartTime"), response.get("TransformEndTime")
    seconds = None if began is None else max(0.0, ((ended or datetime.now(UTC)) - began).total_seconds())
    return TransformStatus(
        name=response["TransformJobName"],
        status=response.get("TransformJobStatus", ""),
        model=response.get("ModelName", ""),
        input=response.get("TransformInput", {}).get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", ""),
        output=response.get("TransformOutput", {}).get("S3OutputPath", ""),
        created=response.get("CreationTime"),
        ended=ended,
        instance=instance,
        instances=instances,
        seconds=seconds,
        price_per_hour=hourly,
        price=None if hourly is None else hourly * instances * (seconds or 0) / 3600,
        failure_reason=plain(" ".join(response.get("FailureReason", "").split())),
    )


def stop_transform(aws: Aws, name: str) -> bool:
    """End a transform job; whether it was running. What has been answered so far is lost.

    Raises:
        CloudError: there is none of that name, or it may not be stopped.
    """
    try:
        aws.call("sagemaker", "stop_transform_job", TransformJobName=name)
    except CloudError as error:
        if is_missing(error) or "status" not in error.reason.lower():
            raise
        return False
    return True
