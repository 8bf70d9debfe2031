"""The one door to Amazon Web Services: every request passes `Aws.call`, sent by an account or shown by a dry run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from charloom.sagemaker.names import dns_suffix, partition

Answer = dict[str, Any]

UNKNOWN_ACCOUNT = "ACCOUNT_ID"
UNKNOWN_REGION = "REGION"


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
        self._account_asked = False
        self.region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or UNKNOWN_REGION

    @property
    def account_id(self) -> str:
        """A placeholder: asking would need credentials."""
        if not self._account_asked:
            self._account_asked = True
            self.call("sts", "get_caller_identity")
        return UNKNOWN_ACCOUNT

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
