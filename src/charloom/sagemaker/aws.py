"""The one door to Amazon Web Services: every request passes `Aws.call`, sent by an account or shown by a dry run.

An account is reached through boto3, which a dry run does not need. Roles and the caller are named here too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from charloom.errors import CloudError, MissingExtraError, UsageError
from charloom.sagemaker.names import dns_suffix, partition
from charloom.version import __version__

Answer = dict[str, Any]

UNKNOWN_ACCOUNT = "ACCOUNT_ID"
UNKNOWN_REGION = "REGION"

ROLE = "CHARLOOM_SAGEMAKER_ROLE"
"""The role that jobs and endpoints run under, where no option names one."""
NO_REGION = "NoRegion"
"""The code of the error that says that no region is set."""
_ATTEMPTS = 8  # with backoff and jitter, by botocore's standard retry mode
_SILENCE = {"sagemaker-runtime": 70}  # seconds without a byte: an endpoint may take sixty for an answer
_NOT_IN_TAGS = re.compile(r"[^\w\s.:/=+@-]")
_LIMIT = 256


_MISSING = frozenset(
    ("404", "NoSuchKey", "NoSuchBucket", "NotFound", "ResourceNotFound", "ResourceNotFoundException")
) | {"ObjectNotFoundException"}
_MISSING_WORDS = ("not found", "could not find", "does not exist", "no scalable target")
_TRANSIENT = frozenset((
    "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "ServiceUnavailable",
    "ServiceUnavailableException", "InternalFailure", "InternalError", "InternalServerError", "EndpointConnectionError",
    "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError", "RequestTimeout", "503", "500",
))  # fmt: skip


def is_missing(error: CloudError) -> bool:
    """Whether Amazon says that there is nothing of that name, or at that address."""
    words = (error.reason or str(error)).lower()
    is_said = error.code in ("ValidationException", "ValidationError") and any(said in words for said in _MISSING_WORDS)
    return error.code in _MISSING or is_said


def is_transient(error: CloudError) -> bool:
    """Whether the same request may succeed in a moment: the network is away, or Amazon is busy."""
    return error.code in _TRANSIENT


class Aws(Protocol):
    """An account in a region.

    Services and operations are named as boto3 names them: `call("sagemaker", "create_training_job", ...)`.
    """

    dry: bool
    """Whether nothing is sent: answers are empty, and waiting for anything to change is pointless."""

    @property
    def profile(self) -> str | None:
        """The profile of the AWS configuration that credentials come from, where they come from one."""

    @property
    def region(self) -> str:
        """Such as us-east-1."""

    @property
    def account_id(self) -> str:
        """Twelve digits."""

    @property
    def caller(self) -> str:
        """The full name (ARN) of the user or the role's session that asks."""

    def call(self, service: str, operation: str, **request: Any) -> Answer:
        """Send a request and give the answer.

        Raises:
            CloudError: it was refused, or could not be sent.
        """

    def pages(self, service: str, operation: str, **request: Any) -> Iterator[Answer]:
        """Send a request whose answer comes in pages.

        Raises:
            CloudError: it was refused, or could not be sent.
        """


@dataclass(frozen=True)
class Request:
    """One request, as a dry run shows it."""

    service: str
    operation: str
    request: Mapping[str, Any]


class DryRun:
    """Shows every request and sends none; needs no boto3, credentials, region or network. Answers are empty."""

    dry = True

    def __init__(self, show: Callable[[Request], None], region: str | None = None, profile: str | None = None) -> None:
        """Show requests by `show`; the region is the environment's if none is given, else a placeholder."""
        self._show = show
        self.profile = profile
        self.region = region or _region_of_environment() or UNKNOWN_REGION

    @property
    def account_id(self) -> str:
        """A placeholder: asking would need credentials."""
        return str(self._identity["Account"])

    @property
    def caller(self) -> str:
        """A placeholder, too."""
        return str(self._identity["Arn"])

    @cached_property
    def _identity(self) -> Answer:
        self.call("sts", "get_caller_identity")
        return {"Account": UNKNOWN_ACCOUNT, "Arn": "OWNER"}

    def call(self, service: str, operation: str, **request: Any) -> Answer:
        """Show it; the answer is empty."""
        self._show(Request(service, operation, request))
        return {}

    def pages(self, service: str, operation: str, **request: Any) -> Iterator[Answer]:
        """Show it; there are no pages."""
        self.call(service, operation, **request)
        return iter(())


def arn(aws: Aws, service: str, resource: str, *, regional: bool = True) -> str:
    """The name of a resource of this account, such as `arn:aws:sagemaker:us-east-1:111122223333:endpoint/mine`."""
    region = aws.region if regional else ""
    return f"arn:{partition(aws.region)}:{service}:{region}:{aws.account_id}:{resource}"


def registry(aws: Aws, account: str) -> str:
    """The address of an account's container registry in this region."""
    return f"{account}.dkr.ecr.{aws.region}.{dns_suffix(aws.region)}"


