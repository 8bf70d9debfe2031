"""What an endpoint is sent: bodies within Amazon's limits, and the requests around them. Nothing is sent here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from charloom.errors import UsageError
from charloom.sagemaker.names import S3Uri, checked_name
from charloom.settings import SamplingSettings, validated

JSON, TEXT = "application/json", "text/plain"

REAL_TIME_LIMIT = 25_000_000
"""Bytes of a body that is answered in real time."""

ASYNC_LIMIT = 1_000_000_000
"""Bytes of an input in S3."""


def completion_body(prompt: str, sampling: Mapping[str, Any], *, stream: bool = False) -> bytes:
    """The body of a completion, as docs/reference/http.md describes it.

    Args:
        prompt: what is continued.
        sampling: fields of `SamplingSettings`; what is not given is the model's own, the length 500.
        stream: whether the answer comes as it is written.

    Raises:
        UsageError: an option has no such name, or a value out of its range.
    """
    settings = validated(SamplingSettings, sampling)
    body: dict[str, Any] = {"prompt": prompt, "max_tokens": settings.length}
    for name in sorted(settings.model_fields_set - {"length"}):
        if (value := getattr(settings, name)) is not None:
            body[name] = value
    return json.dumps({**body, "stream": True} if stream else body).encode()


def payload_body(payload: str) -> bytes:
    """The article's payload: `<total length>-<start text>`.

    Raises:
        UsageError: it cannot be written as UTF-8.
    """
    try:
        return payload.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the payload is not text: character {error.start:,} cannot be sent") from None


def invoke_request(name: str, body: bytes, content_type: str, accept: str = "") -> dict[str, Any]:
    """For InvokeEndpoint and InvokeEndpointWithResponseStream.

    Raises:
        UsageError: the body is larger than Amazon takes, or the name cannot be one.
    """
    if len(body) > REAL_TIME_LIMIT:
        raise UsageError(
            f"the request has {len(body):,} bytes, an endpoint takes {REAL_TIME_LIMIT:,}: give the prompt's last part"
        )
    request = {"EndpointName": checked_name(name, "endpoint"), "ContentType": content_type, "Body": body}
    return {**request, "Accept": accept} if accept else request


def async_request(name: str, source: S3Uri, content_type: str, accept: str = "") -> dict[str, Any]:
    """For InvokeEndpointAsync, with an input in S3.

    Raises:
        UsageError: the name cannot be one.
    """
    request = {
        "EndpointName": checked_name(name, "endpoint"),
        "ContentType": content_type,
        "InputLocation": str(source),
    }
    return {**request, "Accept": accept} if accept else request
