"""The back end of an account: what is asked of jobs and endpoints becomes requests to Amazon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from charloom.errors import CloudError
from charloom.events import Notice, Notify, ignore
from charloom.sagemaker.aws import Aws
from charloom.sagemaker.commands import command, shown_place
from charloom.sagemaker.hosting.resources import look
from charloom.sagemaker.jobs.follow import NO_JOB, JobStatus, Watch, stop_training, training_status

if TYPE_CHECKING:
    from charloom.sagemaker.batch_transform import TransformStatus
    from charloom.sagemaker.cloudwatch import WrittenLine
    from charloom.sagemaker.hosting.delete import Deleted
    from charloom.sagemaker.hosting.deploy import Deployed
    from charloom.sagemaker.hosting.inventory import EndpointState
    from charloom.sagemaker.hosting.settings import EndpointSettings
    from charloom.sagemaker.jobs.attach import AttachedModel
    from charloom.sagemaker.jobs.start import StartedJob, TrainingRequest
    from charloom.sagemaker.sources import ModelSource


class Amazon:
    """Jobs and endpoints of an account in a region; see `Backend`."""

    def __init__(self, aws: Aws) -> None:
        """Work in that account."""
        self.aws = aws
        self.where = aws
        self.region, self.dry = aws.region, aws.dry

    def start(self, request: TrainingRequest, *, notify: Notify = ignore) -> StartedJob:
        from charloom.sagemaker.jobs.start import plan_training, start_training

        plan = plan_training(self.aws, request, notify=notify)
        notify(Notice(f"{plan.cost}; {plan.cost.note}"))
        return start_training(self.aws, plan, notify=notify)

    def status(self, name: str, *, price: float | None = None) -> JobStatus | TransformStatus:
        """How a training job or, if none has that name, a transform job is."""
        try:
            return training_status(self.aws, name, "status", price=price)
        except CloudError as error:
            return self._transform(name, error, price)

    def stop(self, name: str) -> bool:
        from charloom.sagemaker.batch_transform import stop_transform

        try:
            return stop_training(self.aws, name)
        except CloudError as error:
            return self._transform(name, error).status == "InProgress" and stop_transform(self.aws, name)

    def _transform(self, name: str, error: CloudError, price: float | None = None) -> TransformStatus:
        """The transform job of a name that no training job has; else the error."""
        from charloom.sagemaker.batch_transform import transform_status

        found = transform_status(self.aws, name, price=price) if error.code == NO_JOB else None
        if found is not None:
            return found
        if error.code == NO_JOB and look(self.aws, "endpoint", name) is not None:
            message = f"{name} is an endpoint {shown_place(self.aws)}, not a job: {command(self.aws, 'list')}"
            raise CloudError(message, NO_JOB) from error
        raise error

    def wait(
        self, name: str, *, follow: bool = True, price: float | None = None, every: float = 5.0, notify: Notify = ignore
    ) -> JobStatus:
        return Watch(self.aws, name, follow=follow, price=price, every=every, notify=notify).until_ended()

    def log(self, name: str, *, last: int | None = None, follow: bool = False) -> Iterator[WrittenLine]:
        from charloom.sagemaker.cloudwatch import follow_log, read_log

        return (follow_log if follow else read_log)(self.aws, name, last=last)

    def attach(
        self, name: str, output: Path, *, overwrite: bool = False, waiting: bool = True, follow: bool = True,
        price: float | None = None, every: float = 5.0, notify: Notify = ignore,
    ) -> AttachedModel | None:  # fmt: skip
        from charloom.sagemaker.jobs.attach import attach_model, check_output

        check_output(output, overwrite)
        found = training_status(self.aws, name, "attach", price=price, output=output)
        if waiting and not found.over and not self.aws.dry:
            found = self.wait(name, follow=follow, price=price, every=every, notify=notify)
        return attach_model(self.aws, found, output, overwrite=overwrite, notify=notify)

    def jobs(self, *, ended: bool = True) -> list[JobStatus | TransformStatus]:
        from charloom.sagemaker.jobs.inventory import account_jobs

        return account_jobs(self.aws, ended=ended)

    def deploy(
        self, model: ModelSource, settings: EndpointSettings, *, name: str | None = None, notify: Notify = ignore
    ) -> Deployed:
        from charloom.sagemaker.hosting.deploy import plan_deployment, put_in_service

        notify(Notice(settings.stated_cost(self.region)))
        made = put_in_service(self.aws, plan_deployment(self.aws, model, settings, name), notify)
        if not self.dry:
            notify(Notice(f"when you are done: {command(self.aws, 'delete', made.name)}"))
        return made

    def endpoints(self, *, now: datetime | None = None) -> list[EndpointState]:
        from charloom.sagemaker.hosting.inventory import account_endpoints

        return account_endpoints(self.aws, now=now)

    def delete(self, name: str, *, force: bool = False, notify: Notify = ignore) -> Deleted:
        from charloom.sagemaker.hosting.delete import delete_endpoint

        return delete_endpoint(self.aws, name, force=force, notify=notify)

    def reap(self, *, notify: Notify = ignore, now: datetime | None = None) -> list[Deleted]:
        from charloom.sagemaker.hosting.delete import reap_endpoints

        return reap_endpoints(self.aws, notify=notify, now=now)