class Account:
    """Sends requests with the credentials that boto3 finds: environment, profile, SSO, instance role."""

    dry = False

    def __init__(self, session: Any, profile: str | None = None, *, hurry: bool = False) -> None:
        """Work with a `boto3.Session`, which has a region.

        Args:
            session: of boto3.
            profile: the one that was chosen for the session, if any.
            hurry: ask once, and wait a few seconds at most: for what is good to know, and not needed.
        """
        self._session = session
        self.profile = profile
        self._attempts, self._patience = (1, 4) if hurry else (_ATTEMPTS, 10)
        self._silence = 4 if hurry else 60
        self._clients: dict[str, Any] = {}
        self.region: str = session.region_name

    @property
    def account_id(self) -> str:
        """Twelve digits."""
        return str(self._identity["Account"])

    @property
    def caller(self) -> str:
        """The full name of who asks."""
        return str(self._identity.get("Arn", ""))

    @cached_property
    def _identity(self) -> Answer:
        return self.call("sts", "get_caller_identity")

    def client(self, service: str) -> Any:
        """The boto3 client of a service, for what `call` cannot do (transfers in parts)."""
        if service not in self._clients:
            from botocore.config import Config

            config = Config(
                retries={"mode": "standard", "max_attempts": self._attempts},
                connect_timeout=self._patience,
                read_timeout=_SILENCE.get(service, self._silence),
                user_agent_extra=f"charloom/{__version__}",
            )
            with _refusals(service, "", self.region):
                try:
                    self._clients[service] = self._session.client(service, config=config)
                except ValueError as error:
                    if not str(error).startswith("Invalid endpoint"):
                        raise
                    raise CloudError(f"{error}: correct AWS_ENDPOINT_URL", "InvalidEndpoint") from error
        return self._clients[service]

    def call(self, service: str, operation: str, **request: Any) -> Answer:
        """Send a request and give the answer.

        Raises:
            CloudError: it was refused, or could not be sent.
        """
        with _refusals(service, operation, self.region):
            answer: Answer = getattr(self.client(service), operation)(**request)
            return answer

    def pages(self, service: str, operation: str, **request: Any) -> Iterator[Answer]:
        """Send a request whose answer comes in pages.

        Raises:
            CloudError: it was refused, or could not be sent.
        """
        with _refusals(service, operation, self.region):
            yield from self.client(service).get_paginator(operation).paginate(**request)


def _refusals(service: str, operation: str, region: str) -> Any:
    from charloom.sagemaker.aws_errors import as_cloud_errors

    return as_cloud_errors(service, operation, region)


def connect(region: str | None = None, profile: str | None = None, *, hurry: bool = False) -> Account:
    """The account that boto3's configuration names.

    Args:
        region: else the one that the configuration says.
        profile: else the one that the environment says.
        hurry: ask once, and wait a few seconds at most, instead of trying for a minute.

    Raises:
        MissingExtraError: boto3 is not installed.
        CloudError: there is no such profile, or no region is set.
    """
    try:
        import boto3
    except ModuleNotFoundError as error:
        raise MissingExtraError("Amazon SageMaker", "sagemaker") from error
    with _refusals("", "", region or ""):
        session = boto3.Session(region_name=region or _region_of_environment(), profile_name=profile)
    if not session.region_name:
        raise CloudError("no region is set: give --region, or set AWS_REGION or the profile's region", NO_REGION)
    return Account(session, profile or _profile_of_environment(), hurry=hurry)


def _region_of_environment() -> str | None:
    """The region that the environment names; boto3 by itself does not read the first of these."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def _profile_of_environment() -> str | None:
    """The profile that the environment chooses; keys in the environment come before it, as they do for boto3."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    return os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE") or None


def role_arn(aws: Aws, role: str | None) -> str:
    """The full name of the role that jobs and endpoints run under.

    Args:
        aws: the account.
        role: its name or full name; CHARLOOM_SAGEMAKER_ROLE in the environment if none is given, else the role of the
            notebook or session that this runs in, if SageMaker may assume it.
    """
    from charloom.sagemaker.execution_role import execution_role

    role = role or os.environ.get(ROLE) or execution_role(aws)
    needed = f"a role is needed that SageMaker may assume: --role NAME, or {ROLE}: docs/how-to/train-on-sagemaker.md"
    return named_role(aws, role, ROLE, needed)


def named_role(aws: Aws, role: str | None, variable: str, needed: str) -> str:
    """The full name of a role.

    Args:
        aws: the account.
        role: its name or full name; what the environment's variable says if none is given.
        variable: CHARLOOM_..., whose last words stand for the role in a dry run.
        needed: what to say where none is given anywhere.
    """
    role = role or os.environ.get(variable) or (variable.removeprefix("CHARLOOM_") if aws.dry else None)
    if role is None:
        raise UsageError(needed)
    return role if role.startswith("arn:") else arn(aws, "iam", f"role/{role}", regional=False)


def owner(aws: Aws) -> str:
    """The caller's full name, as a tag may hold it."""
    return _NOT_IN_TAGS.sub("-", aws.caller)[:_LIMIT]
