"""Training jobs at any time after their start: its state, waiting for it, stopping it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from charloom.errors import CloudError
from charloom.events import LogLine, Notice, Notify, StatusChanged, ignore
from charloom.sagemaker.aws import Answer, Aws, is_missing, is_transient
from charloom.sagemaker.cloudwatch import Log, job_log, plain
from charloom.sagemaker.commands import command, shown_place
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.instances import price_per_hour
from charloom.sagemaker.names import ENDED, check_name
from charloom.sagemaker.waiting import looks

NO_JOB = "NoJob"
"""The code of the error that says that there is no training job of that name."""

_LAST_LINES = 20  # shown of a job that failed while it was not followed
_STRAGGLING = 3  # looks for lines that arrive after the end


@dataclass(frozen=True)
class JobStatus:
    """The state of a training job. Times are UTC.

    Attributes:
        name: what it is called.
        status: InProgress, Stopping, Completed, Failed or Stopped.
        secondary_status: what it is doing, such as Downloading, Training, Interrupted or MaxRuntimeExceeded.
        message: SageMaker's own words to that.
        since: when it came to that; None where it is not known.
        created: when it was asked for.
        ended: when it ended; None while it runs.
        instance: the kind of machine.
        instances: how many.
        spot: whether they are ones that others left idle.
        seconds: of training so far, or all; None before it begins.
        seconds_billed: of each machine, as billed; None until it has ended.
        price_per_hour: USD, of one machine on demand; None: unknown.
        price: USD so far: the billed time of all machines, at the price on demand; None: unknown.
        metrics: the last value of each.
        failure_reason: why it failed, or "".
        artifact: the address of its model.tar.gz, or "".
    """

    name: str
    status: str
    secondary_status: str = ""
    message: str = ""
    since: datetime | None = None
    created: datetime | None = None
    ended: datetime | None = None
    instance: str = ""
    instances: int = 1
    spot: bool = False
    seconds: float | None = None
    seconds_billed: int | None = None
    price_per_hour: float | None = None
    price: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    failure_reason: str = ""
    artifact: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in ENDED


def training_status(aws: Aws, name: str, verb: str, *, price: float | None = None, **options: Path) -> JobStatus:
    """The state of a training job.

    Args:
        aws: the account.
        name: the job's.
        verb: the command that asks, with its `options`: where there is no such job, it is advised for another place.
        price: USD an hour of one machine, where charloom's table is not to be asked.
        **options: of that command.

    Raises:
        UsageError: that is no name.
        CloudError: there is no such job (`code` is `NO_JOB`).
    """
    check_name(name, "the job")
    try:
        response = aws.call("sagemaker", "describe_training_job", TrainingJobName=name)
    except CloudError as error:
        if is_missing(error):
            raise CloudError(_no_job(aws, name, verb, **options), NO_JOB, error.reason) from None
        raise
    return _job_status({"TrainingJobName": name, **response}, aws.region, price)


def _no_job(aws: Aws, name: str, verb: str, **options: Path) -> str:
    """That there is none, and where something of that name was made, as far as is on record."""
    advice = made_elsewhere(aws, name, verb, **options) or f"{command(aws, 'list')} shows what there is"
    return f"there is no job {name} {shown_place(aws)}: {advice}"


def _job_status(response: Answer, region: str, price: float | None = None) -> JobStatus:
    """What DescribeTrainingJob has said, as we say it."""
    resources = response.get("ResourceConfig", {})
    instance, instances = str(resources.get("InstanceType", "")), int(resources.get("InstanceCount", 1))
    hourly = price_per_hour(instance, region, price, kind="training")
    billed, seconds = response.get("BillableTimeInSeconds"), response.get("TrainingTimeInSeconds")
    if seconds is None and "TrainingStartTime" in response:
        end = response.get("TrainingEndTime") or datetime.now(UTC)
        seconds = max(0.0, (end - response["TrainingStartTime"]).total_seconds())
    charged = seconds if billed is None else billed
    last = (response.get("SecondaryStatusTransitions") or [{}])[-1]
    return JobStatus(
        name=response["TrainingJobName"],
        status=response.get("TrainingJobStatus", ""),
        secondary_status=response.get("SecondaryStatus", ""),
        message=_one_line(last.get("StatusMessage", "")),
        since=last.get("StartTime"),
        created=response.get("CreationTime"),
        ended=response.get("TrainingEndTime"),
        instance=instance,
        instances=instances,
        spot=bool(response.get("EnableManagedSpotTraining", False)),
        seconds=seconds,
        seconds_billed=billed,
        price_per_hour=hourly,
        price=None if hourly is None else hourly * instances * (charged or 0) / 3600,
        metrics=_metrics(response.get("FinalMetricDataList") or []),
        failure_reason=_one_line(response.get("FailureReason", "")),
        artifact=response.get("ModelArtifacts", {}).get("S3ModelArtifacts", ""),
    )


def stop_training(aws: Aws, name: str) -> bool:
    """Stop a training job; whether it was running. Stopping what has ended is no error."""
    found = training_status(aws, name, "stop")
    if found.over or found.status == "Stopping":
        return False
    try:
        aws.call("sagemaker", "stop_training_job", TrainingJobName=name)
    except CloudError as error:
        if error.code == "ValidationException" and "in status" in error.reason:  # it ended between the two calls
            return False
        raise
    return True


def failure_of(aws: Aws, found: JobStatus) -> CloudError:
    """The error that says why a job failed."""
    reason = found.failure_reason or "SageMaker gives no reason"
    return CloudError(
        f"the job {found.name} failed: {reason} (its log: {command(aws, 'logs', found.name)})", "JobFailed", reason
    )


class Watch:
    """Waits for a job; a wait that was interrupted can go on and shows nothing twice."""

    def __init__(
        self, aws: Aws, name: str, *, follow: bool = True, price: float | None = None, every: float = 5.0,
        notify: Notify = ignore,
    ) -> None:  # fmt: skip
        """Wait for the job of that name, as `charloom.sagemaker.wait` does."""
        self._aws, self._name, self._price, self._every, self._notify = aws, name, price, every, notify
        self._follow = follow
        self._log: Log | None = None
        self._shown = ("", "")
        self._several = False

    def until_ended(self) -> JobStatus:
        """How it ended, once it has; raises as `charloom.sagemaker.wait`."""
        for found in looks(self._look, self._name, self._notify, every=self._every):
            if self._aws.dry:
                break
            shown = (found.secondary_status or found.status, found.message)
            if shown != self._shown:
                self._shown = shown
                self._notify(StatusChanged(self._name, *shown))
            if found.over:
                return self._end(found)
        return found

    def _end(self, found: JobStatus) -> JobStatus:
        self._tell_stragglers()
        if found.status != "Failed":
            return found
        if self._log is None:
            log = job_log(self._aws, self._name, found.created)
            for line in deque(_lines(log, self._notify), maxlen=_LAST_LINES):
                self._notify(LogLine(line))
        raise failure_of(self._aws, found)

    def _look(self) -> JobStatus:
        """How it is; its new lines are reported."""
        found = training_status(self._aws, self._name, "status", price=self._price)
        self._several = found.instances > 1
        if self._follow and self._log is None:
            self._log = job_log(self._aws, self._name, found.created)
        self._tell_lines()
        return found

    def _tell_lines(self) -> int:
        count = 0
        for line in [] if self._log is None else _lines(self._log, self._notify, several=self._several):
            self._notify(LogLine(line))
            count += 1
        return count

    def _tell_stragglers(self) -> None:
        """CloudWatch is some seconds behind: look again until nothing comes."""
        if self._log is None:
            return
        for _ in range(_STRAGGLING):
            time.sleep(min(self._every, 2.0))
            if not self._tell_lines():
                return


def _lines(log: Log, notify: Notify, *, several: bool = False) -> Iterator[str]:
    """The log's new lines as they are shown; one that may not be read is a notice, and no reason to end."""
    try:
        for line in log.new_lines():
            yield f"{line.host}: {line.message}" if several else line.message
    except CloudError as error:
        if is_transient(error):
            raise
        notify(Notice(f"the job's log cannot be read: {error}"))


def _metrics(listed: list[dict[str, Any]]) -> dict[str, float]:
    """The last value of each metric; what is no number is left out."""
    found = {one["MetricName"]: float(one["Value"]) for one in listed}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _one_line(text: str) -> str:
    return plain(" ".join(text.split()))
