"""One interface to jobs and endpoints, wherever they are: in an account of Amazon's, or on this machine.

`backend_of` chooses. The functions are public ones of `charloom.sagemaker`: where they take an account, None means this
machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack

from charloom.errors import UsageError
from charloom.events import Notify, ignore
from charloom.files import expand_home
from charloom.sagemaker.amazon import Amazon
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import Where
from charloom.sagemaker.instances import LOCAL
from charloom.sagemaker.jobs.follow import JobStatus, training_status
from charloom.sagemaker.local.backend import Local
from charloom.sagemaker.names import check_name
from charloom.sagemaker.options import EndpointOptions, TrainingJobOptions
from charloom.sagemaker.sources import Corpus, ModelSource
from charloom.settings import combine_settings
from charloom.training.progress import shown

if TYPE_CHECKING:
    from charloom.sagemaker.batch_transform import TransformStatus
    from charloom.sagemaker.cloudwatch import WrittenLine
    from charloom.sagemaker.hosting.delete import Deleted
    from charloom.sagemaker.hosting.deploy import Deployed
    from charloom.sagemaker.hosting.inventory import EndpointState
    from charloom.sagemaker.hosting.settings import EndpointSettings
    from charloom.sagemaker.jobs.attach import AttachedModel
    from charloom.sagemaker.jobs.start import StartedJob, TrainingRequest


class Backend(Protocol):
    """Where jobs and endpoints are. What a method means, takes and raises is at the function of its name, below.

    Attributes:
        aws: the account; None for this machine.
        where: the place, for commands and sentences about it.
        region: the account's; "local" for this machine.
        dry: whether it is a dry run: nothing is sent, and answers are empty.
    """

    @property
    def aws(self) -> Aws | None: ...
    @property
    def where(self) -> Where: ...
    @property
    def region(self) -> str: ...
    @property
    def dry(self) -> bool: ...

    def start(self, request: TrainingRequest, *, notify: Notify = ignore) -> StartedJob: ...
    def status(self, name: str, *, price: float | None = None) -> JobStatus | TransformStatus: ...
    def wait(
        self, name: str, *, follow: bool = True, price: float | None = None, every: float = 5.0, notify: Notify = ignore
    ) -> JobStatus: ...
    def stop(self, name: str) -> bool: ...
    def log(self, name: str, *, last: int | None = None, follow: bool = False) -> Iterator[WrittenLine]: ...
    def attach(
        self, name: str, output: Path, *, overwrite: bool = False, waiting: bool = True, follow: bool = True,
        price: float | None = None, every: float = 5.0, notify: Notify = ignore,
    ) -> AttachedModel | None: ...  # fmt: skip
    def jobs(self, *, ended: bool = True) -> list[JobStatus | TransformStatus]: ...
    def deploy(
        self, model: ModelSource, settings: EndpointSettings, *, name: str | None = None, notify: Notify = ignore
    ) -> Deployed: ...
    def endpoints(self, *, now: datetime | None = None) -> list[EndpointState]: ...
    def delete(self, name: str, *, force: bool = False, notify: Notify = ignore) -> Deleted: ...
    def reap(self, *, notify: Notify = ignore, now: datetime | None = None) -> list[Deleted]: ...


def backend_of(aws: Aws | None) -> Backend:
    """An account's back end; this machine's where there is none."""
    return Local() if aws is None else Amazon(aws)


def backend_for(aws: Aws | None, instance: str | None) -> Backend:
    """The back end for something new that is to run on an instance type, or on this machine ("local")."""
    if instance == LOCAL and aws is not None and aws.dry:
        raise UsageError("a dry run of an account starts nothing on this machine: leave instance='local' out")
    if instance == LOCAL:
        return Local(aws)
    if aws is None:
        raise UsageError("there is no account to run in: give one as aws, or instance='local' for this machine")
    return Amazon(aws)


def train(
    aws: Aws | None,
    corpus: Corpus,
    *,
    recipe: str | None = None,
    init_from: Path | str | None = None,
    notify: Notify = ignore,
    **options: Unpack[TrainingJobOptions],
) -> StartedJob:
    """Start a training job; `wait` waits for it, `attach` fetches its model. It does not ask: it says the price.

    What cannot work is refused before anything is sent. A text of this machine is prepared and uploaded first; an
    address in S3 is trained on as it is. With `instance="local"` the very same job runs on this machine, to its end:
    `attach(None, job.name, ...)` then has its model. Ctrl-C stops it, and `status(None, job.name)` is then Stopped.

    Args:
        aws: the account; for a job of this machine it may be None.
        corpus: an address in S3 (a prepared corpus, or texts), or what `charloom.train` takes.
        recipe: as `charloom.train` takes it.
        init_from: a model to start from: its directory, or the address in S3 of one or of a `model.tar.gz`.
        notify: receives what happens, and first what it will cost; without it, a notebook or a terminal shows that.
        **options: fields of `JobSettings` (instance, spot, role...), and settings as `charloom.train` takes them.

    Raises:
        UsageError: an option cannot work; nothing was sent.
        CorpusError: the text cannot be read; no job was started.
        TrainingError: a job of this machine failed; the message says why.
        CloudError: Amazon refused something: the name is taken, a quota is reached, the role has no trust...
    """
    from charloom.sagemaker.jobs.start import TrainingRequest

    request = TrainingRequest.parse(corpus, recipe, init_from, options)
    with shown(notify) as heard:
        return backend_for(aws, request.job.instance).start(request, notify=heard)


def status(aws: Aws | None, name: str, *, price: float | None = None) -> JobStatus:
    """The state of a training job, started now or long ago.

    Args:
        aws: the account; None for a job of this machine.
        name: the job's.
        price: USD an hour of one machine, where charloom's table is not to be asked.

    Raises:
        UsageError: that is no name.
        CharloomError: there is no such job.
    """
    return Local().status(name) if aws is None else training_status(aws, name, "status", price=price)


def wait(
    aws: Aws | None,
    name: str,
    *,
    follow: bool = True,
    price: float | None = None,
    every: float = 5.0,
    notify: Notify = ignore,
) -> JobStatus:
    """Wait until a training job has ended.

    Args:
        aws: the account; None for a job of this machine.
        name: the job's.
        follow: pass on its log's lines as they come, not only its states.
        price: USD an hour of one machine, where charloom's table is not to be asked.
        every: seconds between looks.
        notify: receives states and lines.

    Returns:
        How it ended: Completed or Stopped.

    Raises:
        CloudError: there is no such job; or it failed: `code` is JobFailed, `reason` its failure's; if its log was not
            followed, `notify` receives its last lines before.
        TrainingError: it failed on this machine.
    """
    with shown(notify) as heard:
        return backend_of(aws).wait(name, follow=follow, price=price, every=every, notify=heard)


def stop(aws: Aws | None, name: str) -> bool:
    """Stop a training job, or a transform job; whether it was running. Stopping what has ended is no error.

    Args:
        aws: the account; None for a job of this machine.
        name: the job's.

    Raises:
        UsageError: that is no name.
        CharloomError: there is no such job, or it may not be stopped.
    """
    return backend_of(aws).stop(name)


def logs(aws: Aws | None, name: str, *, last: int | None = None) -> Iterator[WrittenLine]:
    """What a training job, a transform job or an endpoint has written so far.

    Args:
        aws: the account; None for a job or an endpoint of this machine.
        name: a job's or an endpoint's; a training job's comes first, then a transform job's.
        last: only so many lines of the end.

    Raises:
        UsageError: that is no name, or `last` is below 1.
        CharloomError: nothing has that name, or it has written nothing so far.
    """
    check_name(name, "the name")
    if last is not None and (not isinstance(last, int) or last < 1):
        raise UsageError(f"last = {last!r}: give a number of lines from 1 on")
    return backend_of(aws).log(name, last=last)


def attach(
    aws: Aws | None,
    name: str,
    output: Path | str,
    *,
    overwrite: bool = False,
    waiting: bool = True,
    follow: bool = True,
    price: float | None = None,
    every: float = 5.0,
    notify: Notify = ignore,
) -> AttachedModel | None:
    """Fetch the model of a job into a model directory, which appears when it is whole and verified.

    Args:
        aws: the account; None for a job of this machine.
        name: the job's, started now or long ago.
        output: the model directory to write.
        overwrite: replace the model that is there.
        waiting: wait for a job that still runs.
        follow: while waiting, pass on the lines of its log.
        price: USD an hour of one machine, where charloom's table is not to be asked.
        every: seconds between looks while waiting.
        notify: receives what happens.

    Returns:
        The model; None in a dry run.

    Raises:
        UsageError: the folder is taken, or the job runs and is not to be waited for.
        CharloomError: there is no such job, it failed, or it left no model.
        ModelDirectoryError: what it left is no whole model, or is hostile. The folder is as it was.
        StorageError: the folder cannot be written.
    """
    with shown(notify) as heard:
        return backend_of(aws).attach(
            name, expand_home(output), overwrite=overwrite, waiting=waiting, follow=follow, price=price, every=every,
            notify=heard,
        )  # fmt: skip


def list_jobs(aws: Aws | None, *, ended: bool = True) -> list[JobStatus | TransformStatus]:
    """The training and transform jobs of ours: the running first, then the newest; of this machine the oldest first.

    Args:
        aws: the account, of whose region they are; None for this machine.
        ended: also jobs that have ended, the newest of them.

    Raises:
        CloudError: Amazon may not be asked.
    """
    return backend_of(aws).jobs(ended=ended)


def deploy(
    aws: Aws | None,
    model: str | Path,
    settings: EndpointSettings | None = None,
    *,
    name: str | None = None,
    notify: Notify = ignore,
    **chosen: Unpack[EndpointOptions],
) -> Deployed:
    """Put a model behind an endpoint, and wait until it is in service.

    It does not ask: it says the price, and it costs from here on. With `instance="local"` it is one of this
    machine, which costs nothing.

    If anything fails, or Ctrl-C comes, before it is in service, all that was created is removed again (Amazon cannot
    delete an endpoint that is just being created: that is waited for). An uploaded archive stays in S3.

    Args:
        aws: the account; for an endpoint of this machine it may be None.
        model: a model directory, a model.tar.gz, the address of one in S3, or the name of a finished training job.
        settings: what it runs on, how it grows, when it ends.
        name: what to call it; made from the model's if None.
        notify: receives what happens, and first the price; without it, a notebook or a terminal shows that.
        **chosen: single settings, which go over `settings`: `instance="ml.m5.large", ttl="2h"`.

    Raises:
        UsageError: a choice cannot work, a role is missing, or the name is taken.
        ModelDirectoryError: the model is not whole.
        CharloomError: a server of this machine cannot serve it.
        CloudError: Amazon refused something, or the endpoint failed; `notify` has received the container's last lines.
    """
    from charloom.sagemaker.hosting.settings import EndpointSettings

    choice = combine_settings(EndpointSettings, settings, chosen)
    with shown(notify) as heard:
        return backend_for(aws, choice.instance).deploy(ModelSource.parse(model), choice, name=name, notify=heard)


def endpoints(aws: Aws | None, *, now: datetime | None = None) -> list[EndpointState]:
    """Every endpoint of ours in the account's region, or on this machine; the oldest first.

    Args:
        aws: the account; None for this machine.
        now: the time that ages are counted to.

    Raises:
        CloudError: Amazon may not be asked.
    """
    return backend_of(aws).endpoints(now=now)


def delete(aws: Aws | None, name: str, *, force: bool = False, notify: Notify = ignore) -> Deleted:
    """Delete an endpoint, its configuration, model, schedule and autoscaling.

    One that was deployed from this machine, and is gone already, is not an error.

    Args:
        aws: the account; None for an endpoint of this machine.
        name: the endpoint's.
        force: delete an endpoint that charloom did not make, too; its configuration and model are left.
        notify: receives what is waited for.

    Raises:
        UsageError: charloom did not make it, and `force` is not given.
        CloudError: there is nothing of that name, and there was nothing as far as is known (`code` is NoEndpoint); or
            Amazon refused something.
    """
    with shown(notify) as heard:
        return backend_of(aws).delete(name, force=force, notify=heard)


def reap(aws: Aws | None, *, notify: Notify = ignore, now: datetime | None = None) -> list[Deleted]:
    """Delete every endpoint of ours whose time is over, and what those that ended by themselves have left.

    Args:
        aws: the account; None for this machine.
        notify: receives what is waited for, and what could not be deleted.
        now: the time to compare with.

    Raises:
        CloudError: the endpoints may not be listed, or some could not be deleted; the others were.
    """
    with shown(notify) as heard:
        return backend_of(aws).reap(notify=heard, now=now)
