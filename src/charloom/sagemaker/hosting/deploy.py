"""Deploy a model: checks before anything is sent, creation in order, removal if anything fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Unpack

from charloom.errors import CharloomError, CloudError
from charloom.events import Notice, Notify, ignore
from charloom.sagemaker.aws import Aws, owner, role_arn
from charloom.sagemaker.commands import command
from charloom.sagemaker.creations import note_created, note_deleted
from charloom.sagemaker.hosting import resources
from charloom.sagemaker.hosting.delete import Removal, check_free, remove_resources
from charloom.sagemaker.hosting.model_data import model_data
from charloom.sagemaker.hosting.requests import configuration_request, endpoint_request, model_request
from charloom.sagemaker.hosting.resources import enable_autoscaling, expires_at, schedule_deletion, scheduler_role_arn
from charloom.sagemaker.hosting.settings import EndpointSettings
from charloom.sagemaker.hosting.states import wait_in_service
from charloom.sagemaker.images import chosen_image, installs_at_start
from charloom.sagemaker.instances import has_arm, has_gpu
from charloom.sagemaker.names import EXPIRES, OWNER, PRICE, as_tag, check_name, fresh_name, tags
from charloom.sagemaker.other_regions import warn_of_twin
from charloom.sagemaker.sources import ModelSource
from charloom.settings import combine_settings

if TYPE_CHECKING:
    from charloom.sagemaker.options import EndpointOptions


@dataclass(frozen=True)
class Deployed:
    """An endpoint that is in service.

    Attributes:
        name: the endpoint's, which `invoke` asks.
        data: the address of the model's archive.
        image: the container that serves.
        instance: its type, or "serverless".
        instances: how many it began with.
        region: where.
        per_hour: USD, at its smallest size; None: unknown.
        per_month: USD in 730 hours at its smallest size; None: unknown.
        expires: when it is deleted by itself (ISO 8601, UTC); None: never.
    """

    name: str
    data: str
    image: str
    instance: str
    instances: int
    region: str
    per_hour: float | None
    per_month: float | None
    expires: str | None


@dataclass
class _Making:
    """What has been begun so far."""

    aws: Aws
    name: str
    notify: Notify
    mark: str = field(default_factory=lambda: token_hex(8))
    begun: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def create(self, kind: resources.Kind, request: dict[str, Any]) -> None:
        self.begun.append(kind)  # before: if the answer is lost, it may be there all the same
        resources.create(self.aws, kind, request, self.mark)
        self.made.append(kind)

    def step(self, what: str, call: Callable[[], None]) -> None:
        self.begun.append(what)
        try:
            call()
        except CloudError as error:
            if resources.is_taken(error):
                self.begun.remove(what)
            raise

    def take_back(self) -> None:
        """Remove what this run has made; where something stays, `notify` receives the command that removes it."""
        again = command(self.aws, "delete", self.name)
        try:
            removed = remove_resources(self.aws, self._made(), self.notify)
        except CharloomError as error:
            self.notify(Notice(f"could not take everything back ({error}); it may bill: run {again}"))
        except KeyboardInterrupt:
            self.notify(Notice(f"interrupted while taking back; the endpoint may come to be and bill: run {again}"))
            raise
        else:
            if "endpoint" in self.begun:
                note_deleted(self.aws, "endpoint", self.name)
            if removed:
                self.notify(Notice(f"taken back: {', '.join(removed)}"))

    def _made(self) -> Removal:
        mine = {kind for kind in ("endpoint", "endpoint_config", "model") if kind in self.begun and self._mine(kind)}
        return Removal(
            self.name,
            endpoint="endpoint" in mine,
            scaling="scaling" in self.begun,
            configuration=self.name if "endpoint_config" in mine else None,
            models=(self.name,) if "model" in mine else (),
            schedule="schedule" in self.begun,
        )

    def _mine(self, kind: resources.Kind) -> bool:
        """Whether this run made it; Amazon is asked only where that is not known."""
        if kind in self.made:
            return True
        return (resources.tags_by_name(self.aws, kind, self.name) or {}).get(resources.MARK) == self.mark


@contextmanager
def _making(aws: Aws, name: str, notify: Notify) -> Iterator[_Making]:
    """What is created inside the block is removed again if the block fails."""
    making = _Making(aws, name, notify)
    try:
        yield making
    except BaseException:
        making.take_back()
        raise


@dataclass(frozen=True)
class Deployment:
    """An endpoint that was looked over. Nothing has been sent for it, and nothing is paid for yet.

    Attributes:
        model: what it serves.
        name: the endpoint's.
        choice: what it runs on, how it grows, when it ends.
        role: the full name of the role it runs under.
        scheduler: that of the role that deletes it when its time is over; "" where it has no end.
    """

    model: ModelSource
    name: str
    choice: EndpointSettings
    role: str
    scheduler: str


def plan_deployment(aws: Aws, model: ModelSource, choice: EndpointSettings, name: str | None) -> Deployment:
    """Look an endpoint over, before anybody is asked and anything is sent."""
    name = check_name(name or fresh_name(model.stem), "endpoint")
    role = role_arn(aws, choice.role)
    scheduler = scheduler_role_arn(aws, choice.scheduler_role) if choice.ttl else ""
    return Deployment(model, name, choice, role, scheduler)


def put_in_service(aws: Aws, plan: Deployment, notify: Notify) -> Deployed:
    """Send and create what a planned endpoint needs, and wait for it; raises as `charloom.sagemaker.deploy`.

    What costs nothing comes first, in the order in which mistakes are cheapest.
    """
    name, choice = plan.name, plan.choice
    _notice_waste(choice, notify)
    check_free(aws, name, notify)
    warn_of_twin(name, "endpoint", notify)
    image = chosen_image(aws, choice.image, notify)
    vendor = choice.isolated and installs_at_start(image)
    data = str(model_data(aws, plan.model, choice.bucket, notify, vendor=vendor, kms_key=choice.kms_key))
    answers = _prepare_async_output(aws, name, choice)
    expires = None if choice.ttl is None else expires_at(choice.ttl)
    with _making(aws, name, notify) as making:
        marks = _tags(aws, choice, making.mark, expires)
        making.create("model", model_request(name, image, data, plan.role, choice, marks, aws.region))
        making.create("endpoint_config", configuration_request(name, name, choice, marks, answers))
        if expires is not None:
            making.step("schedule", lambda: schedule_deletion(aws, name, expires, plan.scheduler))
        note_created(aws, "endpoint", name)
        making.create("endpoint", endpoint_request(name, name, marks))
        wait_in_service(aws, name, notify)
        if choice.max_instances is not None:
            making.step("scaling", lambda: enable_autoscaling(aws, name, choice))
    cost = choice.cost(aws.region)
    instance, count = ("serverless", 0) if choice.serverless else (choice.instance_type, max(1, choice.instances))
    until = None if expires is None else as_tag(expires)
    return Deployed(name, data, image, instance, count, aws.region, cost.per_hour, cost.per_month, until)


def _notice_waste(settings: EndpointSettings, notify: Notify) -> None:
    if settings.serverless:
        return
    if settings.image and has_arm(settings.instance_type):
        notify(Notice(f"{settings.instance_type} has an Arm processor: {settings.image} must be built for arm64"))
    if has_gpu(settings.instance_type):
        notify(Notice(f"{settings.instance_type} has a GPU, which the server does not use: an ml.c5 type is cheaper"))


def _prepare_async_output(aws: Aws, name: str, settings: EndpointSettings) -> str:
    """Where an asynchronous endpoint puts its answers; the default bucket is made for it."""
    if not settings.asynchronous:
        return ""
    if settings.async_output:
        return settings.async_output
    from charloom.sagemaker.s3 import default_bucket, ensure_bucket

    bucket = settings.bucket or default_bucket(aws)
    ensure_bucket(aws, bucket)
    return f"s3://{bucket}/charloom/async/{name}"


def _tags(aws: Aws, settings: EndpointSettings, mark: str, expires: datetime | None) -> list[dict[str, str]]:
    more = {OWNER: owner(aws), resources.MARK: mark}
    if expires is not None:
        more[EXPIRES] = as_tag(expires)
    if settings.price is not None:
        more[PRICE] = f"{settings.price:g}"
    return tags(**more, **settings.own_tags)


def create_model(
    aws: Aws,
    model: str,
    settings: EndpointSettings | None = None,
    *,
    name: str | None = None,
    notify: Notify = ignore,
    **chosen: Unpack[EndpointOptions],
) -> str:
    """Make a SageMaker model without an endpoint, as batch transform wants one; gives its name. It costs nothing.

    Args:
        aws: the account.
        model: as for `deploy`.
        settings: image, role, bucket and network matter.
        name: what to call it; made from the model's if None.
        notify: receives what happens.
        **chosen: single settings, which go over `settings`.

    Raises:
        UsageError: a choice cannot work, a role is missing, or the name is taken.
        ModelDirectoryError: the model is not whole.
        CloudError: Amazon refused something.
    """
    return make_model(
        aws, ModelSource.parse(model), combine_settings(EndpointSettings, settings, chosen), name=name, notify=notify
    )


def make_model(
    aws: Aws, model: ModelSource, choice: EndpointSettings, *, name: str | None = None, notify: Notify = ignore
) -> str:
    """Do what `create_model` does, for a model that is recognized: see there."""
    name = check_name(name or fresh_name(model.stem), "model")
    role = role_arn(aws, choice.role)
    image = chosen_image(aws, choice.image, notify)
    data = str(model_data(aws, model, choice.bucket, notify, kms_key=choice.kms_key))
    with _making(aws, name, notify) as making:
        marks = _tags(aws, choice, making.mark, None)
        making.create("model", model_request(name, image, data, role, choice, marks, aws.region))
    return name
