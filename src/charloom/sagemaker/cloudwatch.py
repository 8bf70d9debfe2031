"""What jobs and endpoints have written, from CloudWatch: all machines' lines in their order, in bounded memory."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from charloom.display import visible
from charloom.errors import CloudError
from charloom.events import LogLine, Notify
from charloom.sagemaker.aws import Aws, is_missing
from charloom.sagemaker.commands import command, shown_place
from charloom.sagemaker.creations import made_elsewhere
from charloom.sagemaker.hosting.resources import look
from charloom.sagemaker.names import ENDED, check_name

JOBS = "/aws/sagemaker/TrainingJobs"
TRANSFORMS = "/aws/sagemaker/TransformJobs"
ENDPOINTS = "/aws/sagemaker/Endpoints"

_EARLY = 3_600_000  # milliseconds: all jobs of an account share a log group, which is not searched from its beginning
_LATE = 60_000  # milliseconds: how much later than others' a machine's line may arrive
_STRAGGLING = 3  # looks for lines that arrive after the end
_REMEMBERED = 50_000  # lines whose ids are kept, so that none is shown twice
_LAST_LINES = 20  # shown of what has failed
_LONGEST = 4096  # characters of a line that are shown


@dataclass(frozen=True)
class WrittenLine:
    """A line of a log.

    Attributes:
        time: when it was written, UTC; None on this machine.
        host: the machine that wrote it, such as algo-1; an endpoint's instance; "" on this machine.
        message: the line; what could steer a terminal is replaced.
    """

    time: datetime | None
    host: str
    message: str


class Log:
    """The log of a job or an endpoint, read as it grows: each `new_lines` gives what has come since the last."""

    def __init__(self, aws: Aws, group: str, prefix: str = "", since: datetime | None = None) -> None:
        """Read the streams of a log group whose names begin with `prefix`; lines long before `since` are not sought."""
        self._aws = aws
        self._request: dict[str, Any] = {"logGroupName": group}
        if prefix:
            self._request["logStreamNamePrefix"] = prefix
        self._prefix = prefix
        self.group = group
        self._first = 0 if since is None else max(0, round(since.timestamp() * 1000) - _EARLY)
        self._latest = 0
        self._shown: deque[str] = deque(maxlen=_REMEMBERED)
        self._ids: set[str] = set()

    def new_lines(self) -> Iterator[WrittenLine]:
        """Lines that were not given before; none while there is no log."""
        start = max(self._first, self._latest - _LATE)
        try:
            for page in self._aws.pages("logs", "filter_log_events", **self._request, startTime=start):
                for event in sorted(page.get("events", []), key=itemgetter("timestamp")):
                    if event.get("logStreamName", "").startswith(self._prefix) and self._is_new(event["eventId"]):
                        self._latest = max(self._latest, event["timestamp"])
                        yield self._line(event)
        except CloudError as error:
            if not is_missing(error):
                raise

    def _is_new(self, identity: str) -> bool:
        if identity in self._ids:
            return False
        if len(self._shown) == _REMEMBERED:
            self._ids.discard(self._shown[0])
        self._shown.append(identity)
        self._ids.add(identity)
        return True

    def _line(self, event: dict[str, Any]) -> WrittenLine:
        stream = str(event.get("logStreamName", "")).removeprefix(self._prefix)
        host = "-".join(stream.split("-")[:2]) if self._prefix else stream.rpartition("/")[2]
        return WrittenLine(datetime.fromtimestamp(event["timestamp"] / 1000, UTC), host, plain(event["message"]))


def job_log(aws: Aws, name: str, created: datetime | None = None) -> Log:
    """The log of a training job, which is searched from an hour before the job was created."""
    return Log(aws, JOBS, f"{name}/", created)


def endpoint_log(aws: Aws, name: str) -> Log:
    """The log of all containers of an endpoint."""
    return Log(aws, f"{ENDPOINTS}/{name}")


def read_log(aws: Aws, name: str, *, last: int | None = None) -> Iterator[WrittenLine]:
    """What something has written so far; see `charloom.sagemaker.logs`."""
    log = log_of(aws, check_name(name, "the name"))
    lines = _some(aws, name, log, log.new_lines())
    yield from (lines if last is None else deque(lines, maxlen=last))


def follow_log(aws: Aws, name: str, *, last: int | None = None, every: float = 5.0) -> Iterator[WrittenLine]:
    """What a job has written and still writes until it ends; of an endpoint, until it is deleted or has failed.

    A job that has just been created is waited for: its log begins later.
    """
    log = log_of(aws, check_name(name, "the name"))
    yield from _some(aws, name, log, _growing(aws, name, log, last, every))


def _growing(aws: Aws, name: str, log: Log, last: int | None, every: float) -> Iterator[WrittenLine]:
    earlier = log.new_lines()
    yield from (earlier if last is None else deque(earlier, maxlen=last))
    stragglers = _STRAGGLING if not aws.dry and _is_there(aws, log.group, name) else 0
    while stragglers:
        over = _is_over(aws, log.group, name)
        stragglers = stragglers - 1 if over else _STRAGGLING
        time.sleep(min(every, 2.0) if over else every)
        yield from log.new_lines()


def _is_over(aws: Aws, group: str, name: str) -> bool:
    """Whether nothing more will be written: a job has ended, or an endpoint has failed or is gone."""
    if group == JOBS:
        status = aws.call("sagemaker", "describe_training_job", TrainingJobName=name).get("TrainingJobStatus")
    elif group == TRANSFORMS:
        status = aws.call("sagemaker", "describe_transform_job", TransformJobName=name).get("TransformJobStatus")
    else:
        status = (look(aws, "endpoint", name) or {"EndpointStatus": "Failed"})["EndpointStatus"]
    return status in ENDED


def _is_there(aws: Aws, group: str, name: str) -> bool:
    """Whether a job or endpoint is there: for the groups of jobs `log_of` has seen the job itself."""
    return group in (JOBS, TRANSFORMS) or look(aws, "endpoint", name) is not None


def log_of(aws: Aws, name: str) -> Log:
    """The log of the training job or, if none has that name, of the transform job, or else of the endpoint."""
    try:
        response = aws.call("sagemaker", "describe_training_job", TrainingJobName=name)
        return job_log(aws, name, response.get("CreationTime"))
    except CloudError as error:
        if not is_missing(error):
            raise
    try:
        response = aws.call("sagemaker", "describe_transform_job", TransformJobName=name)
        return Log(aws, TRANSFORMS, f"{name}/", response.get("CreationTime"))
    except CloudError as error:
        if not is_missing(error):
            raise
    return endpoint_log(aws, name)


def _some(aws: Aws, name: str, log: Log, lines: Iterator[WrittenLine]) -> Iterator[WrittenLine]:
    """The lines; an error where there are none."""
    found = False
    for line in lines:
        found = True
        yield line
    if found or aws.dry:
        return
    if _is_there(aws, log.group, name):
        raise CloudError(f"{name} has written nothing so far {shown_place(aws)}", "NoLog")
    advice = made_elsewhere(aws, name, "logs") or f"{command(aws, 'list')} shows what there is"
    raise CloudError(f"there is no job or endpoint {name} {shown_place(aws)}: {advice}", "NoLog")


def explain_failure(what: str, reason: object, log: Log, code: str, notify: Notify) -> CloudError:
    """The error that says why something failed; `notify` receives its last log lines, if they can be read."""
    lines: list[str] = []
    with contextlib.suppress(CloudError):  # no permission: the failure itself is what matters
        lines = [line.message for line in deque(log.new_lines(), maxlen=_LAST_LINES)]
    for line in lines:
        notify(LogLine(line))
    said = " ".join(str(reason).split())
    where = "" if lines else f"; nothing was written to {log.group}"
    return CloudError(f"{what}: {said}{where}", code, said)


def plain(message: str) -> str:
    """A line as it may be shown: no control characters, not for ever; of a bar drawn over itself the last state."""
    line = message.rstrip("\r\n").rpartition("\r")[2][:_LONGEST]
    return visible(line.expandtabs(4))
