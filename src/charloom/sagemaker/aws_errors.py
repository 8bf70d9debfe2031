"""Errors of AWS and of the network as one line that says what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from botocore import exceptions
from botocore.exceptions import BotoCoreError, ClientError

from charloom.errors import CloudError

_CHOICES = re.compile(r": \[[^\]]{20,}\]")
_SHOWN = 1000  # characters of what Amazon says

_ADVICE = {
    "ExpiredToken": "the credentials have expired: sign in again",
    "ExpiredTokenException": "the credentials have expired: sign in again",
    "InvalidClientTokenId": "the credentials are not valid (in this partition): check the profile and the region",
    "UnrecognizedClientException": "the credentials are not valid: check the profile",
    "SignatureDoesNotMatch": "the signature is wrong: check the secret key, and this machine's clock",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it, and try again",
    "InvalidSignatureException": "the signature is wrong or too old: check the secret key, and this machine's clock",
    "RequestExpired": "this machine's clock is wrong: set it, and try again",
    "NoSuchBucket": "there is no such bucket: check the address",
    "ResourceInUse": "the name is taken: give another --name",
    "ResourceLimitExceeded": "a quota of the account is reached: delete something, or ask for a larger one",
    "ThrottlingException": "too many requests, also after several tries: wait a minute and try again",
    "Throttling": "too many requests, also after several tries: wait a minute and try again",
}


@contextlib.contextmanager
def as_cloud_errors(service: str, operation: str, region: str) -> Iterator[None]:
    """Turn botocore's exceptions into ours.

    Raises:
        CloudError: for any of them inside the block; `code` is Amazon's own, or the exception's name.
    """
    try:
        yield
    except ClientError as error:
        raise _refusal(error, service, operation) from error
    except BotoCoreError as error:
        raise CloudError(_unsent(error, region), type(error).__name__) from error


def _refusal(error: ClientError, service: str, operation: str) -> CloudError:
    described = error.response.get("Error", {})
    code, message = str(described.get("Code", "Unknown")), " ".join(str(described.get("Message", "")).split())
    action = f"{service}:{''.join(part.title() for part in operation.split('_'))}"
    if code in ("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"):
        advice = f"not allowed: {action} (the policies that are needed: docs/reference/iam.md)"
    elif "assume" in message.lower() and "role" in message.lower():
        advice = "SageMaker may not assume that role: its trust policy must name sagemaker.amazonaws.com"
    elif "instancetype" in message.lower() and _CHOICES.search(message):
        advice = "there is no such kind of machine for that: give another --instance"
    else:
        advice = _ADVICE.get(code, "")
    shown = _CHOICES.sub("", message)[:_SHOWN]  # all kinds of machines are thousands of characters
    parts = [advice, f"{code} from {action}{': ' + shown if shown else ''}"]
    return CloudError("; ".join(part for part in parts if part), code, message)


def _unsent(error: BotoCoreError, region: str) -> str:
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return "no credentials for Amazon Web Services: run aws configure or aws sso login, or set AWS_PROFILE"
    if isinstance(error, exceptions.TokenRetrievalError | exceptions.SSOTokenLoadError):
        return "the sign-in has expired: run aws sso login"
    if isinstance(error, exceptions.ProfileNotFound):
        return f"{error}: give another --profile, or set AWS_PROFILE"
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
        return f"cannot reach Amazon Web Services ({error}): is {region!r} the right region, and is there a network?"
    if isinstance(error, exceptions.InvalidRegionError):
        return f"{region!r} is no region's name: give one such as us-east-1"
    return " ".join(str(error).split())
