"""Models, endpoint configurations and endpoints: look at one, read its marks, create it once, remove it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from charloom.errors import CloudError, UsageError
from charloom.sagemaker.aws import Answer, Aws
from charloom.sagemaker.commands import command
from charloom.sagemaker.names import OURS

Kind = Literal["model", "endpoint_config", "endpoint"]

WORDS: dict[Kind, str] = {
    "model": "model",
    "endpoint_config": "endpoint configuration",
    "endpoint": "endpoint",
}

# Each operation stands here by its name: the policies in the docs are compared with what the code calls.
_DESCRIBE: dict[Kind, Callable[[Aws, str], Answer]] = {
    "model": lambda aws, name: aws.call("sagemaker", "describe_model", ModelName=name),
    "endpoint_config": lambda aws, name: aws.call("sagemaker", "describe_endpoint_config", EndpointConfigName=name),
    "endpoint": lambda aws, name: aws.call("sagemaker", "describe_endpoint", EndpointName=name),
}
_CREATE: dict[Kind, Callable[[Aws, dict[str, Any]], Answer]] = {
    "model": lambda aws, request: aws.call("sagemaker", "create_model", **request),
    "endpoint_config": lambda aws, request: aws.call("sagemaker", "create_endpoint_config", **request),
    "endpoint": lambda aws, request: aws.call("sagemaker", "create_endpoint", **request),
}
_DELETE: dict[Kind, Callable[[Aws, str], Answer]] = {
    "model": lambda aws, name: aws.call("sagemaker", "delete_model", ModelName=name),
    "endpoint_config": lambda aws, name: aws.call("sagemaker", "delete_endpoint_config", EndpointConfigName=name),
    "endpoint": lambda aws, name: aws.call("sagemaker", "delete_endpoint", EndpointName=name),
}

MARK = "charloom:creation"
"""The tag that says which run of `deploy` made a resource: its value is that run's own random number."""


def field(kind: Kind, suffix: str = "Name") -> str:
    """What Amazon calls the name (or Arn) of such a resource: EndpointConfigName."""
    return "".join(part.title() for part in kind.split("_")) + suffix


def missing(error: CloudError) -> bool:
    """Whether Amazon says that there is no such thing."""
    return "could not find" in error.reason.lower() or error.code in ("ResourceNotFound", "ResourceNotFoundException")


def taken(error: CloudError) -> bool:
    """Whether Amazon says that the name is taken."""
    return "already exist" in error.reason.lower() or error.code in ("ResourceInUse", "ConflictException")


def look(aws: Aws, kind: Kind, name: str) -> Answer | None:
    """What Amazon says of a resource; None where there is none (and in a dry run).

    Raises:
        CloudError: it may not be asked for.
    """
    try:
        return _DESCRIBE[kind](aws, name) or None
    except CloudError as error:
        if not missing(error):
            raise
        return None


def tags_of(aws: Aws, arn: str) -> dict[str, str]:
    """The tags of a resource, by its full name.

    Raises:
        CloudError: they may not be read.
    """
    pages = aws.pages("sagemaker", "list_tags", ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page.get("Tags", [])}


def tags_by_name(aws: Aws, kind: Kind, name: str) -> dict[str, str] | None:
    """The tags of a resource by its short name; None where there is none."""
    found = look(aws, kind, name)
    return None if found is None else tags_of(aws, found[field(kind, "Arn")])


def ours(tags: dict[str, str] | None) -> bool:
    """Whether these are the tags of something that charloom made."""
    return tags is not None and OURS in tags


def create(aws: Aws, kind: Kind, request: dict[str, Any], mark: str) -> None:
    """Create a resource that carries a mark; one that this very run has made already is as good.

    That happens when an answer is lost on its way and the request is sent again.

    Raises:
        UsageError: the name is taken.
        CloudError: it was refused.
    """
    name = request[field(kind)]
    try:
        _CREATE[kind](aws, request)
    except CloudError as error:
        if not taken(error):
            raise
        if (tags_by_name(aws, kind, name) or {}).get(MARK) != mark:
            raise UsageError(
                f"the {WORDS[kind]} {name} exists already: give another --name, "
                f"or delete it with {command(aws, 'delete', name)}"
            ) from error


def remove(aws: Aws, kind: Kind, name: str) -> bool:
    """Delete a resource; whether there was one.

    Raises:
        CloudError: it was refused.
    """
    try:
        _DELETE[kind](aws, name)
    except CloudError as error:
        if not missing(error):
            raise
        return False
    return True
